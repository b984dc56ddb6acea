package meta_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// trashOf lists what node n has to sweep.
func (w *world) trashOf(n meta.NodeID) (ds []digest.Digest, ids []uint64) {
	w.t.Helper()
	items, err := w.Trash(n, 0, 1000)
	w.must(err)
	for _, i := range items {
		ds, ids = append(ds, i.Digest), append(ids, i.ID)
	}
	return ds, ids
}

// sweepAll is a sweep of node n that unlinks everything.
func (w *world) sweepAll(n meta.NodeID) {
	w.t.Helper()
	_, ids := w.trashOf(n)
	w.must(w.Swept(context.Background(), n, ids))
}

// threeHolders has a blob called x on three nodes.
func threeHolders(t *testing.T) (w *world, x digest.Digest, a, b, c meta.NodeID) {
	t.Helper()
	w = newWorld(t)
	a, b, c = w.node("a", ""), w.node("b", ""), w.node("c", "")
	x = w.blob("a", "x")
	w.must(w.AddHolder(t.Context(), b, []digest.Digest{x}))
	w.must(w.AddHolder(t.Context(), c, []digest.Digest{x}))
	return w, x, a, b, c
}

func TestTrashWaitsForTheNodeThatIsAway(t *testing.T) {
	w, x, a, b, c := threeHolders(t)
	ctx := t.Context()
	w.pass(2 * grace)
	w.collect()
	w.sweepAll(a)
	w.sweepAll(b)
	for range 30 {
		w.pass(24 * grace)
		w.collect()
	}
	for n, want := range map[meta.NodeID][]digest.Digest{a: nil, b: nil, c: {x}, 9: nil} {
		if got, _ := w.trashOf(n); !slices.Equal(got, want) {
			t.Errorf("trash of node %d: %v, want %v", n, got, want)
		}
	}
	// It comes back with the bytes, and says so: nobody knows them.
	w.wants(w.AddHolder(ctx, c, []digest.Digest{x}), meta.ErrNotFound)
	if known, err := w.Known(x); known || err != nil {
		t.Errorf("known %v (%v)", known, err)
	}
	w.sweepAll(c)
	if got, _ := w.trashOf(c); got != nil {
		t.Errorf("left %v", got)
	}
	if keys, _, err := w.db.Records("trash"); err != nil || len(keys) != 0 {
		t.Errorf("%d records of trash (%v)", len(keys), err)
	}
}

// A digest that is pushed again has its old trash swept where it is not held now.
func TestTrashOfADigestThatOthersPushedAgain(t *testing.T) {
	w, x, a, _, c := threeHolders(t)
	w.pass(2 * grace)
	w.collect()
	w.must(w.at(a).LinkBlob(t.Context(), "a", x, 1, ""))
	for n, want := range map[meta.NodeID]bool{a: true, c: false} {
		trash, _ := w.trashOf(n)
		held, err := w.HeldBy(n, x)
		if err != nil || held != want || !slices.Equal(trash, []digest.Digest{x}) {
			t.Errorf("node %d: trash %v, keeps it %v (%v), want %v", n, trash, held, err, want)
		}
		w.sweepAll(n)
	}
	if got := w.holders(x); !slices.Equal(got, []meta.NodeID{a}) {
		t.Errorf("holders %d", got)
	}
	w.must(w.AddHolder(t.Context(), c, []digest.Digest{x})) // fetched anew
	if got := w.holders(x); !slices.Equal(got, []meta.NodeID{a, c}) {
		t.Errorf("holders %d", got)
	}
}

func TestTrashOfNodesThatAreGoneIsForsaken(t *testing.T) {
	w, x, a, b, c := threeHolders(t)
	ctx := t.Context()
	y := digest.FromString("y")
	w.must(w.at(c).LinkBlob(ctx, "a", y, 1, ""))
	w.pass(2 * grace)
	w.collect()
	w.must(w.SetNodeState(ctx, b, meta.NodeGone, "root"))
	w.must(w.SetNodeState(ctx, c, meta.NodeGone, "root"))
	if got, _ := w.trashOf(c); got != nil {
		t.Errorf("trash of a node that is gone: %v", got)
	}
	if _, err := w.Collect(ctx, meta.Collect{DryRun: true}); err != nil {
		t.Error(err)
	}
	if keys, _, err := w.db.Records("trash"); err != nil || len(keys) != 2 {
		t.Errorf("a dry run left %d records (%v)", len(keys), err)
	}
	w.collect()
	if got, _ := w.trashOf(a); !slices.Equal(got, []digest.Digest{x}) {
		t.Errorf("trash of the node that is left: %v", got)
	}
	if keys, _, err := w.db.Records("trash"); err != nil || len(keys) != 1 {
		t.Errorf("%d records of trash (%v)", len(keys), err)
	}
	w.sweepAll(a)
	if keys, _, err := w.db.Records("trash"); err != nil || len(keys) != 0 {
		t.Errorf("%d records of trash (%v)", len(keys), err)
	}
}

// What a node holds that is gone by the time of the decision never becomes its trash.
func TestCondemnedBlobsAreNoTrashOfNodesThatAreGone(t *testing.T) {
	w, x, a, b, c := threeHolders(t)
	ctx := t.Context()
	w.must(w.at(c).LinkBlob(ctx, "a", digest.FromString("y"), 1, ""))
	w.unheld = w.lost
	w.must(w.SetNodeState(ctx, b, meta.NodeGone, "root"))
	w.must(w.SetNodeState(ctx, c, meta.NodeGone, "root"))
	w.pass(2 * grace)
	w.collect()
	_, values, err := w.db.Records("trash")
	w.must(err)
	packed, err := meta.Pack(nil, x)
	w.must(err)
	if len(values) != 1 || !bytes.Contains(values[0], packed) || values[0][0] != 0xa2 { // no third field: the first node
		t.Errorf("trash %x, want x of node %d alone", values, a)
	}
}

// What nobody holds any more leaves nothing to unlink.
func TestLostBlobsLeaveNoTrash(t *testing.T) {
	w := newWorld(t)
	n := w.node("a", "")
	x := w.blob("a", "x")
	dropped, err := w.DropHolder(t.Context(), n, []digest.Digest{x}, meta.Lost{})
	w.must(err)
	if len(dropped) != 1 || w.problems() != 1 {
		t.Errorf("dropped %v, problems %d, want the one that nobody holds it", dropped, w.problems())
	}
	w.pass(2 * grace)
	if r := w.collect(); r.Blobs != 1 {
		t.Errorf("%+v", r)
	}
	if trash, _ := w.trashOf(n); trash != nil {
		t.Errorf("trash %v", trash)
	}
}
