package registry_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"skerry.dev/skerry/appliance/registry"
)

// counting is a world whose registry counts, and what it counted.
func counting(t *testing.T) (*world, func(lines ...string)) {
	t.Helper()
	m := registry.NewMetrics()
	w := newWorld(t, func(c *registry.Config) { c.Metrics = m })
	all := prometheus.NewPedanticRegistry()
	for _, c := range m.Collectors() {
		all.MustRegister(c)
	}
	return w, func(lines ...string) {
		t.Helper()
		rec := httptest.NewRecorder()
		promhttp.HandlerFor(all, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
		for _, line := range lines {
			if !strings.Contains(rec.Body.String(), "\nskerry_registry_"+line+"\n") {
				name, _, _ := strings.Cut(line, " ")
				t.Errorf("want %s, have %q", line, linesOf(rec.Body.String(), name))
			}
		}
	}
}

func linesOf(text, name string) (found []string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "skerry_registry_"+name) {
			found = append(found, line)
		}
	}
	return found
}

func TestRequestsAreCountedAsTheyWereAnswered(t *testing.T) {
	w, want := counting(t)
	small, large := []byte("small"), make([]byte, registry.SmallBytes+1)
	smallPath := "/v2/a/blobs/" + w.pushBlob("a", small).Digest.String()
	largePath := "/v2/a/blobs/" + w.pushBlob("a", large).Digest.String()
	d := w.pushImage("a", "v1") // two blobs and a manifest
	for range 3 {
		w.do("GET", "/v2/a/manifests/v1", nil).want(200)
	}
	w.do("HEAD", "/v2/a/manifests/v1", nil).want(200)
	w.do("GET", "/v2/a/manifests/v1", nil, head{"If-None-Match", `"` + d.String() + `"`}).want(304)
	w.do("GET", "/v2/a/manifests/v2", nil).want(404)
	w.do("GET", smallPath, nil).want(200)
	w.do("GET", largePath, nil).want(200)
	w.do("GET", largePath, nil, head{"Range", "bytes=0-9"}).want(206)
	w.do("GET", largePath, nil, head{"Range", "bytes=99999999-"}).want(416)
	w.do("GET", "/v2/b/blobs/"+digest.FromString("x").String(), nil).want(404)
	w.do("DELETE", smallPath, nil).want(202) // by distribution's App
	w.do("POST", "/v2/b/blobs/uploads/?from=a&mount="+digest.FromBytes(large).String(), nil).want(201)
	w.do("DELETE", "/v2/a/manifests/v1", nil).want(202)
	w.do("DELETE", "/v2/a/manifests/"+d.String(), nil).want(202)
	w.do("BREW", "/v2/", nil).want(405)
	w.do("GET", "/v2/a/nothing", nil).want(404)
	want(
		`requests_total{code="2xx",method="GET",route="manifest"} 3`,
		`requests_total{code="3xx",method="GET",route="manifest"} 1`,
		`requests_total{code="4xx",method="GET",route="manifest"} 1`,
		`requests_total{code="2xx",method="HEAD",route="manifest"} 1`,
		`requests_total{code="2xx",method="PUT",route="manifest"} 1`,
		`requests_total{code="2xx",method="DELETE",route="manifest"} 2`,
		`requests_total{code="2xx",method="GET",route="blob"} 3`,
		`requests_total{code="4xx",method="GET",route="blob"} 2`,
		`requests_total{code="2xx",method="DELETE",route="blob"} 1`,
		`requests_total{code="2xx",method="POST",route="uploads"} 5`,
		`requests_total{code="4xx",method="OTHER",route="ping"} 1`,
		`requests_total{code="4xx",method="GET",route="other"} 1`,
		`requests_total{code="5xx",method="GET",route="blob"} 0`, // there from the start, so that a rate sees the first
		`request_duration_seconds_count{method="GET",route="blob"} 5`,
		`operations_total{object="manifest",operation="pull"} 3`,
		`operations_total{object="manifest",operation="push"} 1`,
		`operations_total{object="manifest",operation="delete"} 1`,
		`operations_total{object="tag",operation="delete"} 1`,
		`operations_total{object="blob",operation="push"} 4`,
		`operations_total{object="blob",operation="pull"} 3`,
		`operations_total{object="blob",operation="mount"} 1`,
		`operations_total{object="blob",operation="delete"} 1`,
		`requests_in_flight 0`,
	)
}

