//go:build storage

package storage

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/blobstore/blobstoretest"
	"skerry.dev/skerry/blobstore/object"
)

// writes are requests that bring or name content.
func writes(r *http.Request) bool {
	return r.Method == http.MethodPut || r.Method == http.MethodPost && !strings.Contains(r.URL.RawQuery, "delete")
}

// hang keeps requests waiting until their client gives up.
func hang(match func(*http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if !match(r) {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that its client went away
		select {
		case <-r.Context().Done():
		case <-time.After(20 * time.Second):
		}
		return true
	}
}

// drop closes the connection of requests.
func drop(match func(*http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if !match(r) {
			return false
		}
		panic(http.ErrAbortHandler)
	}
}

// after lets n requests that match through.
func after(n int64, match func(*http.Request) bool) func(*http.Request) bool {
	var seen atomic.Int64
	return func(r *http.Request) bool { return match(r) && seen.Add(1) > n }
}

// TestAConnectionThatEndsFailsNoPush has the store close the connection of the first
// request that writes; clients do not repeat what is answered with 503.
func TestAConnectionThatEndsFailsNoPush(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		s := p.open(t, t.TempDir(), "again", hasty)
		first, d := received(t, s, blobstoretest.Noise(small)) // after which the bucket knows whose it is
		pin, err := first.Commit(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		pin.Release()
		u, d := received(t, s, blobstoretest.Noise(small))
		broken := atomic.Bool{}
		p.proxy.do(drop(func(r *http.Request) bool { return writes(r) && !broken.Swap(true) }))
		pin, err = u.Commit(t.Context(), d)
		if err != nil || !broken.Load() {
			t.Fatalf("commit: %v; a connection was broken: %t", err, broken.Load())
		}
		pin.Release()
	})
}

// TestNothingIsAcknowledgedThatIsNotStored has the store fail a commit in each way and
// at each time; the upload is then committed as if nothing had been.
func TestNothingIsAcknowledgedThatIsNotStored(t *testing.T) {
	faults := map[string]func() func(http.ResponseWriter, *http.Request) bool{
		"500 at once":    func() func(http.ResponseWriter, *http.Request) bool { return answer(500, writes) },
		"503 in between": func() func(http.ResponseWriter, *http.Request) bool { return answer(503, after(2, writes)) },
		"hangs at once":  func() func(http.ResponseWriter, *http.Request) bool { return hang(writes) },
		"hangs in between": func() func(http.ResponseWriter, *http.Request) bool {
			return hang(after(2, writes))
		},
		"breaks in between": func() func(http.ResponseWriter, *http.Request) bool { return drop(after(2, writes)) },
		"all is gone":       func() func(http.ResponseWriter, *http.Request) bool { return drop(anything) },
	}
	onEach(t, func(t *testing.T, p *place) {
		s := p.open(t, t.TempDir(), "first", hasty)
		if err := s.Reach(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, fault := range faults {
			for _, size := range []int{small, large} {
				data := blobstoretest.Noise(size)
				u, d := received(t, s, data)
				p.proxy.do(fault())
				began := time.Now()
				pin, err := u.Commit(t.Context(), d)
				took := time.Since(began)
				p.proxy.do(nil)
				if err == nil { // fewer requests than the fault lets through
					pin.Release()
					blobstoretest.MustHold(t, s, d, data)
					continue
				}
				if !errors.Is(err, blobstore.ErrUnavailable) {
					t.Errorf("%s, %d bytes: %v, want that it is unavailable", name, size, err)
				}
				if took > 15*time.Second {
					t.Errorf("%s, %d bytes: took %s", name, size, took)
				}
				if _, err := s.Stat(t.Context(), d); !errors.Is(err, blobstore.ErrNotFound) {
					t.Errorf("%s, %d bytes: stat of what was not stored: %v", name, size, err)
				}
				if pin, err = u.Commit(t.Context(), d); err != nil {
					t.Errorf("%s, %d bytes: commit when all is well again: %v", name, size, err)
					continue
				}
				pin.Release()
				blobstoretest.MustHold(t, s, d, data)
			}
		}
		if n := len(p.leftovers(t, s)); n != 0 {
			t.Errorf("%d leftovers in the store after a purge: %v", n, p.leftovers(t, s))
		}
	})
}

// leftovers purges, and lists what is neither a blob nor the owner's name.
func (p *place) leftovers(t *testing.T, s *object.Store) (names []string) {
	t.Helper()
	if _, _, err := s.PurgeUploads(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Errorf("purge: %v", err)
	}
	if p.dir == "" {
		return nil // the test's own eyes reach no further than the suite's
	}
	err := filepath.WalkDir(p.dir, func(path string, e os.DirEntry, err error) error {
		name := strings.TrimPrefix(path, filepath.Join(p.dir, bucket))
		if err == nil && e.Type().IsRegular() && !strings.HasPrefix(name, "/blobs/") && name != "/skerry.json" &&
			!strings.Contains(name, ".vgwlocks") {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestPiecesOfAKilledProcessArePurged lets nothing be tidied up, as when the process is
// killed in mid-push.
func TestPiecesOfAKilledProcessArePurged(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		dir, data := t.TempDir(), blobstoretest.Noise(large)
		s := p.open(t, dir, "first", hasty)
		if err := s.Reach(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			u, d := received(t, s, data)
			p.proxy.do(drop(after(3, anything)))
			if _, err := u.Commit(t.Context(), d); err == nil {
				t.Fatal("committed")
			}
			p.proxy.do(nil)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = p.open(t, dir, "first")
		if p.dir != "" && p.pieces(t) == 0 {
			t.Error("there are no pieces to purge")
		}
		if left := p.leftovers(t, s); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
		if pending, err := os.ReadDir(filepath.Join(dir, "pending")); len(pending) != 0 || err != nil {
			t.Errorf("still noted as pending: %v, %v", pending, err)
		}
		blobstoretest.MustHold(t, s, blobstoretest.Push(t, s, data), data)
	})
}

// pieces counts what the server keeps of uploads that nobody completed.
func (p *place) pieces(t *testing.T) (n int) {
	t.Helper()
	err := filepath.WalkDir(p.dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && strings.Contains(path, "multipart") {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestUploadsAreRefusedWhileTheStoreIsKnownToBeAway spares a client a body in vain.
func TestUploadsAreRefusedWhileTheStoreIsKnownToBeAway(t *testing.T) {
	p := openS3(t)
	s := p.open(t, t.TempDir(), "first", hasty)
	p.proxy.do(drop(anything))
	if err := s.Reach(t.Context()); !errors.Is(err, blobstore.ErrUnavailable) {
		t.Fatalf("reach: %v", err)
	}
	if _, err := s.Create("r", "", -1); !errors.Is(err, blobstore.ErrUnavailable) {
		t.Errorf("create: %v", err)
	}
	p.proxy.do(nil)
	if err := s.Reach(t.Context()); err != nil {
		t.Fatal(err)
	}
	blobstoretest.Push(t, s, []byte("x"))
}
