package appliance_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/api"
)

// inBucket is a Config whose blobs are in a bucket.
func (s *fakeS3) inBucket(name string) string {
	return fmt.Sprintf("{managementState: Managed, replicas: 1, storage: {s3: {bucket: %s, regionEndpoint: '%s'}}}",
		name, s.url)
}

const onDisk = "{managementState: Managed, replicas: 1, storage: {pvc: {}}}"

// credentials applies the Secret that has them.
func (n *node) credentials(key string) {
	n.t.Helper()
	n.apply("apiVersion: v1\nkind: Secret\n" +
		"metadata: {name: image-registry-private-configuration-user, namespace: openshift-image-registry}\n" +
		"stringData: {REGISTRY_STORAGE_S3_ACCESSKEY: " + key + ", REGISTRY_STORAGE_S3_SECRETKEY: secret}\n")
}

// storageIs waits until blobs are where they should be.
func (n *node) storageIs(location string) {
	n.t.Helper()
	n.until("blobs are in "+location, func(s string) bool { return strings.Contains(s, `"location":"`+location+`"`) })
}

// until waits for a status, over reopenings.
func (n *node) until(what string, is func(status string) bool) {
	n.t.Helper()
	last := ""
	for begun := time.Now(); ; <-time.After(20 * time.Millisecond) {
		status, body := n.do(http.MethodGet, "/apis/skerry.dev/v1/status", "", nil)
		if last = body; status == http.StatusOK && is(body) {
			return
		}
		if time.Since(begun) > 20*time.Second {
			n.t.Fatalf("waited in vain: %s\n%s", what, last)
		}
	}
}

func (n *node) pull(content []byte) {
	n.t.Helper()
	if got := n.want(http.StatusOK, http.MethodGet, blobPath("team/app", content), "", nil); got != string(content) {
		n.t.Errorf("pulled %q", got)
	}
}

// A Config that names a bucket has blobs go there without a restart, at the address
// that clients know, and a restart finds them.
func TestSpecStorageBringsABucketIntoUse(t *testing.T) {
	s3 := openS3(t)
	cfg := appliance.Config{Data: t.TempDir(), MetricsListen: "127.0.0.1:0"}
	n := start(t, cfg)
	started := startedAt(t, n.status())
	n.config(s3.inBucket("images"))
	c := n.wantCondition("StorageExists", "False", "StorageNotConfigured")
	if !strings.Contains(c.Message, "REGISTRY_STORAGE_S3_SECRETKEY") {
		t.Errorf("it does not say what is missing: %s", c.Message)
	}
	n.credentials("bad")
	n.until("the bad key is told", func(s string) bool { return strings.Contains(s, "InvalidAccessKeyId") })
	n.wantCondition("StorageExists", "False", "Unable to Access Bucket")
	n.wantCondition("Degraded", "True", "Unable to Access Bucket")
	n.wantCondition("Progressing", "True", "Error")
	n.storageIs("local")

	n.credentials("good")
	n.storageIs("s3 images")
	n.wantCondition("StorageExists", "True", "S3 Bucket Exists")
	n.wantCondition("Progressing", "False", "Ready")
	if again := startedAt(t, n.status()); again != started {
		t.Errorf("it says that it started at %s, and at %s before it reopened", again, started)
	}
	if got := n.want(http.StatusOK, http.MethodGet, configPath, "", nil); !strings.Contains(got, `"bucket":"images"`) ||
		strings.Contains(got, `"pvc":{}`) {
		t.Errorf("status.storage is not what is in use: %s", got)
	}
	if resp, err := http.Get(n.metrics + "/readyz"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the address for scrapers: %v, %v", resp, err)
	}
	n.push("team/app", "1", []byte("kept in the bucket"))
	if len(s3.blobs("images")) != 1 {
		t.Errorf("in the bucket: %q", s3.blobs("images"))
	}
	n.stop()

	n = start(t, cfg)
	n.storageIs("s3 images")
	n.pull([]byte("kept in the bucket"))
}

func startedAt(t *testing.T, status string) string {
	t.Helper()
	var s struct{ Started string }
	if err := json.Unmarshal([]byte(status), &s); err != nil {
		t.Fatal(err)
	}
	return s.Started
}

