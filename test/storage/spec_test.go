//go:build storage

package storage

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore/blobstoretest"
	"skerry.dev/skerry/blobstore/object"
	"skerry.dev/skerry/test/skerry"
)

// spec is spec.storage for p, as OpenShift has it.
func (p *place) spec() string {
	switch p.cfg.Kind {
	case object.S3:
		ca := ""
		if p.ca != "" {
			ca = ", trustedCA: {name: store}"
		}
		return "s3: {bucket: " + p.cfg.Bucket + ", regionEndpoint: '" + p.cfg.Endpoint + "'" + ca + "}"
	case object.GCS:
		return "gcs: {bucket: " + p.cfg.Bucket + "}"
	case object.Azure:
		return "azure: {accountName: " + p.cfg.Account + ", container: " + p.cfg.Bucket + "}"
	}
	return ""
}

// machine is what of p the machine must be told: spec.storage has no field for it.
func (p *place) machine() skerry.Options {
	o := skerry.Options{Plain: true}
	if p.cfg.Kind != object.S3 {
		o.Args = []string{"--storage-endpoint", p.cfg.Endpoint}
		o.Env = []string{"SSL_CERT_FILE=" + p.ca}
	}
	return o
}

// secret is what the Secret must hold; key is instead of the right one.
func (p *place) secret(t *testing.T, key string) string {
	t.Helper()
	data := map[string]string{}
	switch p.cfg.Kind {
	case object.S3:
		data["REGISTRY_STORAGE_S3_ACCESSKEY"], data["REGISTRY_STORAGE_S3_SECRETKEY"] = p.cfg.KeyID, p.cfg.Key
	case object.GCS:
		b, err := os.ReadFile(p.cfg.KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		data["REGISTRY_STORAGE_GCS_KEYFILE"] = string(b)
	case object.Azure:
		data["REGISTRY_STORAGE_AZURE_ACCOUNTKEY"] = p.cfg.Key
	}
	if key != "" {
		data["REGISTRY_STORAGE_S3_SECRETKEY"] = key
	}
	return document(t, "Secret", "openshift-image-registry", "image-registry-private-configuration-user", "stringData",
		data)
}

func document(t *testing.T, kind, namespace, name, field string, data map[string]string) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": kind, "metadata": map[string]string{"name": name, "namespace": namespace}, field: data,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// config is a Config with a spec.storage and what else there is of the spec.
func config(storage, more string) string {
	return "apiVersion: imageregistry.operator.openshift.io/v1\nkind: Config\nmetadata: {name: cluster}\n" +
		"spec: {managementState: Managed, replicas: 1, storage: {" + storage + "}" + more + "}\n"
}

// apply applies documents and returns what is said of it.
func (c client) apply(docs ...string) string {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(docs, "\n---\n")), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return c.command("apply", "-f", file)
}

// says waits until the status has a line with all of these.
func (c client) says(what ...string) {
	c.t.Helper()
	c.until("the status says "+strings.Join(what, ", "), func() bool {
		for line := range strings.Lines(c.command("status")) {
			missing := false
			for _, w := range what {
				missing = missing || !strings.Contains(line, w)
			}
			if !missing {
				return true
			}
		}
		return false
	})
}

// pid is the process that holds the data directory.
func (c client) pid() int {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.Options.Data, "lock"))
	if err != nil {
		c.t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

func (c client) putBlob(data []byte) (path string) {
	c.t.Helper()
	d := digest.FromBytes(data).String()
	c.want(http.StatusCreated, "POST", "/v2/team/app/blobs/uploads/?digest="+d, data)
	return "/v2/team/app/blobs/" + d
}

// TestSpecStorageBringsABucketIntoUse is a fresh registry whose objects name a bucket,
// of every kind, over TLS: blobs go there, clients are sent there, and a restart knows.
func TestSpecStorageBringsABucketIntoUse(t *testing.T) {
	onEachTLS(t, func(t *testing.T, p *place) {
		c := start(t, p.ca, p.machine())
		pid := c.pid()
		docs := []string{p.secret(t, ""), config(p.spec(), "")}
		if p.cfg.Kind == object.S3 {
			c.apply(docs...)
			c.says("StorageExists", "False", "ConfigMap openshift-config/store")
			b, err := os.ReadFile(p.ca)
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, document(t, "ConfigMap", "openshift-config", "store", "data",
				map[string]string{"ca-bundle.crt": string(b)}))
		}
		c.apply(docs...)
		c.says("StorageExists", "True", string(p.cfg.Kind)+" ")
		if now := c.pid(); now != pid {
			t.Errorf("process %d became %d", pid, now)
		}
		content := blobstoretest.Noise(large)
		path := c.putBlob(content)
		c.holdsNoBlobs()
		resp, _ := c.want(http.StatusTemporaryRedirect, "GET", path, nil)
		if _, b := c.want(http.StatusOK, "GET", resp.Header.Get("Location"), nil); !bytes.Equal(b, content) {
			t.Errorf("GET of where we were sent: %d other bytes", len(b))
		}

		c.apply(config(p.spec(), ", disableRedirect: true"))
		if _, b := c.want(http.StatusOK, "GET", path, nil); !bytes.Equal(b, content) {
			t.Errorf("GET without redirect: %d other bytes", len(b))
		}
		c.Kill()
		c.Restart()
		if _, b := c.want(http.StatusOK, "GET", path, nil); !bytes.Equal(b, content) {
			t.Errorf("GET after a restart: %d other bytes", len(b))
		}
		c.Stop()
		if out := c.command("check"); !strings.Contains(out, "0 problems") {
			t.Errorf("check of what is stopped: %s", out)
		}
	})
}