func TestBytesAreCountedInBothDirections(t *testing.T) {
	w, want := counting(t)
	whole, chunked := make([]byte, 1000), make([]byte, registry.SmallBytes+500)
	w.pushBlob("a", whole)
	up := w.do("POST", "/v2/a/blobs/uploads/", nil).want(202).location()
	up = w.do("PATCH", up, chunked[:400]).want(202).location()
	w.do("PUT", with(up, "digest", digest.FromBytes(chunked).String()), chunked[400:]).want(201)
	path := "/v2/a/blobs/" + digest.FromBytes(chunked).String()
	w.do("GET", path, nil).want(200)
	w.do("GET", path, nil, head{"Range", "bytes=10-19"}).want(206)
	w.do("HEAD", path, nil).want(200)
	w.do("GET", "/v2/", nil).want(200)
	m := w.image("b", "x") // its blobs have these lengths:
	blobs := len(`{"seed":"x"}`) + len("layer of x")
	w.do("PUT", "/v2/b/manifests/x", m, typed).want(201)
	w.do("GET", "/v2/b/manifests/x", nil).want(200)
	want(
		fmt.Sprintf(`received_bytes_total{object="blob"} %d`, len(whole)+len(chunked)+blobs),
		fmt.Sprintf(`received_bytes_total{object="manifest"} %d`, len(m)),
		fmt.Sprintf(`sent_bytes_total{object="blob"} %d`, len(chunked)+10),
		fmt.Sprintf(`sent_bytes_total{object="manifest"} %d`, len(m)),
		`sent_bytes_total{object="other"} 2`,
	)
}

// A client that went away before its answer is no success: it is told nothing,
// which a server would make a 200 of.
func TestAClientThatWentAwayIsNoSuccess(t *testing.T) {
	w, want := counting(t)
	up := w.do("POST", "/v2/a/blobs/uploads/", nil).want(202).location()
	held, err := w.blobs.Resume("a anonymous", up[strings.LastIndexByte(up, '/')+1:])
	w.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "PATCH", up, strings.NewReader("x")))
	w.must(held.Close())
	want(
		`requests_total{code="2xx",method="PATCH",route="upload"} 0`,
		`requests_total{code="4xx",method="PATCH",route="upload"} 1`,
	)
}

// A kernelWriter is a server's ResponseWriter to which the kernel can copy.
type kernelWriter struct {
	sink
	from io.Reader
	n    int64
}

func (k *kernelWriter) ReadFrom(r io.Reader) (int64, error) {
	k.from = r
	n, err := io.Copy(&k.sink, r)
	k.n += n
	return n, err
}

// Counting must not cost sendfile: what reaches the server's writer is the file.
func TestTheKernelStillCopiesBlobs(t *testing.T) {
	w, want := counting(t)
	content := make([]byte, registry.SmallBytes+1)
	path := "/v2/a/blobs/" + w.pushBlob("a", content).Digest.String()

	k := &kernelWriter{sink: sink{head: http.Header{}}}
	w.h.ServeHTTP(k, httptest.NewRequest("GET", path, nil))
	if _, ok := k.from.(*os.File); !ok || k.n != int64(len(content)) {
		t.Errorf("a whole blob reaches the server as %T of %d bytes, want the file", k.from, k.n)
	}
	k = &kernelWriter{sink: sink{head: http.Header{}}}
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Range", "bytes=5-14")
	w.h.ServeHTTP(k, r)
	part, ok := k.from.(*io.LimitedReader)
	if !ok {
		t.Fatalf("a range reaches the server as %T, want a part of the file", k.from)
	}
	if _, ok := part.R.(*os.File); !ok || k.n != 10 {
		t.Errorf("a range reaches the server as %T of %d bytes, want the file", part.R, k.n)
	}
	want(fmt.Sprintf(`sent_bytes_total{object="blob"} %d`, len(content)+10))
}

// A flusher is a ResponseWriter that can be flushed, also by way of an error.
type flusher struct {
	sink
	flushed int
}

func (f *flusher) Flush() { f.flushed++ }

func TestCountingHidesNoFlusher(t *testing.T) {
	f := &flusher{}
	w := registry.Recorder(f)
	w.(http.Flusher).Flush()
	if err := http.NewResponseController(w).Flush(); err != nil {
		t.Error(err)
	}
	if f.flushed != 2 {
		t.Errorf("flushed %d times, want 2", f.flushed)
	}
}

// BenchmarkCounting is what counting adds to a request.
func BenchmarkCounting(b *testing.B) {
	count := registry.Counting()
	s := &sink{head: http.Header{}}
	r := httptest.NewRequest("GET", "/v2/a/manifests/v1", nil)
	b.ReportAllocs()
	for b.Loop() {
		count(s, r)
	}
}
