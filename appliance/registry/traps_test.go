package registry_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/blobstore"
)

// Traps that others fell into, each with where it was found.

// spegel#1378: HEAD of a tag said 200, GET of the digest it gave said 404.
func TestTheDigestOfATagIsThere(t *testing.T) {
	w := newWorld(t)
	w.pushImage("a", "v1")
	d := w.do("HEAD", "/v2/a/manifests/v1", nil).want(200).header.Get("Docker-Content-Digest")
	for _, method := range []string{"HEAD", "GET"} {
		w.do(method, "/v2/a/manifests/"+d, nil).want(200)
	}
}

// The same while the tag moves and its old manifests are deleted: a digest that HEAD
// gave may be gone by the time it is asked for, but a tag that is never without a
// manifest always answers, and with the manifest it names.
func TestAMovingTagNeverDangles(t *testing.T) {
	w := newWorld(t)
	var manifests [][]byte
	for i := range 4 {
		manifests = append(manifests, w.image("a", fmt.Sprint(i)))
	}
	w.do("PUT", "/v2/a/manifests/v1", manifests[0], typed).want(201)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a := w.do("GET", "/v2/a/manifests/v1", nil)
				if got := digest.FromBytes(a.body).String(); a.status != 200 || got != a.header.Get("Docker-Content-Digest") {
					t.Errorf("%d: %s under %s", a.status, got, a.header.Get("Docker-Content-Digest"))
					return
				}
			}
		})
	}
	for i := range 40 {
		w.do("PUT", "/v2/a/manifests/v1", manifests[(i+1)%4], typed).want(201)
		w.do("DELETE", "/v2/a/manifests/"+digest.FromBytes(manifests[i%4]).String(), nil).want(202)
	}
	close(stop)
	readers.Wait()
}

// distribution 77e035196: the catalog dropped "a" when "ab" existed. See also
// TestTheCatalogIsPagedInOrder.
func TestNoNameHidesAnother(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"ab", "a", "a/b", "a-b"} {
		w.tag(name, "ab", "a")
		if got, _ := w.list("/v2/" + name + "/tags/list"); len(got) != 2 {
			t.Errorf("tags of %s: %q", name, got)
		}
	}
	if got, _ := w.list("/v2/_catalog"); len(got) != 4 {
		t.Errorf("catalog %q", got)
	}
}

// zot 22deb3bb: one digest under two tags. Deleting a tag leaves the other; deleting
// the digest takes both, and nothing of another repository.
func TestASharedDigestIsDeletedOnce(t *testing.T) {
	w := newWorld(t)
	d := w.pushImage("a", "v1").String()
	m := w.do("GET", "/v2/a/manifests/v1", nil).body
	w.do("PUT", "/v2/a/manifests/v2", m, typed).want(201)
	w.image("b", "v1")
	w.do("PUT", "/v2/b/manifests/v1", m, typed).want(201)
	w.do("DELETE", "/v2/a/manifests/v1", nil).want(202)
	w.do("GET", "/v2/a/manifests/v2", nil).want(200).wantHead("Docker-Content-Digest", d)
	w.do("DELETE", "/v2/a/manifests/"+d, nil).want(202)
	w.do("GET", "/v2/a/manifests/v2", nil).want(404)
	w.do("GET", "/v2/b/manifests/v1", nil).want(200).wantHead("Docker-Content-Digest", d)
}

// zot#3299: a repository stayed in the catalog after its last manifest went.
func TestAnEmptyRepositoryIsNotListed(t *testing.T) {
	w := newWorld(t)
	d := w.pushImage("a", "v1")
	w.pushBlob("blobs/only", []byte("x"))
	if got, _ := w.list("/v2/_catalog"); len(got) != 1 {
		t.Errorf("catalog %q", got)
	}
	w.do("DELETE", "/v2/a/manifests/"+d.String(), nil).want(202)
	if got, _ := w.list("/v2/_catalog"); len(got) != 0 {
		t.Errorf("catalog %q after the last manifest was deleted", got)
	}
}

