package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// A world is a registry over real stores in a directory of the test's, with a log
// that agrees at once. After the test its database is checked.
type world struct {
	t     testing.TB
	dir   string
	log   *oneNode
	meta  *meta.Store
	blobs *blobstore.Store
	h     http.Handler
	later atomic.Int64 // nanoseconds that meta's clock is ahead
}

// grace is how long what nothing refers to is kept: short enough that a pusher's
// question renews it.
const grace = 10 * time.Hour

// oneNode is a log without peers.
type oneNode struct {
	db    *meta.DB
	mu    sync.Mutex // held while a command is applied
	index uint64
	down  atomic.Bool           // no quorum
	full  atomic.Bool           // no room on its disk
	hook  func(context.Context) // called before a command is agreed on, if set
	fails error                 // what a command comes to instead
}

func (p *oneNode) Propose(ctx context.Context, command []byte) ([]byte, error) {
	if p.hook != nil {
		p.hook(ctx)
	}
	if p.down.Load() || ctx.Err() != nil {
		return nil, fmt.Errorf("propose: %w", meta.ErrUnavailable)
	}
	if p.full.Load() {
		return nil, fmt.Errorf("propose: %w", meta.ErrFull)
	}
	if p.fails != nil {
		return nil, p.fails
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index++
	results, err := p.db.Apply([]uint64{p.index}, [][]byte{command}, nil)
	if err != nil {
		return nil, err
	}
	return results[0], nil
}

func newWorld(t testing.TB, change ...func(*registry.Config)) *world {
	t.Helper()
	w := openStores(t, blobstore.Config{})
	w.serve(registry.Handler, change...)
	return w
}

// openStores is a world without a handler.
func openStores(t testing.TB, blobs blobstore.Config) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	db, err := meta.OpenDB(meta.DBConfig{Dir: filepath.Join(w.dir, "meta")})
	w.must(err)
	t.Cleanup(func() { w.must(db.Close()) })
	t.Cleanup(func() { // before Close
		for p, err := range db.Check(context.Background()) {
			t.Errorf("check: %+v %v", p, err)
		}
	})
	w.log = &oneNode{db: db}
	w.meta = meta.NewStore(db, w.log, meta.StoreConfig{
		Grace: grace, Now: func() time.Time { return time.Now().Add(time.Duration(w.later.Load())) },
	})
	blobs.Dir, blobs.Reserve = filepath.Join(w.dir, "blobs"), -1
	if blobs.High == 0 { // however full this machine's disk is
		blobs.Soft, blobs.High, blobs.Critical = 100, 100, 100
	}
	w.openBlobs(blobs)
	return w
}

// openBlobs opens the blob store; again, as after a restart, when it was open.
func (w *world) openBlobs(cfg blobstore.Config) {
	w.t.Helper()
	if w.blobs != nil {
		w.must(w.blobs.Close())
	}
	var err error
	w.blobs, err = blobstore.Open(cfg)
	w.must(err)
	opened := w.blobs
	w.t.Cleanup(func() {
		if opened == w.blobs {
			w.must(opened.Close())
		}
	})
}

// A maker is registry.Handler or registry.Oracle.
type maker func(context.Context, registry.Config) (http.Handler, error)

func (w *world) serve(handler maker, change ...func(*registry.Config)) {
	w.t.Helper()
	cfg := registry.Config{Meta: w.meta, Blobs: w.blobs, Secret: "a secret"}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	w.h, err = handler(context.WithoutCancel(w.t.Context()), cfg)
	w.must(err)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// An answer is a response that was read.
type answer struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   []byte
}

// head are headers of a request, key and value in turn.
type head []string

// do sends a request to the handler, without a network.
func (w *world) do(method, path string, body []byte, heads ...head) answer {
	w.t.Helper()
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	if body == nil {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	if r.ContentLength > 0 {
		r.Header.Set("Content-Length", fmt.Sprint(r.ContentLength)) // as servers do not: distribution looks there
	}
	for _, h := range heads {
		for kv := range slices.Chunk(h, 2) {
			r.Header.Add(kv[0], kv[1])
		}
	}
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	return answer{w.t, method + " " + path, rec.Code, rec.Header(), rec.Body.Bytes()}
}

// want checks the status, and the code of an error.
func (a answer) want(status int, code ...string) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d: %s", a.what, a.status, status, a.body)
	}
	if len(code) > 0 && a.code() != code[0] {
		a.t.Fatalf("%s: code %q, want %q: %s", a.what, a.code(), code[0], a.body)
	}
	return a
}

// code is the first error's.
func (a answer) code() string {
	var e struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(a.body, &e) != nil || len(e.Errors) == 0 {
		return ""
	}
	return e.Errors[0].Code
}

// wantHead checks one header.
func (a answer) wantHead(key, value string) answer {
	a.t.Helper()
	if got := strings.Join(a.header.Values(key), ", "); got != value {
		a.t.Errorf("%s: %s is %q, want %q", a.what, key, got, value)
	}
	return a
}

// location is where the answer points to.
func (a answer) location() string {
	a.t.Helper()
	l := a.header.Get("Location")
	if l == "" {
		a.t.Fatalf("%s: no Location", a.what)
	}
	return l
}

// with adds a parameter to a location.
func with(location, key, value string) string {
	sep := "?"
	if strings.Contains(location, "?") {
		sep = "&"
	}
	return location + sep + key + "=" + value
}

// pushBlob pushes content in one request.
func (w *world) pushBlob(repo string, content []byte) ocispec.Descriptor {
	w.t.Helper()
	d := digest.FromBytes(content)
	w.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.String(), content).want(201)
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d, Size: int64(len(content))}
}

// image pushes two blobs and returns a manifest over them that was not pushed.
func (w *world) image(repo, seed string, change ...func(*ocispec.Manifest)) []byte {
	w.t.Helper()
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
	m.SchemaVersion = 2
	m.Config = w.pushBlob(repo, []byte(`{"seed":"`+seed+`"}`))
	m.Config.MediaType = ocispec.MediaTypeImageConfig
	m.Layers = []ocispec.Descriptor{w.pushBlob(repo, []byte("layer of "+seed))}
	for _, c := range change {
		c(&m)
	}
	return asJSON(w.t, m)
}

// index is an image index over manifests of these digests.
func index(t testing.TB, children ...digest.Digest) []byte {
	t.Helper()
	m := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	m.SchemaVersion = 2
	for _, d := range children {
		m.Manifests = append(m.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1})
	}
	return asJSON(t, m)
}

func asJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var typed = head{"Content-Type", ocispec.MediaTypeImageManifest}

// pushImage pushes an image under tag and returns its digest.
func (w *world) pushImage(repo, tag string) digest.Digest {
	w.t.Helper()
	m := w.image(repo, tag)
	w.do("PUT", "/v2/"+repo+"/manifests/"+tag, m, typed).want(201)
	return digest.FromBytes(m)
}

// broken is a body that ends with an error after some bytes.
func broken(b []byte) io.Reader {
	return io.MultiReader(bytes.NewReader(b), errReader{errors.New("connection reset")})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func errorsIsManifest(err error) bool { return errors.Is(err, registry.ErrManifest) }
