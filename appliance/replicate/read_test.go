package replicate_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/appliance/replicate"
	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

var _ registry.Blobs = (*replicate.Store)(nil)

const mib = 1 << 20

// three is a cluster whose nodes 1 and 2 hold a blob that does not belong to node 3.
func three(t *testing.T, cfg replicate.Config, size int) (c *cluster, reader *node, b []byte, d digest.Digest) {
	t.Helper()
	c = newCluster(t, cfg, "", "", "")
	b = c.belonging(size, c.nodes[0], c.nodes[1])
	d = c.nodes[0].push(b)
	eventually(t, "two nodes hold the blob", func() bool { return slices.Equal(c.nodes[2].holders(d), []nodeID{1, 2}) })
	return c, c.nodes[2], b, d
}

func TestABlobOfAnotherNodeIsReadAndKept(t *testing.T) {
	for _, size := range []int{1000, 64 << 10, 64<<10 + 1, 3*mib + 7} {
		c, n, b, d := three(t, timing(), size)
		info, err := n.Store().Stat(t.Context(), d)
		if err != nil || info.Size != int64(size) {
			t.Errorf("%d bytes: stat says %+v (%v)", size, info, err)
		}
		pin, err := n.Store().Pin(t.Context(), d)
		if err != nil {
			t.Errorf("%d bytes: pin: %v", size, err)
		}
		pin.Release()
		got, err := n.read(d)
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes: read %d (%v)", size, len(got), err)
		}
		eventually(t, "it is recorded here, too", func() bool { return slices.Contains(c.holders(d), n.id) && n.has(d) })
	}
}

func TestTheEmptyBlobNeedsNobody(t *testing.T) {
	c := newCluster(t, timing(), "", "")
	d := c.nodes[0].pushQuietly(nil)
	if got, err := c.nodes[1].read(d); err != nil || len(got) != 0 {
		t.Errorf("read %d bytes: %v", len(got), err)
	}
}

func TestASmallBlobOfAnotherNodeIsReadAtOnce(t *testing.T) {
	_, n, b, d := three(t, timing(), 5000)
	p := make([]byte, 8000)
	if err := n.Store().Read(t.Context(), d, 5000, p); err != nil || !bytes.Equal(p[:5000], b) {
		t.Errorf("read: %v", err)
	}
	if err := n.Store().Read(t.Context(), digest.FromString("nowhere"), 7, p); !errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("a blob that nobody knows: %v", err)
	}
}

func TestAPullStormIsOneTransfer(t *testing.T) {
	c, n, b, d := three(t, timing(), mib)
	open := make(chan struct{})
	for _, holder := range c.nodes[:2] {
		holder.set(func() { holder.serve = gated(mib/2, open) })
	}
	before := c.count(d, 0)
	var readers sync.WaitGroup
	var began sync.WaitGroup
	for range 100 {
		began.Add(1)
		readers.Go(func() {
			f, err := n.Store().Open(context.Background(), d)
			if err != nil {
				t.Error(err)
				began.Done()
				return
			}
			defer func() { _ = f.Close() }()
			head := make([]byte, 1000)
			_, err = io.ReadFull(f, head)
			began.Done() // it reads while the blob has not arrived
			rest, restErr := io.ReadAll(f)
			if err := errors.Join(err, restErr); err != nil || !bytes.Equal(append(head, rest...), b) {
				t.Errorf("read %d bytes: %v", len(head)+len(rest), err)
			}
		})
	}
	began.Wait()
	close(open)
	readers.Wait()
	if got := c.count(d, 0) - before; got != 1 {
		t.Errorf("100 readers made %d requests, want 1", got)
	}
}

