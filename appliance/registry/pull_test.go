package registry_test

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/registry"
)

func TestRanges(t *testing.T) {
	w := newWorld(t)
	for name, size := range map[string]int{"small": 2048, "large": registry.SmallBytes + 2048} {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(i * 7 / 3)
		}
		path := "/v2/a/blobs/" + w.pushBlob("a", content).Digest.String()
		for _, c := range []struct {
			ask      string
			from, to int
		}{
			{"bytes=500-1499", 500, 1500},
			{"bytes=500-", 500, size},
			{"bytes=-500", size - 500, size},
			{"bytes=2000-9999999", 2000, size},
			{"bytes=0-0", 0, 1},
		} {
			a := w.do("GET", path, nil, head{"Range", c.ask}).want(206).
				wantHead("Content-Range", fmt.Sprintf("bytes %d-%d/%d", c.from, c.to-1, size)).
				wantHead("Content-Length", fmt.Sprint(c.to-c.from)).wantHead("Accept-Ranges", "bytes")
			if !bytes.Equal(a.body, content[c.from:c.to]) {
				t.Errorf("%s blob, %s: other bytes", name, c.ask)
			}
		}
		for _, ask := range []string{"bytes=9999999-", "bytes=500-0", "bytes=x-y"} {
			w.do("GET", path, nil, head{"Range", ask}).want(416)
		}
		w.do("GET", path, nil, head{"Range", "bytes=0-99", "If-Range", `"other"`}).want(200)
		w.severalRanges(path, content)
	}
}

func (w *world) severalRanges(path string, content []byte) {
	w.t.Helper()
	a := w.do("GET", path, nil, head{"Range", "bytes=0-9,100-109"}).want(206)
	_, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	w.must(err)
	parts := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
	for _, want := range [][]byte{content[:10], content[100:110]} {
		part, err := parts.NextPart()
		w.must(err)
		got, err := io.ReadAll(part)
		w.must(err)
		if !bytes.Equal(got, want) {
			w.t.Errorf("part %x, want %x", got, want)
		}
	}
}

// Over a real connection, with and without TLS, below and above every buffer.
func TestBlobsOfEverySizeArriveWhole(t *testing.T) {
	w := newWorld(t)
	for scheme, start := range map[string]func(http.Handler) *httptest.Server{
		"http": httptest.NewServer, "https": httptest.NewTLSServer,
	} {
		srv := start(w.h)
		defer srv.Close()
		const edge = registry.SmallBytes
		for _, size := range []int{0, 1, 511, 512, 4096, edge - 1, edge, edge + 1, 3 << 20} {
			content := bytes.Repeat([]byte{'a', 'b', 'c'}, size/3+1)[:size]
			d := w.pushBlob("a", content).Digest
			res, err := srv.Client().Get(srv.URL + "/v2/a/blobs/" + d.String())
			w.must(err)
			got, err := io.ReadAll(res.Body)
			w.must(err)
			w.must(res.Body.Close())
			named := res.Header.Get("Docker-Content-Digest")
			if !bytes.Equal(got, content) || res.ContentLength != int64(size) || named != d.String() {
				t.Errorf("%s: %d bytes of %d, Content-Length %d", scheme, len(got), size, res.ContentLength)
			}
		}
	}
}

// Bytes that are gone, or not as many as there should be, are never served as
// something else. The pusher is told that they are missing, so that a push heals.
func TestMissingBytesAreAnHonestError(t *testing.T) {
	for name, hurt := range map[string]func(string) error{
		"gone":    os.Remove,
		"shorter": func(file string) error { return os.Truncate(file, 3) },
		"longer":  func(file string) error { return os.Truncate(file, 1<<20) },
	} {
		for _, size := range []int{10, registry.SmallBytes + 10} {
			t.Run(fmt.Sprint(name, " ", size), func(t *testing.T) {
				w := newWorld(t)
				content := bytes.Repeat([]byte("x"), size)
				d := w.pushBlob("a", content).Digest
				path := "/v2/a/blobs/" + d.String()
				w.must(hurt(w.blobFile(d)))
				w.do("GET", path, nil).want(500, "BLOB_UNAVAILABLE")
				w.do("GET", path, nil, head{"Range", "bytes=0-1"}).want(500, "BLOB_UNAVAILABLE")
				w.do("HEAD", path, nil).want(404)
				w.pushBlob("a", content)
				w.do("HEAD", path, nil).want(200)
				if a := w.do("GET", path, nil).want(200); !bytes.Equal(a.body, content) {
					t.Error("the push did not heal the blob")
				}
			})
		}
	}
}

