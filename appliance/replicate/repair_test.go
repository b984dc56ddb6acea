package replicate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// fill pushes blobs, and waits until each is where it belongs.
func (c *cluster) fill(blobs int) (ds []digest.Digest) {
	c.t.Helper()
	for i := range blobs {
		ds = append(ds, c.nodes[i%2].push(content(uint64(i), 2000+i)))
	}
	c.settle(ds)
	return ds
}

// settle waits until every blob is where it belongs.
func (c *cluster) settle(ds []digest.Digest) {
	c.t.Helper()
	eventually(c.t, "all blobs are where they belong", func() bool {
		return !slices.ContainsFunc(ds, func(d digest.Digest) bool {
			held := c.holders(d)
			return slices.ContainsFunc(c.wanted(d, 1), func(id nodeID) bool { return !slices.Contains(held, id) })
		})
	})
}

// lose makes the files of n's blobs vanish while it is stopped.
func (n *node) lose() {
	n.c.t.Helper()
	err := errors.Join(n.bytes.Close(), os.RemoveAll(filepath.Join(n.dir, "blobs", "blobs")))
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.openBytes()
}

func TestALostDiskIsNoticedAtTheStartAndRepaired(t *testing.T) {
	c := newCluster(t, timing(), "a", "b", "c")
	ds := c.fill(20)
	n := c.nodes[1]
	n.stop()
	n.lose()
	n.start(timing())
	eventually(t, "all that the node should have is there again", func() bool {
		return !slices.ContainsFunc(ds, func(d digest.Digest) bool {
			return slices.Contains(c.wanted(d, 1), n.id) && (!n.has(d) || !slices.Contains(c.holders(d), n.id))
		})
	})
}

func TestALastCopyThatIsLostIsReportedAndAPushHealsIt(t *testing.T) {
	c := newCluster(t, timing(), "a", "b", "c")
	for _, n := range c.nodes {
		n.stop() // before one of them finds the blob
	}
	d := c.nodes[0].pushQuietly(content(1, 5000))
	c.nodes[0].lose()
	for _, n := range c.nodes {
		n.start(timing())
	}
	eventually(t, "the blob is reported as lost", func() bool { return c.nodes[2].Report().Lost == 1 })
	if _, err := c.nodes[2].read(d); !errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("read: %v", err)
	}
	c.nodes[1].push(content(1, 5000))
	c.settle([]digest.Digest{d})
}

// A crash between the bytes and their record, or between the end of the record and
// that of the bytes.
func TestBytesWithoutARecordGetOne(t *testing.T) {
	c := newCluster(t, timing(), "a", "b", "c")
	b := c.belonging(5000, c.nodes[0], c.nodes[1])
	d := c.nodes[0].push(b)
	c.settle([]digest.Digest{d})
	c.nodes[2].pushQuietly(b)
	before := c.count(d, 0)
	for _, n := range c.nodes[1:] { // one should have it, the other need not
		n.stop()
		if _, err := n.meta.DropHolder(t.Context(), n.id, []digest.Digest{d}, meta.Lost{}); err != nil {
			t.Fatal(err)
		}
		n.start(timing())
		eventually(t, "what is there is recorded", func() bool { return slices.Contains(c.holders(d), n.id) })
	}
	if got := c.count(d, 0) - before; got != 0 {
		t.Errorf("what was there was fetched %d times", got)
	}
}