func TestATransferGoesOnAtAnotherHolder(t *testing.T) {
	for name, serve := range map[string]serving{
		"cut":     after(cut),
		"half":    after(half),
		"stalled": after(stall),
		"mute":    mute,
		"size":    wrongSize,
	} {
		t.Run(name, func(t *testing.T) {
			cfg := timing()
			cfg.Stall, cfg.Hedge = 200*time.Millisecond, 100*time.Millisecond
			c, n, b, d := three(t, cfg, 3*mib)
			failing := first(serve)
			for _, holder := range c.nodes[:2] {
				holder.set(func() { holder.serve = failing })
			}
			if got, err := n.read(d); err != nil || !bytes.Equal(got, b) {
				t.Errorf("read %d bytes: %v", len(got), err)
			}
		})
	}
}

// Whoever reads wrong bytes must notice, and they must not stay.
func TestWrongBytesEndTooSoonAndAreNotKept(t *testing.T) {
	for name, serve := range map[string]serving{"early": lying(10), "late": lying(3*mib - 1)} {
		t.Run(name, func(t *testing.T) {
			c, n, b, d := three(t, timing(), 3*mib)
			for _, holder := range c.nodes[:2] {
				holder.set(func() { holder.serve = serve })
			}
			got, err := n.read(d)
			if err == nil || len(got) >= len(b) {
				t.Errorf("read %d bytes of %d, and %v", len(got), len(b), err)
			}
			eventually(t, "both liars are known", func() bool {
				_, err := n.read(d)
				return errors.Is(err, replicate.ErrNoSource)
			})
			if n.has(d) || slices.Contains(c.holders(d), n.id) {
				t.Errorf("wrong bytes were kept (%t) or recorded: %v", n.has(d), c.holders(d))
			}
		})
	}
}

func TestAHolderThatDoesNotLieIsFound(t *testing.T) {
	for name, serve := range map[string]serving{"wrong": lying(10), "long": tooLong, "size": wrongSize} {
		t.Run(name, func(t *testing.T) {
			c, n, b, d := three(t, timing(), 3*mib)
			c.nodes[0].set(func() { c.nodes[0].serve = serve })
			eventually(t, "it is read from the other", func() bool {
				got, err := n.read(d)
				if err == nil && !bytes.Equal(got, b) {
					t.Error("wrong bytes were read to their end")
				}
				return err == nil
			})
		})
	}
}

// Bytes that fit into what is held back are never seen unverified: no reader notices.
func TestAShortBlobIsReadInSpiteOfALiar(t *testing.T) {
	c, n, b, d := three(t, timing(), 60_000)
	c.nodes[0].set(func() { c.nodes[0].serve = lying(7) })
	for range 3 {
		if got, err := n.read(d); err != nil || !bytes.Equal(got, b) {
			t.Errorf("read %d bytes: %v", len(got), err)
		}
	}
}

// One of two lies, and they take turns, each time: nobody could ever say which.
func TestABlobFromSeveralIsFetchedAgainFromOne(t *testing.T) {
	c, n, b, d := three(t, timing(), 150_000)
	for i, wrong := range []int64{-1, 100_000} {
		c.nodes[i].set(func() {
			c.nodes[i].cond.Latency = time.Duration(i+1) * time.Millisecond // the first is asked first
			c.nodes[i].serve = sips(wrong)
		})
	}
	eventually(t, "it is read from the one that tells the truth", func() bool {
		got, err := n.read(d)
		if err == nil && !bytes.Equal(got, b) {
			t.Error("wrong bytes were read to their end")
		}
		return err == nil
	})
}

func TestASlowHolderIsHedged(t *testing.T) {
	cfg := timing()
	cfg.Hedge = 20 * time.Millisecond
	cfg.Stall = time.Hour
	c, n, b, d := three(t, cfg, 3*mib)
	// Whichever of the two would be asked first is slow.
	failing := first(mute)
	for _, holder := range c.nodes[:2] {
		holder.set(func() { holder.serve = failing })
	}
	if got, err := n.read(d); err != nil || !bytes.Equal(got, b) {
		t.Errorf("read %d bytes: %v", len(got), err)
	}
}