// zot 120c2005: nested indexes were walked, exponentially. Nothing walks them here.
func TestNestedIndexesAreNotWalked(t *testing.T) {
	w := newWorld(t)
	child := w.pushImage("a", "v1")
	for i := range 60 { // 2^60 paths
		m := bytes.ReplaceAll(index(t, child, child), []byte("image.manifest"), []byte("image.index"))
		child = digest.FromBytes(m)
		w.do("PUT", fmt.Sprint("/v2/a/manifests/n", i), m, head{"Content-Type", ocispec.MediaTypeImageIndex}).want(201)
	}
	w.do("DELETE", "/v2/a/manifests/"+child.String(), nil).want(202)
}

// zot: a mounted blob answered HEAD with 200 after it was deleted.
func TestADeletedMountIsGone(t *testing.T) {
	w := newWorld(t)
	d := w.pushBlob("source", []byte("x")).Digest.String()
	w.do("POST", "/v2/a/blobs/uploads/?from=source&mount="+d, nil).want(201)
	w.do("DELETE", "/v2/a/blobs/"+d, nil).want(202)
	w.do("HEAD", "/v2/a/blobs/"+d, nil).want(404)
	w.do("HEAD", "/v2/source/blobs/"+d, nil).want(200)
}

// distribution: every HEAD of what is not there was an error in the log.
func TestAMissIsNoErrorInTheLog(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t)
	w.pushImage("a", "v1")
	d := w.pushBlob("a", []byte("x")).Digest
	w.serve(registry.Handler, func(c *registry.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	})
	w.do("HEAD", "/v2/a/manifests/v2", nil).want(404)
	w.do("PATCH", "/v2/a/blobs/"+someDigest, nil).want(405)
	w.do("DELETE", "/v2/a/blobs/"+someDigest, nil).want(404) // by way of App, as the next
	w.do("DELETE", "/v2/a/blobs/"+digest.FromString("layer of v1").String(), nil).want(405)
	if log.Len() > 0 {
		t.Errorf("the log says %s", &log)
	}
	w.must(os.Remove(w.blobFile(d)))
	w.do("GET", "/v2/a/blobs/"+d.String(), nil).want(500)
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("an error of ours is logged %d times: %s", n, &log)
	}
}

// An internal error tells the client nothing of our inside.
func TestAnInternalErrorIsNotShown(t *testing.T) {
	p := &policy{err: errors.New("password file /etc/secret is damaged")}
	w := newWorld(t, p.into)
	if a := w.do("GET", "/v2/", nil).want(500, "UNKNOWN"); strings.Contains(string(a.body), "secret") {
		t.Errorf("the answer says %s", a.body)
	}
}

// No whole-body timeout: a slow push goes on as long as it brings something. One that
// brings nothing is ended, and can be continued.
func TestABodyWithoutProgressIsEnded(t *testing.T) {
	w := newWorld(t)
	l := w.do("POST", uploads, nil).want(202).location()
	synctest.Test(t, func(t *testing.T) {
		client, stop := serveOnPipe(t, w.h)
		start := time.Now()
		_, err := fmt.Fprintf(client, "PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n", l)
		w.must(err)
		sent := 0
		for range 10 { // 2 KiB/s, for more than a window
			<-time.After(20 * time.Second)
			n, err := client.Write(bytes.Repeat([]byte("x"), 40<<10))
			w.must(err)
			sent += n
		}
		res, err := http.ReadResponse(bufio.NewReader(client), nil) // now nothing more comes
		w.must(err)
		if res.StatusCode != 408 || res.Header.Get("Range") != fmt.Sprintf("0-%d", sent-1) {
			t.Errorf("%d, Range %s after %d bytes", res.StatusCode, res.Header.Get("Range"), sent)
		}
		if took := time.Since(start); took > 200*time.Second+registry.ProgressWindow+time.Second {
			t.Errorf("ended after %v", took)
		}
		_ = client.Close()
		stop()
	})
	a := w.do("GET", l, nil).want(204)
	if a.header.Get("Range") == "0-0" {
		t.Error("nothing was kept")
	}
}