// TestSpecStorageThatDoesNotWork leaves everything as it is, says why, and is taken
// over when it is put right: without a restart.
func TestSpecStorageThatDoesNotWork(t *testing.T) {
	p := openS3(t)
	c := start(t, "", p.machine())
	if out := c.apply(config(p.spec(), "")); !strings.Contains(out, "REGISTRY_STORAGE_S3_SECRETKEY") {
		t.Errorf("apply does not say what is missing: %s", out)
	}
	c.apply(p.secret(t, "wrong"))
	c.says("StorageExists", "False", "Unable to Access Bucket", "SignatureDoesNotMatch")
	c.says("Degraded", "True", "SignatureDoesNotMatch")
	c.says("Progressing", "True", "SignatureDoesNotMatch")
	p.proxy.do(drop(anything))
	c.apply(p.secret(t, ""))
	c.says("StorageExists", "False", "Unable to Access Bucket", "unavailable")
	p.proxy.do(nil)
	c.says("StorageExists", "True", "s3 images")
	path := c.putBlob([]byte("in the bucket"))
	c.holdsNoBlobs()

	// What is in use does not end with the credentials that the object has now.
	c.apply(p.secret(t, "wrong"))
	c.says("StorageExists", "False", "SignatureDoesNotMatch")
	c.want(http.StatusOK, "GET", path, nil)
	c.Kill()
	c.Restart()
	c.want(http.StatusOK, "GET", path, nil)
	c.says("StorageExists", "False", "SignatureDoesNotMatch")
	c.apply(p.secret(t, ""))
	c.says("StorageExists", "True", "s3 images")

	// Another bucket, which is there, would lose the blob.
	if err := os.Mkdir(filepath.Join(p.dir, "other"), 0o700); err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(p.spec(), bucket, "other", 1)
	if out := c.apply(config(other, "")); !strings.Contains(out, "skerry restore") {
		t.Errorf("apply does not say how to move: %s", out)
	}
	c.says("StorageExists", "False", "StorageHoldsBlobs")
	c.want(http.StatusOK, "GET", path, nil)
	c.putBlob([]byte("after"))
	c.Kill()
	c.Restart()
	c.want(http.StatusOK, "GET", path, nil)
	c.says("StorageExists", "False", "StorageHoldsBlobs")
	c.holdsNoBlobs()

	// A store that is away does not keep the registry from starting.
	c.Stop()
	p.proxy.do(drop(anything))
	c.Restart()
	c.want(http.StatusServiceUnavailable, "GET", path, nil)
	p.proxy.do(nil)
	c.until("it is over", func() bool {
		resp, _ := c.do("GET", path, nil)
		return resp.StatusCode == http.StatusOK
	})
}

// TestAnUploadSpansAReopening begins on the disk and ends in the bucket.
func TestAnUploadSpansAReopening(t *testing.T) {
	p := openS3(t)
	o := p.machine()
	o.Args = append(o.Args, "--drain-timeout", "2s")
	c := start(t, "", o)
	data := blobstoretest.Noise(large)
	resp, _ := c.want(http.StatusAccepted, "POST", "/v2/team/app/blobs/uploads/", nil)
	at := resp.Header.Get("Location")
	c.want(http.StatusAccepted, "PATCH", at, data[:len(data)/2])
	c.apply(p.secret(t, ""), config(p.spec(), ""))
	c.says("StorageExists", "True", "s3 images")
	d := digest.FromBytes(data).String()
	c.want(http.StatusCreated, "PUT", at+"?digest="+d, data[len(data)/2:])
	if _, b := c.want(http.StatusTemporaryRedirect, "GET", "/v2/team/app/blobs/"+d, nil); len(b) > 1000 {
		t.Errorf("%d bytes with a redirect", len(b))
	}
	c.holdsNoBlobs()
}

// TestSystemdHearsOfAReopening as of a reload: the service is there before and after.
func TestSystemdHearsOfAReopening(t *testing.T) {
	p := openS3(t)
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	o := p.machine()
	o.Env = append(o.Env, "NOTIFY_SOCKET="+name, "WATCHDOG_USEC=1000000")
	c := start(t, "", o)
	c.apply(p.secret(t, ""), config(p.spec(), ""))
	c.says("StorageExists", "True", "s3 images")
	c.Stop()
	var heard []string
	for b := make([]byte, 4096); !slices.Contains(heard, "STOPPING=1"); {
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(b)
		if err != nil {
			t.Fatalf("systemd hears no end of %q: %v", heard, err)
		}
		word, _, _ := strings.Cut(string(b[:n]), "\n")
		if key, _, _ := strings.Cut(word, "="); key == "READY" || key == "RELOADING" || key == "STOPPING" {
			heard = append(heard, word)
		}
	}
	if want := []string{"READY=1", "RELOADING=1", "READY=1", "STOPPING=1"}; !slices.Equal(heard, want) {
		t.Errorf("systemd hears %q, want %q", heard, want)
	}
}
