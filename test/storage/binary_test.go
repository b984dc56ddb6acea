//go:build storage

package storage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skerry.dev/skerry/blobstore/blobstoretest"
	"skerry.dev/skerry/blobstore/object"
	"skerry.dev/skerry/test/skerry"
)

// options are the flags and variables that say where p is.
func (p *place) options(more ...string) skerry.Options {
	o := skerry.Options{Plain: true, Env: []string{"SKERRY_STORAGE_KEY=" + p.cfg.Key}}
	o.Args = append([]string{
		"--storage", string(p.cfg.Kind), "--storage-bucket", p.cfg.Bucket, "--storage-prefix", "site/one",
		"--storage-endpoint", p.cfg.Endpoint, "--grace", "1s",
	}, more...)
	switch p.cfg.Kind {
	case object.S3:
		o.Args = append(o.Args, "--storage-key-id", p.cfg.KeyID, "--storage-ca-file", p.ca)
	case object.GCS:
		o.Env = []string{"SSL_CERT_FILE=" + p.ca}
		o.Args = append(o.Args, "--storage-key-file", p.cfg.KeyFile)
	case object.Azure:
		o.Args = append(o.Args, "--storage-account", p.cfg.Account)
		o.Env = append(o.Env, "SSL_CERT_FILE="+p.ca)
	}
	return o
}

// A client speaks to the registry as its administrator, and follows nobody.
type client struct {
	*skerry.Server
	t    *testing.T
	http *http.Client
}