// serveOnPipe serves one connection in memory, in the test's own time.
func serveOnPipe(t *testing.T, h http.Handler) (client net.Conn, stop func()) {
	t.Helper()
	client, server := net.Pipe()
	l := &onePipe{conn: make(chan net.Conn, 1), done: make(chan struct{})}
	l.conn <- server
	srv := &http.Server{Handler: h}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) })
	return client, func() {
		_ = srv.Close()
		serving.Wait()
		<-time.After(time.Minute) // of the bubble's: connections linger for half a second
	}
}

type onePipe struct {
	conn chan net.Conn
	once sync.Once
	done chan struct{}
}

func (l *onePipe) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *onePipe) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *onePipe) Addr() net.Addr { return &net.TCPAddr{} }

// Once the body is read there must be no deadline: the server goes on reading to see
// whether the client is there, and would take a timeout for its end.
func TestADeadlineEndsWithItsBody(t *testing.T) {
	w := newWorld(t)
	m := w.image("a", "v1", func(m *ocispec.Manifest) {
		m.Annotations = map[string]string{"pad": strings.Repeat("x", registry.ProgressBytes)}
	})
	w.log.hook = func(ctx context.Context) { // a slow quorum
		select {
		case <-ctx.Done():
			t.Error("the request was given up after its body was read")
		case <-time.After(3 * registry.ProgressWindow):
		}
	}
	synctest.Test(t, func(t *testing.T) {
		client, stop := serveOnPipe(t, w.h)
		answers := bufio.NewReader(client)
		for range 2 {
			_, err := fmt.Fprintf(client, "PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(m))
			w.must(err)
			_, err = client.Write(m[:registry.ProgressBytes-1])
			w.must(err)
			<-time.After(2 * time.Second)
			_, err = client.Write(m[registry.ProgressBytes-1:]) // with it enough has come, and all
			w.must(err)
			res, err := http.ReadResponse(answers, nil)
			w.must(err)
			if res.StatusCode != 201 {
				t.Errorf("status %d", res.StatusCode)
			}
			<-time.After(3 * registry.ProgressWindow) // the connection is only idle
		}
		_ = client.Close()
		stop()
	})
}

// quay#6318: the collector took a blob between its upload and its manifest. Until the
// metadata knows the blob, nothing may take its bytes.
func TestABlobIsPinnedUntilItIsKnown(t *testing.T) {
	w := newWorld(t)
	d := digest.FromString("content")
	removed := 0
	w.log.hook = func(ctx context.Context) {
		_, err := w.blobs.Remove(ctx, d, func() (bool, error) { return false, nil })
		if !errors.Is(err, blobstore.ErrPinned) {
			t.Errorf("removing a blob that is being pushed: %v", err)
		}
		removed++
	}
	w.do("POST", with(uploads, "digest", d.String()), []byte("content")).want(201)
	w.do("POST", "/v2/c/blobs/uploads/?from=a/b&mount="+d.String(), nil).want(201)
	if removed != 2 {
		t.Errorf("%d commands", removed)
	}
}

// distribution e0bac4837: a client that hangs up took work down that was not its own.
// Here its last byte has arrived, so the blob is linked for whoever asks next.
func TestABlobIsLinkedThoughItsClientLeft(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	d := digest.FromString("content")
	body := io.MultiReader(strings.NewReader("content"), onEOF(cancel))
	r := httptest.NewRequest("POST", with(uploads, "digest", d.String()), body)
	w.h.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
	w.do("GET", "/v2/a/b/blobs/"+d.String(), nil).want(200)
}

type onEOF func()

func (f onEOF) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}