// Where there are blobs, spec.storage cannot leave them: in a bucket, on the disk,
// before and after a restart, with and without the Secret that was used.
func TestBlobsAreNotLeftBehind(t *testing.T) {
	s3 := openS3(t)
	cfg := appliance.Config{Data: t.TempDir()}
	n := start(t, cfg)
	n.credentials("good")
	n.config(s3.inBucket("images"))
	n.storageIs("s3 images")
	n.config(s3.inBucket("other")) // nothing would be left
	n.storageIs("s3 other")
	n.config(onDisk)
	n.storageIs("local")
	n.config(s3.inBucket("images"))
	n.storageIs("s3 images")
	n.push("team/app", "1", []byte("x"))

	for _, spec := range []string{s3.inBucket("other"), onDisk} {
		a := n.config(spec)
		if text := strings.Join(a.Warnings, "\n"); !strings.Contains(text, "skerry restore") {
			t.Errorf("apply does not warn: %q", text)
		}
		n.wantCondition("StorageExists", "False", "StorageHoldsBlobs")
		n.wantCondition("Degraded", "True", "StorageHoldsBlobs")
		n.wantCondition("Progressing", "False", "Error")
		n.push("team/app", "2", []byte("y"))
		n.stop()
		n = start(t, cfg)
		n.pull([]byte("x"))
		n.wantCondition("StorageExists", "False", "StorageHoldsBlobs")
	}
	n.credentials("bad")
	n.want(http.StatusOK, http.MethodPost, api.Prefix+"/objects/delete", "application/json",
		[]byte(`{"kind":"Secret","name":"image-registry-private-configuration-user"}`))
	n.stop()
	n = start(t, cfg)
	n.pull([]byte("y"))
	n.storageIs("s3 images")
	if len(s3.blobs("other")) != 0 {
		t.Errorf("in the other bucket: %q", s3.blobs("other"))
	}
	checkClean(t, stopped(n))
}

func stopped(n *node) string {
	n.stop()
	return n.data
}

// A push that ends while the registry drains has its blob where the registry then is:
// it does not go away from it.
func TestAPushDuringTheDrainKeepsItsBlob(t *testing.T) {
	s3 := openS3(t)
	n := start(t, appliance.Config{Data: t.TempDir(), DrainTimeout: 20 * time.Second})
	n.credentials("good")
	body, send := io.Pipe()
	at := n.startUpload()
	patched := make(chan error, 1)
	go func() { // ends with the upload
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, at, body)
		if err == nil {
			req.SetBasicAuth("admin", n.password)
			var resp *http.Response
			if resp, err = http.DefaultClient.Do(req); err == nil {
				err = resp.Body.Close()
			}
		}
		patched <- err
	}()
	if _, err := send.Write([]byte("pushed in ")); err != nil {
		t.Fatal(err)
	}
	n.config(s3.inBucket("images"))
	eventually(t, "it drains", func() bool {
		status, answer := n.do(http.MethodGet, "/v2/", "", nil)
		return status == http.StatusServiceUnavailable && strings.Contains(answer, "reopening")
	})
	_, err := send.Write([]byte("the last moment"))
	if err = errors.Join(err, send.Close(), <-patched); err != nil {
		t.Fatal(err)
	}
	content := []byte("pushed in the last moment")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, at+"?digest="+digestOf(content), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", n.password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("commit: %v, %v", resp, err)
	}
	_ = resp.Body.Close()
	n.until("it stays", func(s string) bool { return strings.Contains(s, "StorageHoldsBlobs") })
	n.storageIs("local")
	n.pull(content)
}

// Clients that connect while the registry reopens wait, or are told to try again.
func TestNobodyIsTurnedAwayByAReopening(t *testing.T) {
	s3 := openS3(t)
	n := start(t, appliance.Config{Data: t.TempDir()})
	n.credentials("good")
	stop, done := make(chan struct{}), make(chan struct{})
	asked := 0
	go func() { // ends by stop
		defer close(done)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		for ; ; asked++ {
			select {
			case <-stop:
				return
			default:
			}
			resp, err := client.Get(n.url + "/v2/")
			if err != nil {
				t.Errorf("request %d: %v", asked, err)
				return
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("request %d: %s", asked, resp.Status)
			}
		}
	}()
	for _, bucket := range []string{"a", "b", "c"} {
		n.config(s3.inBucket(bucket))
		n.storageIs("s3 " + bucket)
	}
	close(stop)
	<-done
	if asked < 10 {
		t.Errorf("%d requests: the test has shown nothing", asked)
	}
}

// startUpload is the URL of an upload that has begun.
func (n *node) startUpload() string {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost, n.url+"/v2/team/app/blobs/uploads/", nil)
	if err != nil {
		n.t.Fatal(err)
	}
	req.SetBasicAuth("admin", n.password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	at, err := resp.Location()
	if err != nil {
		n.t.Fatal(err)
	}
	return at.String()
}