func start(t *testing.T, ca string, o skerry.Options) client {
	t.Helper()
	s := skerry.Start(t, o)
	c := client{s, t, &http.Client{Timeout: time.Minute}}
	if ca != "" {
		c.http.Transport = trusting(t, ca).Transport
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// do sends a request; header is key and value in turn.
func (c client) do(method, path string, body []byte, header ...string) (*http.Response, []byte) {
	c.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = c.URL + path
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if strings.HasPrefix(path, c.URL) {
		req.SetBasicAuth(c.User, c.Password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, b
}

func (c client) want(status int, method, path string, body []byte, header ...string) (*http.Response, []byte) {
	c.t.Helper()
	resp, b := c.do(method, path, body, header...)
	if resp.StatusCode != status {
		c.t.Fatalf("%s %s: %s, want %d: %.500s", method, path, resp.Status, status, b)
	}
	return resp, b
}

// command runs the program against the server's data.
func (c client) command(args ...string) string {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), c.Options.Binary, append(args, "--data", c.Options.Data)...)
	cmd.Env = append(os.Environ(), c.Options.Env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("skerry %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func skopeo(t *testing.T, args ...string) {
	t.Helper()
	args = append([]string{"--insecure-policy"}, args...)
	if out, err := exec.CommandContext(t.Context(), "skopeo", args...).CombinedOutput(); err != nil {
		t.Fatalf("skopeo %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// layout is an image on the disk, of a small and a large layer, and its layers.
func layout(t *testing.T) (dir string, layers []ocispec.Descriptor) {
	t.Helper()
	dir = t.TempDir()
	put := func(mediaType string, b []byte) ocispec.Descriptor {
		d := digest.FromBytes(b)
		path := filepath.Join(dir, "blobs", "sha256", d.Encoded())
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
	}
	asJSON := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	layers = []ocispec.Descriptor{
		put(ocispec.MediaTypeImageLayer, blobstoretest.Noise(1000)),
		put(ocispec.MediaTypeImageLayer, blobstoretest.Noise(large)),
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: layers}
	m.SchemaVersion = 2
	m.Config = put(ocispec.MediaTypeImageConfig,
		[]byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`))
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{
		put(ocispec.MediaTypeImageManifest, asJSON(m)),
	}}
	index.SchemaVersion = 2
	for name, b := range map[string][]byte{
		"index.json": asJSON(index), "oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, layers
}

// holdsNoBlobs fails unless the data directory has neither blobs nor uploads.
func (c client) holdsNoBlobs() {
	c.t.Helper()
	for _, name := range []string{"blobs", "uploads"} {
		if e, err := os.ReadDir(filepath.Join(c.Options.Data, "storage", name)); err != nil || len(e) != 0 {
			c.t.Errorf("%s on the local disk: %v, %v", name, e, err)
		}
	}
}

// TestImageLivesInTheObjectStore is an image's life: pushed, pulled both ways, kept over
// a restart, scrubbed, backed up and restored, deleted and collected.
func TestImageLivesInTheObjectStore(t *testing.T) {
	onEachTLS(t, func(t *testing.T, p *place) {
		c := start(t, p.ca, p.options())
		dir, layers := layout(t)
		creds := c.User + ":" + c.Password
		ref := "docker://" + c.Addr + "/team/app:1"
		skopeo(t, "copy", "--preserve-digests", "--dest-tls-verify=false", "--dest-creds", creds, "oci:"+dir, ref)
		c.holdsNoBlobs()

		smallPath := "/v2/team/app/blobs/" + layers[0].Digest.String()
		largePath := "/v2/team/app/blobs/" + layers[1].Digest.String()
		content, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", layers[1].Digest.Encoded()))
		if err != nil {
			t.Fatal(err)
		}
		c.want(http.StatusOK, "GET", smallPath, nil)
		if resp, _ := c.want(http.StatusOK, "HEAD", largePath, nil); resp.ContentLength != large {
			t.Errorf("HEAD: %d bytes", resp.ContentLength)
		}
		resp, _ := c.want(http.StatusTemporaryRedirect, "GET", largePath, nil)
		to := resp.Header.Get("Location")
		if _, b := c.want(http.StatusOK, "GET", to, nil); !bytes.Equal(b, content) {
			t.Errorf("GET of where we were sent: %d other bytes", len(b))
		}
		if _, b := c.want(http.StatusPartialContent, "GET", to, nil, "Range", "bytes=5-14"); !bytes.Equal(b, content[5:15]) {
			t.Errorf("range of where we were sent: %q", b)
		}
		skopeo(t, "copy", "--src-tls-verify=false", "--src-creds", creds, ref, "oci:"+t.TempDir())

		c.Kill()
		c.Options.Args = append(c.Options.Args, "--storage-disable-redirect")
		c.Restart()
		if _, b := c.want(http.StatusOK, "GET", largePath, nil); !bytes.Equal(b, content) {
			t.Errorf("GET without redirect: %d other bytes", len(b))
		}
		_, b := c.want(http.StatusPartialContent, "GET", largePath, nil, "Range", "bytes=5-14")
		if !bytes.Equal(b, content[5:15]) {
			t.Errorf("range without redirect: %q", b)
		}
		skopeo(t, "copy", "--src-tls-verify=false", "--src-creds", creds, ref, "oci:"+t.TempDir())

		if out := c.command("scrub"); !strings.Contains(out, "3 blobs") {
			t.Errorf("scrub: %s", out)
		}
		if out := c.command("check"); !strings.Contains(out, "0 problems") {
			t.Errorf("check: %s", out)
		}
		archive := filepath.Join(t.TempDir(), "site.tar")
		c.command("backup", archive)

		resp, _ = c.want(http.StatusOK, "HEAD", "/v2/team/app/manifests/1", nil)
		c.want(http.StatusAccepted, "DELETE", "/v2/team/app/manifests/"+resp.Header.Get("Docker-Content-Digest"), nil)
		for begun := time.Now(); ; { // collected when the grace is over
			c.command("gc")
			if resp, _ := c.do("GET", largePath, nil); resp.StatusCode == http.StatusNotFound {
				break
			}
			if time.Since(begun) > 30*time.Second {
				t.Fatal("the image was not collected")
			}
		}
		if resp, _ := c.do("GET", to, nil); resp.StatusCode != http.StatusNotFound {
			t.Errorf("the object store still has what was collected: %s", resp.Status)
		}
		c.Stop()

		c.Options.Data = filepath.Join(t.TempDir(), "restored")
		for _, a := range [][2]string{
			{"STORAGE", string(p.cfg.Kind)},
			{"STORAGE_BUCKET", p.cfg.Bucket},
			{"STORAGE_PREFIX", "site/one"},
			{"STORAGE_CA_FILE", p.ca},
			{"STORAGE_KEY_FILE", p.cfg.KeyFile},
			{"STORAGE_ENDPOINT", p.cfg.Endpoint},
			{"STORAGE_ACCOUNT", p.cfg.Account},
			{"STORAGE_KEY_ID", p.cfg.KeyID},
		} {
			if a[1] != "" {
				c.Options.Env = append(c.Options.Env, "SKERRY_"+a[0]+"="+a[1])
			}
		}
		c.command("restore", archive)
		c.holdsNoBlobs()
		// The account is the backup's; its password is nowhere but in its owner's head.
		if err := os.WriteFile(filepath.Join(c.Options.Data, "admin-password"), []byte(c.Password), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Restart()
		skopeo(t, "copy", "--src-tls-verify=false", "--src-creds", creds, ref, "oci:"+t.TempDir())
	})
}

// TestUploadGoesOnAfterAKill sends half, kills the registry, and sends the rest.
func TestUploadGoesOnAfterAKill(t *testing.T) {
	onEachTLS(t, func(t *testing.T, p *place) {
		c := start(t, p.ca, p.options())
		data := blobstoretest.Noise(large)
		resp, _ := c.want(http.StatusAccepted, "POST", "/v2/team/app/blobs/uploads/", nil)
		at := resp.Header.Get("Location")
		half := len(data) / 2
		c.want(http.StatusAccepted, "PATCH", at, data[:half])
		c.Kill()
		c.Restart()
		resp, _ = c.want(http.StatusNoContent, "GET", at, nil)
		if got := resp.Header.Get("Range"); got != fmt.Sprintf("0-%d", half-1) {
			t.Errorf("range after the kill: %q", got)
		}
		d := digest.FromBytes(data)
		c.want(http.StatusCreated, "PUT", at+"?digest="+d.String(), data[half:])
		c.want(http.StatusOK, "HEAD", "/v2/team/app/blobs/"+d.String(), nil)
		c.holdsNoBlobs()
	})
}

// TestKillLosesNothingAcknowledged kills the registry while blobs are pushed.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	p := openS3(t)
	c := start(t, p.ca, p.options("--storage-disable-redirect"))
	kept := map[digest.Digest]bool{}
	for round := range 5 {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					data := blobstoretest.Noise(9 << 20)
					d := digest.FromBytes(data)
					url := c.URL + "/v2/team/app/blobs/uploads/?digest=" + d.String()
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(data))
					if err != nil {
						t.Error(err)
						return
					}
					req.SetBasicAuth(c.User, c.Password)
					resp, err := c.http.Do(req)
					if err != nil {
						return // killed
					}
					resp.Body.Close()
					if resp.StatusCode != http.StatusCreated {
						t.Errorf("push: %s", resp.Status)
						return
					}
					mu.Lock()
					kept[d] = true
					mu.Unlock()
				}
			})
		}
		<-time.After(time.Duration(500+150*round) * time.Millisecond)
		c.Kill()
		wg.Wait()
		c.Restart()
	}
	if len(kept) == 0 {
		t.Error("nothing was acknowledged: the test has shown nothing")
	}
	for d := range kept {
		if _, b := c.want(http.StatusOK, "GET", "/v2/team/app/blobs/"+d.String(), nil); digest.FromBytes(b) != d {
			t.Errorf("%s: %d other bytes", d, len(b))
		}
	}
	t.Logf("%d blobs acknowledged", len(kept))
}

// TestRegistryStartsWhileTheStoreIsAway serves what it knows, and tells what it misses.
func TestRegistryStartsWhileTheStoreIsAway(t *testing.T) {
	p := openS3(t)
	c := start(t, p.ca, p.options())
	dir, layers := layout(t)
	skopeo(t, "copy", "--preserve-digests", "--dest-tls-verify=false", "--dest-creds", c.User+":"+c.Password, "oci:"+dir,
		"docker://"+c.Addr+"/team/app:1")
	c.Stop()
	p.proxy.do(drop(anything))
	c.Restart()

	c.want(http.StatusOK, "GET", "/v2/team/app/manifests/1", nil)
	for _, l := range layers {
		resp, _ := c.want(http.StatusServiceUnavailable, "GET", "/v2/team/app/blobs/"+l.Digest.String(), nil)
		if resp.Header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
	}
	c.until("the trouble is told", func() bool {
		return strings.Contains(c.command("status"), "storage unavailable")
	})
	c.want(http.StatusServiceUnavailable, "POST", "/v2/team/app/blobs/uploads/", nil)
	c.want(http.StatusServiceUnavailable, "GET", "/readyz/writes", nil)
	c.want(http.StatusOK, "GET", "/readyz", nil)

	p.proxy.do(nil)
	c.until("it is over", func() bool {
		resp, _ := c.do("GET", "/readyz/writes", nil)
		return resp.StatusCode == http.StatusOK
	})
	c.want(http.StatusOK, "GET", "/v2/team/app/blobs/"+layers[0].Digest.String(), nil)

	c.Stop()
	c.Options.Env = []string{"SKERRY_STORAGE_KEY=wrong"}
	c.Restart()
	c.until("the wrong key is told", func() bool { return strings.Contains(c.command("status"), "storage refuses") })
	c.want(http.StatusInternalServerError, "GET", "/v2/team/app/blobs/"+layers[0].Digest.String(), nil)
}

func (c client) until(what string, is func() bool) {
	c.t.Helper()
	for begun := time.Now(); !is(); <-time.After(100 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			c.t.Fatalf("not in 30 s: %s\n%s", what, c.command("status"))
		}
	}
}

// TestBlobsAreNotLookedForElsewhere has the storage changed under a data directory.
func TestBlobsAreNotLookedForElsewhere(t *testing.T) {
	p := openS3(t)
	c := start(t, p.ca, p.options())
	c.Stop()
	c.Options.Args = nil
	if err := c.TryRestart(); err == nil || !strings.Contains(err.Error(), "skerry backup") {
		t.Errorf("started on the local disk: %v", err)
	}
	local := start(t, "", skerry.Options{Plain: true})
	local.want(http.StatusCreated, "POST", "/v2/a/b/blobs/uploads/?digest="+digest.FromString("x").String(), []byte("x"))
	local.Stop()
	local.Options.Args, local.Options.Env = p.options().Args, p.options().Env
	if err := local.TryRestart(); err == nil || !strings.Contains(err.Error(), "skerry backup") {
		t.Errorf("started on an object store: %v", err)
	}
}
