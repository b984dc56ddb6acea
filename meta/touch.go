package meta

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
)

// touches remembers, in constant memory, which blobs clients were told of: three
// Bloom filters, one that fills and two that the running collection asks. A
// filter forgets nothing; what it says too much only keeps garbage a while
// longer. Full of a million digests it is wrong about one in forty.
type touches struct {
	seed maphash.Seed
	now  atomic.Pointer[filter] // what is touched goes here; nil until something is

	mu   sync.Mutex // guards the next two
	then *filter    // what was touched before this run began; nil when nothing was
	old  *filter    // and before those that failed, all in one
}

const (
	filterBits   = 1 << 23 // 1 MiB
	filterProbes = 4
)

type filter [filterBits / 64]atomic.Uint64

// probes calls f with the words and bits of a hash until it says no.
func probes(hash uint64, f func(word int, bit uint64) bool) bool {
	a, b := uint32(hash), uint32(hash>>32)|1
	for range filterProbes {
		at := a % filterBits
		if !f(int(at/64), 1<<(at%64)) {
			return false
		}
		a += b
	}
	return true
}

// add notes d. It takes no lock and, after the first, allocates nothing.
func (t *touches) add(d digest.Digest) {
	f := t.now.Load()
	if f == nil {
		t.now.CompareAndSwap(nil, new(filter))
		f = t.now.Load()
	}
	if f == nil { // a collection took it this instant
		t.add(d)
		return
	}
	probes(maphash.String(t.seed, string(d)), func(word int, bit uint64) bool {
		if f[word].Load()&bit == 0 {
			f[word].Or(bit)
		}
		return true
	})
}

// turn begins a run: from now on has also answers for what was touched before.
// Runs that fail one after the other share one filter, but for the last: a late
// add may still be writing to that one.
func (t *touches) turn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.now.Swap(nil)
	switch {
	case f == nil:
		return
	case t.old == nil:
		t.old = t.then
	case t.then != nil:
		t.old.join(t.then)
	}
	t.then = f
}

// join adds what is in g.
func (f *filter) join(g *filter) {
	for i := range g {
		f[i].Or(g[i].Load())
	}
}

// done ends a run that honoured all that was touched before its turn.
func (t *touches) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.then, t.old = nil, nil
}

// none says whether nothing was touched that was not honoured.
func (t *touches) none() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now.Load() == nil && t.then == nil && t.old == nil
}

// has says whether d may have been touched: before the turn, or since.
func (t *touches) has(d digest.Digest) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	hash := maphash.String(t.seed, string(d))
	for _, f := range []*filter{t.old, t.then, t.now.Load()} {
		if f != nil && probes(hash, func(word int, bit uint64) bool { return f[word].Load()&bit != 0 }) {
			return true
		}
	}
	return false
}

// Touch notes that a client was told that b exists, so that its lease is renewed
// before the next collection decides. It only remembers, in bounded memory: it is
// on the path of HEAD.
func (s *Store) Touch(b Blob) {
	if b.Lease.Sub(s.now()) < s.graceNow()/2 { // longer is long enough to push a manifest
		s.touched.add(b.Digest)
	}
}
