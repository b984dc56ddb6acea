package appliance_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/skerry/appliance"
)

// probe asks a probe and wants a status and lines.
func (n *node) probe(status int, path string, lines ...string) {
	n.t.Helper()
	got, answer := n.do(http.MethodGet, path, "", nil)
	n.judge(path, got, status, answer, lines...)
}

func (n *node) judge(path string, got, status int, answer string, lines ...string) {
	n.t.Helper()
	if got != status {
		n.t.Errorf("%s: status %d, want %d: %s", path, got, status, answer)
	}
	for _, line := range lines {
		if !strings.Contains("\n"+answer, "\n"+line) {
			n.t.Errorf("%s: no line begins with %q: %s", path, line, answer)
		}
	}
}

// wantReady checks that metrics say the same as the probes.
func (n *node) wantReady(reads, writes float64) {
	n.t.Helper()
	r, w := n.value("skerry_health_ready", "of", "reads"), n.value("skerry_health_ready", "of", "writes")
	if r != reads || w != writes {
		n.t.Errorf("metrics say: reads %v, writes %v; want %v, %v", r, w, reads, writes)
	}
}

// The answers are those of Kubernetes' API server, which people and tools know.
func TestProbesOfAWellRegistry(t *testing.T) {
	n := metered(t, appliance.Config{})
	for _, path := range []string{"/livez", "/healthz", "/readyz", "/readyz/writes"} {
		got, answer := n.do(http.MethodGet, path, "", nil)
		if got != http.StatusOK || answer != "ok\n" {
			t.Errorf("%s: %d %q, want a plain ok", path, got, answer)
		}
	}
	n.probe(200, "/livez?verbose", "[+]ping ok\n", "livez check passed\n")
	n.probe(200, "/readyz?verbose", "[+]ping ok\n", "[+]shutdown ok\n", "[+]management-state ok\n",
		"[+]metadata ok\n", "[+]storage ok\n",
		"readyz check passed\n")
	n.probe(200, "/readyz/writes?verbose", "[+]ping ok\n", "[+]metadata ok\n", "[+]read-only ok\n", "[+]disk ok\n",
		"[+]log ok\n", "readyz/writes check passed\n")
	n.probe(200, "/readyz?verbose&exclude=storage&exclude=nonsense", "[+]storage excluded: ok\n",
		`warn: no check is called "nonsense"`)
	n.probe(404, "/readyz/nothing")
}

func TestProbesOfAReadOnlyRegistry(t *testing.T) {
	n := metered(t, appliance.Config{ReadOnly: true})
	n.probe(200, "/readyz", "ok")
	n.probe(503, "/readyz/writes", "[+]ping ok\n", "[-]read-only failed: ", "[+]disk ok\n", "readyz/writes check failed\n")
	n.probe(200, "/readyz/writes?exclude=read-only", "ok")
	n.wantReady(1, 0)
	if got := n.value("skerry_health_check_ok", "check", "read-only"); got != 0 {
		t.Errorf("metrics say read-only is %v", got)
	}
}

func TestProbesOnAFullDisk(t *testing.T) {
	data := disk(t, "64m")
	n := metered(t, appliance.Config{
		Data: data, LogSegmentBytes: mib, DiskSoft: 80, DiskHigh: 90, DiskCritical: 95,
	})
	n.probe(200, "/readyz/writes", "ok")
	fill(t, filepath.Join(filepath.Dir(data), "hog"))
	eventually(t, "the disk counts as critical", func() bool {
		return n.value("skerry_blobstore_pressure", "state", "critical") == 1
	})
	eventually(t, "writes are not ready", func() bool {
		got, _ := n.do(http.MethodGet, "/readyz/writes", "", nil)
		return got == http.StatusServiceUnavailable
	})
	n.probe(503, "/readyz/writes", "[-]disk failed: ", "[+]metadata ok\n")
	n.probe(200, "/readyz", "ok")
	n.probe(200, "/livez", "ok")
	n.wantReady(1, 0)
	if err := os.Remove(filepath.Join(filepath.Dir(data), "hog")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "writes are ready again", func() bool {
		got, _ := n.do(http.MethodGet, "/readyz/writes", "", nil)
		return got == http.StatusOK
	})
}

// at asks the listener for scrapers, which outlives the public one.
func (n *node) at(path string) (int, string) {
	n.t.Helper()
	resp, err := http.Get(n.metrics + path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// uploading begins a push of a blob, which ends with finish.
func (n *node) uploading(content string) (finish func() (status int)) {
	n.t.Helper()
	before := n.value("skerry_blobstore_uploads", "state", "receiving")
	body, upload := io.Pipe()
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost,
		n.url+"/v2/a/blobs/uploads/?digest="+digestOf([]byte(content)), body)
	if err != nil {
		n.t.Fatal(err)
	}
	req.SetBasicAuth("admin", n.password)
	answered := make(chan int, 1)
	go func() { // ends with the upload
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			n.t.Error(err)
			close(answered)
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	eventually(n.t, "the upload runs", func() bool {
		return n.value("skerry_blobstore_uploads", "state", "receiving") == before+1
	})
	return func() int {
		if _, err := io.WriteString(upload, content); err != nil {
			n.t.Error(err)
		}
		_ = upload.Close()
		return <-answered
	}
}

func (n *node) waitUntilStopping() {
	n.t.Helper()
	eventually(n.t, "the probe tells of the stop", func() bool {
		got, _ := n.at("/readyz")
		return got == http.StatusServiceUnavailable
	})
}

// While running requests end, the address for scrapers says that this registry
// takes no others.
func TestProbesWhileStopping(t *testing.T) {
	n := metered(t, appliance.Config{})
	finish := n.uploading("slow")
	stopped := make(chan struct{})
	go func() { n.stop(); close(stopped) }()
	n.waitUntilStopping()
	for _, path := range []string{"/readyz", "/readyz/writes"} {
		got, answer := n.at(path)
		n.judge(path, got, 503, answer, "[-]shutdown failed: ", "[+]metadata ok\n")
	}
	got, answer := n.at("/livez")
	n.judge("/livez", got, 200, answer, "ok")
	if got := finish(); got != http.StatusCreated {
		t.Errorf("the running upload got %d, want 201", got)
	}
	<-stopped
}

// A checkpoint that cannot be kept ends the process; a log that cannot be
// applied meanwhile is named by the probe of writes, and by the metrics.
func TestProbesOfALogThatStopped(t *testing.T) {
	n := metered(t, appliance.Config{})
	n.fails = true
	first, second := n.uploading("first"), n.uploading("second")
	current := filepath.Join(n.data, "meta", "CURRENT")
	if err := os.Remove(current); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(current, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got, answer := n.putBlob("a", []byte("something to save")); got != http.StatusCreated {
		t.Fatalf("push: %d: %s", got, answer)
	}
	n.waitUntilStopping()
	if got := n.value("skerry_meta_checkpoint_failures_total"); got == 0 {
		t.Error("no checkpoint failure was counted")
	}
	if got := first(); got != http.StatusServiceUnavailable {
		t.Errorf("a push to a log that stopped: %d, want 503", got)
	}
	got, answer := n.at("/readyz/writes")
	n.judge("/readyz/writes", got, 503, answer, "[-]log failed: raft: state machine stopped", "[+]metadata ok\n")
	if got := n.value("skerry_raft_accepting"); got != 0 {
		t.Errorf("metrics say that the log accepts: %v", got)
	}
	second()
	n.stop()
}
