package replicate_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// Five nodes in three zones, of which one at a time misbehaves: what a barrier let pass
// has its copies, and nobody ever reads wrong bytes to their end.
func TestWhatWasAcknowledgedSurvivesMisbehaviour(t *testing.T) {
	cfg := timing()
	cfg.Stall, cfg.Hedge = 100*time.Millisecond, 20*time.Millisecond
	cfg.Surplus, cfg.Backstop = time.Nanosecond, 50*time.Millisecond
	c := newCluster(t, cfg, "a", "a", "b", "b", "c")
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	var mu sync.Mutex
	acknowledged := map[digest.Digest][]byte{}
	some := func(r *rand.Rand) (digest.Digest, []byte) {
		mu.Lock()
		defer mu.Unlock()
		all := make([]digest.Digest, 0, len(acknowledged))
		for d := range acknowledged {
			all = append(all, d)
		}
		if len(all) == 0 {
			return "", nil
		}
		slices.Sort(all)
		d := all[r.IntN(len(all))]
		return d, acknowledged[d]
	}
	var work sync.WaitGroup
	for i := range uint64(3) {
		work.Go(func() { // pushes
			r := rand.New(rand.NewPCG(i, 7))
			for ctx.Err() == nil {
				n, b := c.nodes[r.IntN(5)], content(r.Uint64(), 1+r.IntN(200_000))
				d := n.push(b) //nolint:contextcheck // a client that goes away leaves its push behind
				if _, err := n.Wait(ctx, []digest.Digest{d}); err == nil {
					mu.Lock()
					acknowledged[d] = b
					mu.Unlock()
				}
			}
		})
		work.Go(func() { // pulls
			r := rand.New(rand.NewPCG(i, 8))
			for ctx.Err() == nil {
				d, want := some(r)
				if d == "" {
					continue
				}
				f, err := c.nodes[r.IntN(5)].Store().Open(ctx, d)
				if err != nil {
					continue
				}
				if got, err := io.ReadAll(f); err == nil && !bytes.Equal(got, want) {
					t.Errorf("%d wrong bytes of %s were read to their end", len(got), d)
				}
				_ = f.Close()
			}
		})
	}
	work.Go(func() { misbehave(ctx, t, c) })
	work.Wait()
	if len(acknowledged) < 10 {
		t.Errorf("only %d pushes came through", len(acknowledged))
	}
	for d := range acknowledged {
		eventually(t, "every acknowledged blob is where it belongs, and nowhere else", func() bool {
			return slices.Equal(c.holders(d), c.wanted(d, 1))
		})
	}
}

// misbehave lets one node at a time be dead, lie, or hang up, until ctx ends. Twice
// one of them loses its disk.
func misbehave(ctx context.Context, t *testing.T, c *cluster) {
	r := rand.New(rand.NewPCG(9, 9))
	for round := 0; ctx.Err() == nil; round++ {
		n := c.nodes[r.IntN(5)]
		serve := []serving{nil, lying(int64(r.IntN(100_000))), after(cut), mute, wrongSize, tooLong}[r.IntN(6)]
		n.set(func() { n.serve, n.down = serve, serve == nil })
		if round%10 == 5 && round < 20 {
			if err := c.loseSome(ctx, n, 5); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
		n.set(func() { n.serve, n.down = nil, false })
	}
}

// loseSome quarantines some blobs of n that others hold, too, as a scrub does.
func (c *cluster) loseSome(ctx context.Context, n *node, count int) error {
	var lost []digest.Digest
	for _, b := range n.all() {
		if len(lost) == count || len(b.Holders) < 2 || !slices.Contains(b.Holders, n.id) {
			continue
		}
		// The record goes first, as long as the test looks for records without bytes.
		dropped, err := n.meta.DropHolder(ctx, n.id, []digest.Digest{b.Digest}, meta.Surplus{Copies: 1})
		if err != nil {
			return err
		}
		for _, d := range dropped {
			_, err := n.bytes.Remove(ctx, d, func() (bool, error) { return n.meta.HeldBy(n.id, d) })
			lost = append(lost, d)
			if err != nil && !errors.Is(err, blobstore.ErrPinned) { // somebody pushes or fetches it just now
				return err
			}
		}
	}
	return n.Lost(ctx, lost)
}
