package replicate_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/replicate"
)

func TestAPushIsCopiedToWhereItBelongs(t *testing.T) {
	c := newCluster(t, timing(), "a", "b", "c")
	for i := range uint64(20) {
		b := content(i, int(1+i*9000))
		d := c.nodes[i%3].push(b)
		if degraded, err := c.nodes[i%3].Wait(t.Context(), []digest.Digest{d, d}); err != nil || degraded {
			t.Fatalf("barrier: degraded %t, %v", degraded, err)
		}
		if got := c.holders(d); len(got) < 2 {
			t.Errorf("after the barrier only %v hold the blob", got)
		}
		eventually(t, "the blob is on all nodes that should have it", func() bool {
			held := c.holders(d)
			return !slices.ContainsFunc(c.wanted(d, len(b)), func(id nodeID) bool { return !slices.Contains(held, id) })
		})
	}
}

func TestTheBarrierAsksWhoeverLacksACopy(t *testing.T) {
	c := newCluster(t, timing(), "a", "b", "c")
	d := c.nodes[0].pushQuietly(content(1, 100_000))
	if degraded, err := c.nodes[0].Wait(t.Context(), []digest.Digest{d}); err != nil || degraded {
		t.Fatalf("barrier: degraded %t, %v", degraded, err)
	}
	if got := c.holders(d); len(got) < 2 {
		t.Errorf("holders are %v", got)
	}
}

// The node that should have the blob is dead, and nobody knows yet.
func TestTheBarrierGoesRoundADeadNode(t *testing.T) {
	c := newCluster(t, timing(), "a", "b", "c")
	b := c.belonging(5000, c.nodes[0], c.nodes[1])
	c.nodes[1].set(func() { c.nodes[1].down = true })
	d := c.nodes[0].push(b)
	if degraded, err := c.nodes[0].Wait(t.Context(), []digest.Digest{d}); err != nil || degraded {
		t.Fatalf("barrier: degraded %t, %v", degraded, err)
	}
	if got := c.holders(d); !slices.Equal(got, []nodeID{1, 3}) {
		t.Errorf("holders are %v, want the two that are alive", got)
	}
}

func TestAConstraintRefusesOrDegrades(t *testing.T) {
	cfg := timing()
	cfg.Patience = 300 * time.Millisecond
	c := newCluster(t, cfg, "a", "b")
	c.nodes[1].set(func() { c.nodes[1].down = true })
	d := c.nodes[0].push(content(1, 5000))

	degraded, err := c.nodes[0].Wait(t.Context(), []digest.Digest{d})
	if !errors.Is(err, replicate.ErrCopies) {
		t.Errorf("DoNotSchedule with one copy of two: degraded %t, %v; want %v", degraded, err, replicate.ErrCopies)
	}
	c.nodes[0].set(func() { c.nodes[0].policy.Host.Refuse = false })
	degraded, err = c.nodes[0].Wait(t.Context(), []digest.Digest{d})
	if err != nil || !degraded {
		t.Errorf("ScheduleAnyway with one copy of two: degraded %t, %v; want degraded", degraded, err)
	}
	c.nodes[1].set(func() { c.nodes[1].down = false })
	if degraded, err = c.nodes[0].Wait(t.Context(), []digest.Digest{d}); err != nil || degraded {
		t.Errorf("when the node is back: degraded %t, %v", degraded, err)
	}
}

// A zone is lost: by default that stops no push, and costs none its patience.
func TestALostZoneDoesNotHoldUpPushes(t *testing.T) {
	cfg := timing()
	cfg.SoftPatience = time.Hour
	c := newCluster(t, cfg, "a", "a", "b")
	c.nodes[2].set(func() {
		c.nodes[2].down = true
		c.nodes[2].cond.Away = true
	})
	d := c.nodes[0].push(content(1, 5000))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	degraded, err := c.nodes[0].Wait(ctx, []digest.Digest{d})
	if err != nil || !degraded {
		t.Errorf("two copies in one zone: degraded %t, %v; want degraded", degraded, err)
	}
	c.nodes[0].set(func() { c.nodes[0].policy.Zone.Refuse = true })
	if _, err := c.nodes[0].Wait(ctx, []digest.Digest{d}); !errors.Is(err, replicate.ErrCopies) {
		t.Errorf("with DoNotSchedule for zones: %v, want %v", err, replicate.ErrCopies)
	}
}

func TestAFullDiskIsNotChosen(t *testing.T) {
	c := newCluster(t, timing(), "a", "b", "c")
	b := c.belonging(5000, c.nodes[0], c.nodes[1])
	c.nodes[1].set(func() { c.nodes[1].cond.Full = true })
	d := c.nodes[0].push(b)
	if degraded, err := c.nodes[0].Wait(t.Context(), []digest.Digest{d}); err != nil || degraded {
		t.Fatalf("barrier: degraded %t, %v", degraded, err)
	}
	if got := c.holders(d); !slices.Equal(got, []nodeID{1, 3}) {
		t.Errorf("holders are %v, want those with room", got)
	}
}

// A hint may be faster than the log.
func TestAHintWaitsForTheLog(t *testing.T) {
	c := newCluster(t, timing(), "a", "b")
	late := c.nodes[1]
	eventually(t, "it has looked at all blobs", func() bool { return !late.Report().At.IsZero() })
	known := c.nodes[0].pushQuietly(content(2, 5000))
	late.set(func() { late.lagged = true })
	d := c.nodes[0].pushQuietly(content(1, 5000))
	if err := late.Hint([]digest.Digest{known, d}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the hint is understood as far as can be", func() bool { return late.has(known) })
	late.catchUp()
	eventually(t, "the blob is fetched when it is known", func() bool { return len(c.holders(d)) == 2 })
}

// The blob went to one node, the manifest goes to another, which does not know it yet.
func TestTheBarrierWaitsForBlobsThatAnotherNodeTook(t *testing.T) {
	c := newCluster(t, timing(), "a", "b", "c")
	late := c.nodes[1]
	late.set(func() { late.lagged = true })
	d := c.nodes[0].pushQuietly(content(1, 5000))
	if degraded, err := late.Wait(t.Context(), []digest.Digest{d}); err != nil || degraded {
		t.Fatalf("barrier: degraded %t, %v", degraded, err)
	}
	if got := c.holders(d); len(got) < 2 {
		t.Errorf("after the barrier only %v hold the blob", got)
	}
}

func TestANodeAloneWaitsForNothing(t *testing.T) {
	c := newCluster(t, timing(), "")
	d := c.nodes[0].push(content(1, 5000))
	if degraded, err := c.nodes[0].Wait(t.Context(), []digest.Digest{d}); err != nil || degraded {
		t.Errorf("barrier: degraded %t, %v", degraded, err)
	}
	if _, err := c.nodes[0].read(digest.FromString("nowhere")); !errors.Is(err, errNotFound) {
		t.Errorf("a blob that is not here: %v, want %v", err, errNotFound)
	}
	if got := c.nodes[0].Report(); got != (replicate.Report{}) {
		t.Errorf("it looked at its blobs: %+v", got)
	}
}
