package meta_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skerry.dev/skerry/meta"
)

// A world is a store over a fresh database, with a log that agrees at once and
// a clock that only the test moves. After the test its database is checked.
type world struct {
	*meta.Store
	t  testing.TB
	db *meta.DB

	mu    sync.Mutex // guards what follows; held while a command is applied
	index uint64
	log   [][]byte
	clock time.Time
	last  time.Time // of any command applied: what the state machine goes by

	unheld func() int // how many blobs are held by no node; nil: none

	before func(command []byte) // called before a command is applied, unlocked; may propose
	after  func(command []byte) // called after it
}

const grace = time.Hour

func newWorld(t testing.TB) *world { return newWorldWith(t, meta.Seam{}) }

// newWorldWith lets guards be removed.
func newWorldWith(t testing.TB, s meta.Seam) *world {
	t.Helper()
	return newWorldIn(t, t.TempDir(), s)
}

// newWorldIn has the database in dir.
func newWorldIn(t testing.TB, dir string, s meta.Seam) *world {
	t.Helper()
	db, err := meta.OpenSeam(meta.DBConfig{Dir: dir}, s)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db, clock: time.UnixMilli(1_800_000_000_000)}
	w.Store = meta.NewStore(db, w, meta.StoreConfig{Grace: grace, Now: w.now})
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.check) // runs before Close
	return w
}

// Propose agrees with itself.
func (w *world) Propose(_ context.Context, command []byte) ([]byte, error) {
	if w.before != nil {
		w.before(command)
	}
	if w.after != nil {
		defer w.after(command)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.index++
	w.log = append(w.log, command)
	if at := meta.TimeOf(command); at.After(w.last) {
		w.last = at
	}
	results, err := w.db.Apply([]uint64{w.index}, [][]byte{command}, nil)
	if err != nil {
		return nil, err
	}
	return results[0], nil
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

// check walks the invariants.
func (w *world) check() {
	w.t.Helper()
	unheld := 0
	for p, err := range w.db.Check(context.Background()) {
		switch {
		case err != nil:
			w.t.Errorf("check: %v", err)
		case w.unheld != nil && strings.HasSuffix(p.What, "is held by no node"):
			unheld++
		default:
			w.t.Errorf("check: %s: %s: %s", p.Invariant, p.Where, p.What)
		}
	}
	if w.unheld != nil && unheld != w.unheld() {
		w.t.Errorf("check: %d blobs are held by no node, want %d", unheld, w.unheld())
	}
}

// must ends the test on an error.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// wants reports an error that is not the one wanted.
func (w *world) wants(err, want error) {
	w.t.Helper()
	if !errors.Is(err, want) {
		w.t.Errorf("got error %v, want %v", err, want)
	}
}

// blob makes a blob of a name known to repo.
func (w *world) blob(repo meta.RepoName, name string) digest.Digest {
	w.t.Helper()
	d := digest.FromString(name)
	w.must(w.LinkBlob(context.Background(), repo, d, int64(len(name)), "alice"))
	return d
}

// image is a push of a manifest whose blobs are named; it does not link them.
func image(repo meta.RepoName, name string, tags []meta.Tag, blobs ...string) meta.PutManifest {
	p := manifest(repo, name, tags)
	for _, b := range blobs {
		p.Blobs = append(p.Blobs, digest.FromString(b))
	}
	return p
}

// manifest is a push of a manifest without references; its name makes its digest.
func manifest(repo meta.RepoName, name string, tags []meta.Tag) meta.PutManifest {
	payload := fmt.Appendf(nil, `{"schemaVersion":2,"name":%q}`, name)
	return meta.PutManifest{
		Repo: repo, Digest: digest.FromBytes(payload), MediaType: ocispec.MediaTypeImageManifest,
		Payload: payload, Tags: tags, Actor: "alice",
	}
}

// push puts a manifest, after its blobs.
func (w *world) push(p meta.PutManifest) digest.Digest {
	w.t.Helper()
	for _, d := range p.Blobs {
		w.must(w.LinkBlob(context.Background(), p.Repo, d, 10, p.Actor))
	}
	w.must(w.PutManifest(context.Background(), p))
	return p.Digest
}

// damage spoils the first record of a bucket until restore is called.
func (w *world) damage(bucket string) (restore func()) {
	w.t.Helper()
	keys, values, err := w.db.Records(bucket)
	w.must(err)
	w.must(w.db.Write(bucket, keys[0], values[0][:len(values[0])/2]))
	return func() { w.must(w.db.Write(bucket, keys[0], values[0])) }
}