func TestDamagedBytesAreFetchedAgain(t *testing.T) {
	c := newCluster(t, timing(), "a", "b", "c")
	b := c.belonging(5000, c.nodes[0], c.nodes[1])
	d := c.nodes[0].push(b)
	c.settle([]digest.Digest{d})
	n := c.nodes[1]
	file := filepath.Join(n.dir, "blobs", "blobs", "sha256", d.Encoded()[:2], d.Encoded())
	if err := os.WriteFile(file, content(2, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.bytes.Verify(t.Context(), d, nil); !errors.Is(err, blobstore.ErrDigest) {
		t.Fatalf("scrub: %v", err)
	}
	if err := n.Lost(t.Context(), []digest.Digest{d}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is whole again", func() bool { return n.has(d) && slices.Contains(c.holders(d), n.id) })
}

// A file that vanished is noticed by whoever wants to read it.
func TestAMissingFileIsReadFromAnotherNodeAndHealed(t *testing.T) {
	c := newCluster(t, timing(), "a", "b", "c")
	b := c.belonging(5000, c.nodes[0], c.nodes[1])
	d := c.nodes[0].push(b)
	c.settle([]digest.Digest{d})
	n := c.nodes[1]
	if err := os.Remove(filepath.Join(n.dir, "blobs", "blobs", "sha256", d.Encoded()[:2], d.Encoded())); err != nil {
		t.Fatal(err)
	}
	if got, err := n.read(d); err != nil || len(got) != len(b) {
		t.Errorf("read %d bytes: %v", len(got), err)
	}
	eventually(t, "the file is there again", func() bool { return n.has(d) && slices.Contains(c.holders(d), n.id) })
}

func TestANodeThatJoinsGetsItsShareAndOthersShed(t *testing.T) {
	cfg := timing()
	cfg.Surplus, cfg.Backstop = time.Nanosecond, 20*time.Millisecond
	c := &cluster{t: t, propose: make(map[meta.NodeID]error)}
	for i := range 3 {
		c.add(fmt.Sprintf("n%d", i+1), cfg)
	}
	for _, n := range c.nodes[:2] {
		c.register(n, meta.Node{})
		n.start(cfg)
	}
	ds := c.fill(30)
	c.register(c.nodes[2], meta.Node{})
	c.nodes[2].start(cfg)
	eventually(t, "every blob is where it belongs, and nowhere else", func() bool {
		return !slices.ContainsFunc(ds, func(d digest.Digest) bool { return !slices.Equal(c.holders(d), c.wanted(d, 1)) })
	})
	eventually(t, "what was shed is unlinked", func() bool {
		return !slices.ContainsFunc(ds, func(d digest.Digest) bool {
			return slices.ContainsFunc(c.nodes, func(n *node) bool { return n.has(d) != slices.Contains(c.holders(d), n.id) })
		})
	})
}

// A push pins what it finds; the copy is dropped all the same, and then is one again.
func TestAPinnedCopyThatIsDroppedIsRecordedAgain(t *testing.T) {
	cfg := timing()
	cfg.Surplus, cfg.Backstop = time.Nanosecond, 10*time.Millisecond
	c := newCluster(t, cfg, "", "", "")
	n := c.nodes[2]
	n.stop()
	b := c.belonging(5000, c.nodes[0], c.nodes[1])
	d := c.nodes[0].push(b)
	c.settle([]digest.Digest{d})
	n.pushQuietly(b)
	pin, err := n.bytes.Pin(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	n.start(cfg)
	eventually(t, "it was dropped", func() bool { return n.Report().Dropped > 0 })
	eventually(t, "it is recorded", func() bool { return slices.Contains(c.holders(d), n.id) })
	pin.Release()
	eventually(t, "it is dropped for good", func() bool { return !n.has(d) && len(c.holders(d)) == 2 })
}

// All nodes hold everything, and each believes that the others are enough.
func TestSurplusNeverDropsBelowTheRule(t *testing.T) {
	cfg := timing()
	cfg.Surplus, cfg.Backstop = time.Nanosecond, 5*time.Millisecond
	c := newCluster(t, cfg, "a", "a", "b", "b")
	for _, n := range c.nodes {
		n.stop()
		n.set(func() { n.modest = true })
	}
	var ds []digest.Digest
	for i := range uint64(50) {
		b := content(i, 100)
		for _, n := range c.nodes {
			d := n.pushQuietly(b)
			if n == c.nodes[0] {
				ds = append(ds, d)
			}
		}
	}
	for _, n := range c.nodes {
		n.start(cfg)
	}
	look := func() (dropped int) {
		for _, d := range ds {
			held, zones := c.holders(d), map[nodeID]bool{}
			for _, id := range held {
				zones[(id-1)/2] = true
			}
			if len(held) < 2 || len(zones) < 2 {
				t.Fatalf("%s is on %v alone", d, held)
			}
			dropped += 4 - len(held)
		}
		return dropped
	}
	eventually(t, "every blob is on fewer nodes", func() bool { return look() >= len(ds) })
	for _, n := range c.nodes {
		before := n.Report().At
		eventually(t, "each has looked once more", func() bool { return n.Report().At.After(before) })
	}
	look()
}

func TestADrainingNodeKeepsOnlyWhatOthersLack(t *testing.T) {
	c := newCluster(t, timing(), "a", "b", "c")
	ds := c.fill(20)
	n := c.nodes[1]
	c.nodes[0].set(func() { c.nodes[0].down = true }) // nobody can fetch from it, nor can it hear
	if err := c.nodes[0].meta.SetNodeState(t.Context(), n.id, meta.NodeDraining, "test"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the draining node holds nothing", func() bool {
		return n.Report().Held == n.Report().Dropped && n.Report().Blobs == len(ds)
	})
	for _, d := range ds {
		if n.has(d) || !slices.Equal(c.holders(d), []nodeID{1, 3}) {
			t.Errorf("%s is on %v, and its bytes on the drained node: %t", d, c.holders(d), n.has(d))
		}
	}
	if _, err := n.read(ds[0]); err != nil { // it serves on, without keeping
		t.Errorf("read through the drained node: %v", err)
	}
	if n.has(ds[0]) {
		t.Error("the drained node keeps what it reads")
	}
}

func TestAWitnessHandsOnWhatWasPushedThere(t *testing.T) {
	c := newCluster(t, timing(), "a", "b", "c")
	w := c.nodes[2]
	c.register(w, meta.Node{Role: meta.RoleWitness, Zone: "c"})
	d := w.push(content(1, 5000))
	if degraded, err := w.Wait(t.Context(), []digest.Digest{d}); err != nil || degraded {
		t.Fatalf("barrier: degraded %t, %v", degraded, err)
	}
	eventually(t, "the full nodes have it, and the witness does not", func() bool {
		return slices.Equal(c.holders(d), []nodeID{1, 2}) && !w.has(d)
	})
}

func TestCopiesOfANodeThatIsAwayAreMadeElsewhere(t *testing.T) {
	cfg := timing()
	cfg.Surplus, cfg.Backstop = time.Nanosecond, 20*time.Millisecond
	c := newCluster(t, cfg, "", "", "")
	ds := c.fill(20)
	gone := c.nodes[1]
	away := func(is bool) {
		gone.set(func() { gone.cond.Away, gone.down = is, is })
		for _, n := range c.nodes {
			n.Poke()
		}
	}
	gone.stop()
	away(true)
	eventually(t, "the other two hold everything", func() bool {
		return !slices.ContainsFunc(ds, func(d digest.Digest) bool {
			return !slices.Contains(c.holders(d), 1) || !slices.Contains(c.holders(d), 3)
		})
	})
	gone.start(cfg)
	away(false)
	eventually(t, "when it is back, two copies are left", func() bool {
		return !slices.ContainsFunc(ds, func(d digest.Digest) bool { return !slices.Equal(c.holders(d), c.wanted(d, 1)) })
	})
}

func TestRepairBeginsWithTheFewestCopies(t *testing.T) {
	c := &cluster{t: t, propose: make(map[meta.NodeID]error)}
	cfg := timing()
	cfg.Transfers = 1
	for i := range 3 {
		n := c.add(fmt.Sprintf("n%d", i+1), cfg)
		n.policy.Copies = 3
	}
	for _, n := range c.nodes {
		c.register(n, meta.Node{})
	}
	copies := map[digest.Digest]int{}
	for i := range uint64(40) {
		b := content(i, 1000)
		copies[c.nodes[0].pushQuietly(b)]++
		if i%2 == 0 {
			copies[c.nodes[1].pushQuietly(b)]++
		}
	}
	late := c.nodes[2]
	var mu sync.Mutex
	var order []int
	for _, n := range c.nodes[:2] {
		n.set(func() {
			n.serve = func(_ context.Context, d digest.Digest, f io.ReadSeekCloser, size int64) (io.ReadCloser, int64, error) {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, copies[d])
				eventually(t, "all are queued", func() bool { return late.Report().Fetch == 40 })
				return f, size, nil
			}
		})
	}
	late.start(cfg)
	eventually(t, "everything is fetched", func() bool { return late.Report().Blobs == 40 && len(late.pending()) == 0 })
	mu.Lock()
	defer mu.Unlock()
	if !slices.IsSorted(order[1:]) { // the first began before the others were queued
		t.Errorf("in this order, by the number of copies: %v", order)
	}
}

// pending are the blobs that n does not hold.
func (n *node) pending() (ds []digest.Digest) {
	for _, c := range n.all() {
		if !slices.Contains(c.Holders, n.id) {
			ds = append(ds, c.Digest)
		}
	}
	return ds
}

// What was condemned while it was on its way does not stay (I4).
func TestABlobThatIsCollectedMeanwhileIsNotKept(t *testing.T) {
	c, n, _, d := three(t, timing(), 3*mib)
	open := make(chan struct{})
	for _, holder := range c.nodes[:2] {
		holder.set(func() { holder.serve = gated(mib, open) })
	}
	f, err := n.Store().Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := c.nodes[0].meta.UnlinkBlob(t.Context(), "repo", d, "test"); err != nil {
		t.Fatal(err)
	}
	if report, err := c.nodes[0].meta.Collect(t.Context(), meta.Collect{}); err != nil || report.Blobs != 1 {
		t.Fatalf("collect: %+v (%v)", report, err)
	}
	close(open)
	if _, err := io.Copy(io.Discard, f); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has arrived", func() bool { return n.metric("skerry_replicate_fetched_total") == 1 })
	eventually(t, "its bytes are gone", func() bool { return !n.has(d) })
	if known, err := n.db.Known(d); err != nil || known {
		t.Errorf("it is known: %t (%v)", known, err)
	}
}

func TestRecordsThatAreNotAgreedUponAreTriedAgain(t *testing.T) {
	c := newCluster(t, timing(), "a", "b")
	c.mu.Lock()
	c.propose[2] = errors.New("no leader")
	c.mu.Unlock()
	d := c.nodes[0].push(content(1, 5000))
	eventually(t, "the bytes are there", func() bool { return c.nodes[1].has(d) })
	// While they are not recorded nothing may take them away.
	_, err := c.nodes[1].bytes.Remove(t.Context(), d, func() (bool, error) { return false, nil })
	if !errors.Is(err, blobstore.ErrPinned) {
		t.Errorf("remove before the record: %v, want %v", err, blobstore.ErrPinned)
	}
	c.mu.Lock()
	delete(c.propose, 2)
	c.mu.Unlock()
	c.settle([]digest.Digest{d})
}