// Bytes that are not there cannot be mounted; they are asked for instead.
func TestMissingBytesAreNotMounted(t *testing.T) {
	w := newWorld(t)
	d := w.pushBlob("a", []byte("content")).Digest
	w.must(os.Remove(w.blobFile(d)))
	w.do("POST", "/v2/b/blobs/uploads/?from=a&mount="+d.String(), nil).want(202)
	w.do("POST", "/v2/b/blobs/uploads/?mount="+d.String(), nil).want(202)
}

// blobFile finds a blob's file by its name, wherever the store put it.
func (w *world) blobFile(d digest.Digest) string {
	w.t.Helper()
	found := ""
	w.must(filepath.WalkDir(filepath.Join(w.dir, "blobs"), func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, d.Encoded()) {
			found = path
		}
		return err
	}))
	if found == "" {
		w.t.Fatalf("no file of %s", d)
	}
	return found
}

func TestABlobIsReadThroughItsRepositoryOnly(t *testing.T) {
	w := newWorld(t)
	d := w.pushBlob("a", []byte("content")).Digest.String()
	w.do("GET", "/v2/b/blobs/"+d, nil).want(404, "BLOB_UNKNOWN")
	w.pushBlob("b", []byte("other"))
	w.do("GET", "/v2/b/blobs/"+d, nil).want(404, "BLOB_UNKNOWN")
	w.do("HEAD", "/v2/b/blobs/"+d, nil).want(404)
}

func TestEveryAnswerSaysWhatItIs(t *testing.T) {
	w := newWorld(t)
	w.pushImage("a", "v1")
	for _, path := range []string{
		"/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/v1", "/v2/a/manifests/v2", "/v2/b/tags/list",
		"/v2/a/blobs/" + digest.FromString("layer of v1").String(), "/v2/a/referrers/" + someDigest,
		"/v2/nothing", "/v2/A/tags/list",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
			w.do(method, path, nil).wantHead("Docker-Distribution-API-Version", "registry/2.0")
		}
	}
	if a := w.do("GET", "/v2/", nil).want(200).wantHead("Content-Type", "application/json"); string(a.body) != "{}" {
		t.Errorf("/v2/ is %s", a.body)
	}
	w.do("HEAD", "/v2/", nil).want(200)
	w.do("GET", "/v2", nil).want(200)
}

// What is no route is 404, what is no method of a route 405 with what is.
func TestUnknownRoutesAndMethods(t *testing.T) {
	w := newWorld(t)
	w.pushImage("a", "v1")
	w.do("GET", "/v2/a", nil).want(404)
	w.do("GET", "/v2/a/b/c", nil).want(404)
	w.do("GET", "/v1/search", nil).want(404)
	for path, allow := range map[string]string{
		"/v2/":                          "GET, HEAD, OPTIONS",
		"/v2/a/manifests/v1":            "DELETE, GET, HEAD, OPTIONS, PUT",
		"/v2/a/blobs/" + someDigest:     "DELETE, GET, HEAD, OPTIONS",
		"/v2/a/blobs/uploads/":          "OPTIONS, POST",
		"/v2/a/tags/list":               "GET, HEAD, OPTIONS",
		"/v2/_catalog":                  "GET, HEAD, OPTIONS",
		"/v2/a/referrers/" + someDigest: "GET, HEAD, OPTIONS",
	} {
		w.do("PATCH", path, []byte("x")).want(405, "UNSUPPORTED").wantHead("Allow", allow)
		w.do("OPTIONS", path, nil).want(200).wantHead("Allow", allow)
	}
	w.do("POST", "/v2/a/blobs/uploads/x", nil).want(405, "UNSUPPORTED").
		wantHead("Allow", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT")
}
