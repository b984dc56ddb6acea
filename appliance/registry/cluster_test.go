package registry_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// others is what the other nodes of a test do.
type others struct {
	mu      sync.Mutex // guards the rest
	confirm func() error
	spread  func(blobs []digest.Digest) error
	linked  []digest.Digest
	passed  []string // node, method and path of what was forwarded
	pins    []*blobstore.Pin
	link    func(context.Context) error // of the last of pins
}

func (o *others) Unsettled(pin *blobstore.Pin, link func(context.Context) error) {
	o.pins, o.link = append(o.pins, pin), link
}

func (o *others) Confirm(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.confirm == nil {
		return nil
	}
	return o.confirm()
}

func (o *others) Linked(d digest.Digest, _ int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.linked = append(o.linked, d)
}

func (o *others) Spread(_ context.Context, blobs []digest.Digest) error {
	if o.spread == nil {
		return nil
	}
	return o.spread(blobs)
}

func (o *others) Forward(w http.ResponseWriter, r *http.Request, node string) error {
	if node != "2" {
		return meta.ErrNotFound
	}
	o.passed = append(o.passed, node+" "+r.Method+" "+r.URL.Path)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (*others) Node() string { return "1" }

// withOthers is a registry that is one node of several.
func withOthers(t *testing.T, o *others) *world {
	t.Helper()
	return newWorld(t, func(c *registry.Config) { c.Cluster = o })
}

var errAway = errors.New("nobody answers")

func TestReadsThatNobodyConfirmsSaySo(t *testing.T) {
	o := &others{}
	w := withOthers(t, o)
	d := w.pushImage("team/app", "v1")
	paths := []string{
		"/v2/team/app/manifests/v1", "/v2/team/app/tags/list", "/v2/_catalog", "/v2/team/app/referrers/" + d.String(),
	}
	for _, path := range paths {
		w.do("GET", path, nil).want(200).wantHead("Warning", "")
	}
	o.confirm = func() error { return errAway }
	for _, path := range paths {
		w.do("GET", path, nil).want(200).wantHead("Warning",
			`110 skerry "Response is Stale: this node cannot ask the others"`)
	}
	// What has a digest cannot be stale.
	w.do("GET", "/v2/team/app/manifests/"+d.String(), nil).want(200).wantHead("Warning", "")
}

// TestWhatIsNotHereMayBeNews has another node's push arrive while this one confirms.
func TestWhatIsNotHereMayBeNews(t *testing.T) {
	o := &others{}
	w := withOthers(t, o)
	d := w.pushBlob("team/other", []byte("news")).Digest
	path := "/v2/team/app/blobs/" + d.String()
	w.do("HEAD", path, nil).want(404)
	link := func() error { return w.meta.LinkBlob(context.Background(), "team/app", d, 4, "alice") }
	unlink := func() { w.must(w.meta.UnlinkBlob(t.Context(), "team/app", d, "alice")) }
	o.confirm = link
	w.do("HEAD", path, nil).want(200)
	unlink()
	w.do("GET", path, nil).want(200)

	m := w.image("team/new", "v1")
	o.confirm = func() error {
		o.confirm = nil
		return w.meta.PutManifest(context.Background(), meta.PutManifest{
			Repo: "team/new", Digest: digest.FromBytes(m), MediaType: "application/json", Payload: m,
		})
	}
	w.do("GET", "/v2/team/new/manifests/"+digest.FromBytes(m).String(), nil).want(200)
}

func TestAManifestWaitsForItsCopies(t *testing.T) {
	o := &others{}
	w := withOthers(t, o)
	m := w.image("team/app", "v1")
	if len(o.linked) != 2 {
		t.Errorf("the others were told of %d blobs, want config and layer", len(o.linked))
	}
	asked := 0
	o.spread = func(blobs []digest.Digest) error {
		asked = len(blobs)
		return registry.ErrCopies
	}
	w.do("PUT", "/v2/team/app/manifests/v1", m, typed).want(503, "UNAVAILABLE").wantHead("Retry-After", "2")
	if asked != 2 {
		t.Errorf("it asked for copies of %d blobs", asked)
	}
	w.do("HEAD", "/v2/team/app/manifests/v1", nil).want(404)
	o.spread = nil
	w.do("PUT", "/v2/team/app/manifests/v1", m, typed).want(201)
}

func TestAnUploadIsForwardedToItsNode(t *testing.T) {
	o := &others{}
	w := withOthers(t, o)
	here := w.do("POST", "/v2/team/app/blobs/uploads/", nil).want(202).location()
	if !strings.HasPrefix(here, "/v2/team/app/blobs/uploads/1.") {
		t.Fatalf("an upload begins at %s", here)
	}
	there, nowhere := strings.Replace(here, "/1.", "/2.", 1), strings.Replace(here, "/1.", "/3.", 1)
	b := []byte("bytes")
	if now := w.do("PATCH", here, b).want(202).location(); now != here {
		t.Errorf("it goes on at %s", now)
	}
	w.do("GET", here, nil).want(204).wantHead("Range", "0-4")
	w.do("PUT", with(here, "digest", digest.FromBytes(b).String()), nil).want(201)
	for _, method := range []string{"GET", "PATCH", "PUT", "DELETE"} {
		w.do(method, there, nil).want(204)
		w.do(method, nowhere, nil).want(404, "BLOB_UPLOAD_UNKNOWN")
	}
	if len(o.passed) != 4 {
		t.Errorf("forwarded: %q", o.passed)
	}
	alone := newWorld(t)
	alone.do("PATCH", there, b).want(404, "BLOB_UPLOAD_UNKNOWN")
}

// Who pushes is known where it is decided what they may do.
func TestWhatIsForwardedIsRecordedByTheOtherNode(t *testing.T) {
	var events []registry.Event
	w := newWorld(t, func(c *registry.Config) {
		c.Cluster = &others{}
		c.Audit = func(_ *http.Request, e registry.Event) { events = append(events, e) }
	})
	here := w.do("POST", "/v2/team/app/blobs/uploads/", nil).want(202).location()
	end := with(strings.Replace(here, "/1.", "/2.", 1), "digest", digest.FromString("x").String())
	w.do("PUT", end, []byte("x")).want(204)
	if len(events) != 0 {
		t.Errorf("forwarded, and recorded here as %+v", events)
	}
	w.do("PUT", strings.Replace(end, "/2.", "/3.", 1), []byte("x")).want(404)
	if len(events) != 1 {
		t.Errorf("what could not be forwarded is recorded as %+v", events)
	}
}

// TestABlobOfUnknownFateStaysPinned has an answer get lost: the bytes may be unlinked
// only when it is known what became of them.
func TestABlobOfUnknownFateStaysPinned(t *testing.T) {
	o := &others{}
	w := withOthers(t, o)
	d := digest.FromString("content")
	gone := func() error {
		_, err := w.blobs.Remove(t.Context(), d, func() (bool, error) { return false, nil })
		return err
	}
	w.log.fails = meta.ErrUnavailable // it certainly was not linked
	w.do("POST", with(uploads, "digest", d.String()), []byte("content")).want(503, "UNAVAILABLE")
	if err := gone(); err != nil || len(o.pins) != 0 {
		t.Fatalf("refused, it is kept by %d pins: %v", len(o.pins), err)
	}
	w.log.fails = errors.Join(meta.ErrUnavailable, meta.ErrUnsettled)
	w.do("POST", with(uploads, "digest", d.String()), []byte("content")).want(503, "UNAVAILABLE")
	if err := gone(); !errors.Is(err, blobstore.ErrPinned) || len(o.pins) != 1 {
		t.Fatalf("of unknown fate, it is kept by %d pins: %v", len(o.pins), err)
	}
	w.log.fails = nil
	w.must(o.link(t.Context()))
	o.pins[0].Release()
	w.do("GET", "/v2/a/b/blobs/"+d.String(), nil).want(200)
}

func TestANodeThatMayNotPushSaysWhy(t *testing.T) {
	w := withOthers(t, &others{})
	for words, err := range map[string]error{"was removed": meta.ErrNode, "older version": meta.ErrLevel} {
		w.log.fails = err
		a := w.do("POST", with(uploads, "digest", digest.FromString("x").String()), []byte("x")).want(503, "UNAVAILABLE")
		if !strings.Contains(string(a.body), words) {
			t.Errorf("%v: %s", err, a.body)
		}
	}
}