// Another endpoint may be the same bucket, or another one of that name.
func TestAnotherBucketOfTheSameNameIsNotTaken(t *testing.T) {
	s3, impostor := openS3(t), openS3(t)
	n := start(t, appliance.Config{Data: t.TempDir()})
	n.credentials("good")
	n.config(s3.inBucket("images"))
	n.storageIs("s3 images")
	n.push("team/app", "1", []byte("x"))
	n.config(impostor.inBucket("images"))
	n.until("it is seen", func(s string) bool { return strings.Contains(s, "another") })
	n.wantCondition("StorageExists", "False", "StorageHoldsBlobs")
	n.pull([]byte("x"))

	s3.mu.Lock()
	impostor.mu.Lock()
	for key, content := range s3.objects {
		impostor.objects[key] = content
	}
	impostor.mu.Unlock()
	s3.mu.Unlock()
	n.until("the copy is taken over", func(s string) bool { return strings.Contains(s, "S3 Bucket Exists") })
	s3.setClosed(true)
	n.pull([]byte("x"))
}

// A store that refuses at the start is told, manifests are served, and it recovers.
func TestAClosedBucketDoesNotKeepTheRegistryFromStarting(t *testing.T) {
	s3 := openS3(t)
	cfg := appliance.Config{Data: t.TempDir()}
	n := start(t, cfg)
	n.credentials("good")
	n.config(s3.inBucket("images"))
	n.storageIs("s3 images")
	n.push("team/app", "1", []byte("x"))
	n.stop()
	s3.setClosed(true)
	n = start(t, cfg)
	n.want(http.StatusOK, http.MethodGet, "/v2/team/app/manifests/1", "", nil)
	n.until("it is told", func(s string) bool { return strings.Contains(s, "AccessDenied") })
	n.wantCondition("StorageExists", "False", "Unable to Access Bucket")
	n.wantCondition("Degraded", "True", "WritesRefused")
	s3.setClosed(false)
	n.until("it is over", func(s string) bool { return strings.Contains(s, "S3 Bucket Exists") })
	n.pull([]byte("x"))
}

// Blobs that the settings have put somewhere are found by a spec.storage that says the
// same, and by none that does not: the registry starts all the same, and says why.
func TestSpecStorageTakesOverFromTheSettings(t *testing.T) {
	s3 := openS3(t)
	settings := appliance.Storage{
		Kind: appliance.StorageS3, Bucket: "images", Endpoint: s3.url, KeyID: "good", Key: "secret",
	}
	data := t.TempDir()
	n := start(t, appliance.Config{Data: data, Storage: settings})
	n.push("team/app", "1", []byte("x"))
	n.config(s3.inBucket("other"))
	c := n.wantCondition("skerry.dev/FieldsNotApplicable", "True", "NotApplicable")
	if !strings.Contains(c.Message, "spec.storage: does nothing while storage is set") {
		t.Errorf("the settings' precedence is not told: %s", c.Message)
	}
	n.wantCondition("StorageExists", "True", "S3 Bucket Exists")
	n.credentials("good")
	n.stop()

	n = start(t, appliance.Config{Data: data})
	n.want(http.StatusOK, http.MethodGet, "/v2/team/app/manifests/1", "", nil)
	if status, _ := n.do(http.MethodGet, blobPath("team/app", []byte("x")), "", nil); status == http.StatusNotFound {
		t.Error("the blob is not found, which it may be elsewhere")
	}
	n.wantCondition("StorageExists", "False", "StorageHoldsBlobs")
	n.config(s3.inBucket("images"))
	n.until("it is found", func(s string) bool { return strings.Contains(s, "S3 Bucket Exists") })
	n.pull([]byte("x"))
	n.stop()
	if err := os.Remove(filepath.Join(data, "storage-location")); err != nil { // made again
		t.Fatal(err)
	}
	n = start(t, appliance.Config{Data: data})
	n.pull([]byte("x"))
}

// What ruled before goes on while the object is Unmanaged.
func TestUnmanagedStorageStays(t *testing.T) {
	s3 := openS3(t)
	n := start(t, appliance.Config{Data: t.TempDir()})
	n.credentials("good")
	n.config(strings.Replace(s3.inBucket("images"), "Managed", "Unmanaged", 1))
	n.wantCondition("StorageExists", "True", "PVC Exists")
	n.config(s3.inBucket("images"))
	n.storageIs("s3 images")
	n.config(strings.Replace(onDisk, "Managed", "Unmanaged", 1))
	n.wantCondition("StorageExists", "True", "S3 Bucket Exists")
	n.push("team/app", "1", []byte("x"))
	if len(s3.blobs("images")) != 1 {
		t.Errorf("in the bucket: %q", s3.blobs("images"))
	}
}