func TestSilenceIsNotWaitedForWithoutEnd(t *testing.T) {
	cfg := timing()
	cfg.Stall = 50 * time.Millisecond
	c, n, _, d := three(t, cfg, 3*mib)
	for _, holder := range c.nodes[:2] {
		holder.set(func() { holder.serve = mute })
	}
	if _, err := n.read(d); !errors.Is(err, blobstore.ErrUnavailable) {
		t.Errorf("read: %v, want %v", err, blobstore.ErrUnavailable)
	}
}

// The end of a large blob is not waited for by somebody who wants just that.
func TestARangeFarAheadDoesNotWaitForTheRest(t *testing.T) {
	c, n, b, d := three(t, timing(), 12*mib)
	open := make(chan struct{})
	defer close(open)
	failing := first(gated(mib, open))
	for _, holder := range c.nodes[:2] {
		holder.set(func() { holder.serve = failing })
	}
	f, err := n.Store().Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(-5, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, b[len(b)-5:]) {
		t.Errorf("the last 5 bytes are %x (%v), want %x", got, err, b[len(b)-5:])
	}
}

func TestAWitnessPassesOnWithoutKeeping(t *testing.T) {
	c := newCluster(t, timing(), "", "", "")
	w := c.nodes[2]
	c.register(w, meta.Node{Role: meta.RoleWitness})
	b := content(1, 3*mib)
	d := c.nodes[0].push(b)
	if degraded, err := c.nodes[0].Wait(t.Context(), []digest.Digest{d}); err != nil || degraded {
		t.Fatalf("barrier: degraded %t, %v", degraded, err)
	}
	if got, err := w.read(d); err != nil || !bytes.Equal(got, b) {
		t.Errorf("read %d bytes: %v", len(got), err)
	}
	for _, holder := range c.nodes[:2] {
		holder.set(func() { holder.serve = lying(3*mib - 1) })
	}
	if got, err := w.read(d); err == nil || len(got) == len(b) {
		t.Errorf("wrong bytes: read %d of %d, and %v", len(got), len(b), err)
	}
	if w.has(d) || !slices.Equal(c.holders(d), []nodeID{1, 2}) {
		t.Errorf("the witness kept the blob (%t); holders are %v", w.has(d), c.holders(d))
	}
}

// A client that went away must not leave a transfer behind of what nobody needs here.
func TestAnAbandonedTransferEnds(t *testing.T) {
	c, n, b, d := three(t, timing(), 3*mib)
	open := make(chan struct{})
	for _, holder := range c.nodes[:2] {
		holder.set(func() { holder.serve = gated(mib, open) })
	}
	f, err := n.Store().Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	close(open)
	if got, err := n.read(d); err != nil || !bytes.Equal(got, b) { // a new reader finds none of it in the way
		t.Errorf("read %d bytes: %v", len(got), err)
	}
}

func TestNobodyToReadFromIsAnErrorBeforeTheFirstByte(t *testing.T) {
	c, n, _, d := three(t, timing(), 3*mib)
	for _, holder := range c.nodes[:2] {
		holder.set(func() { holder.down = true })
	}
	if _, err := n.Store().Open(t.Context(), d); !errors.Is(err, blobstore.ErrUnavailable) {
		t.Errorf("open: %v, want %v", err, blobstore.ErrUnavailable)
	}
	for _, holder := range c.nodes[:2] {
		holder.set(func() { holder.cond.Away = true })
	}
	if _, err := n.Store().Stat(t.Context(), d); !errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("stat when its holders are away: %v, want %v, so that a push heals it", err, blobstore.ErrNotFound)
	}
}

func TestAReaderLeavesWithItsContext(t *testing.T) {
	c, n, _, d := three(t, timing(), 3*mib)
	for _, holder := range c.nodes[:2] {
		holder.set(func() { holder.serve = after(stall) })
	}
	ctx, cancel := context.WithCancel(t.Context())
	f, err := n.Store().Open(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	cancel()
	if _, err := io.ReadAll(f); !errors.Is(err, context.Canceled) {
		t.Errorf("read after the client went away: %v", err)
	}
}
