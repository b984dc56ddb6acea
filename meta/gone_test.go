package meta_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

func TestNodesThatAreGoneCountForNothing(t *testing.T) {
	w, x, a, b, c := threeHolders(t)
	ctx := t.Context()
	ds := []digest.Digest{x}
	_, before, err := w.db.Records("b")
	w.must(err)
	w.must(w.SetNodeState(ctx, b, meta.NodeGone, "root"))
	_, after, err := w.db.Records("b")
	w.must(err)
	if !slices.EqualFunc(before, after, bytes.Equal) {
		t.Error("records were rewritten")
	}
	if got := w.holders(x); !slices.Equal(got, []meta.NodeID{a, c}) {
		t.Errorf("holders %d", got)
	}
	if held, err := w.HeldBy(b, x); held || err != nil {
		t.Errorf("held by one that is gone (%v)", err)
	}
	s, err := w.Snapshot()
	w.must(err)
	for blob, err := range s.Blobs(b) {
		t.Errorf("snapshot lists %v (%v)", blob, err)
	}
	w.must(s.Close())
	if dropped, err := w.DropHolder(ctx, a, ds, meta.Surplus{Copies: 2}); err != nil || dropped != nil {
		t.Errorf("dropped %v (%v): c is the only other", dropped, err)
	}
	w.wants(w.AddHolder(ctx, b, ds), meta.ErrNode)
	w.wants(w.at(b).LinkBlob(ctx, "a", x, 1, ""), meta.ErrNode)
	_, err = w.PutNode(ctx, meta.Node{Server: "b.disk", Name: "b"}, "")
	w.wants(err, meta.ErrNode)
	for _, state := range []meta.NodeState{meta.NodeActive, meta.NodeGone} {
		w.wants(w.SetNodeState(ctx, b, state, ""), meta.ErrNode)
	}
	// What is written anew does not name it.
	w.blob("a", "x")
	_, after, err = w.db.Records("b")
	w.must(err)
	if holders := after[0][:len(after[0])-33]; !bytes.HasSuffix(holders, []byte{2, byte(a), byte(c)}) {
		t.Errorf("record %x", after[0])
	}
	if w.node("b2", "") != 4 {
		t.Error("an id was used again")
	}
}

func TestOnlyNodesOfTheClusterHoldBlobs(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	x := w.blob("a", "x")
	for _, n := range []meta.NodeID{0, 2, 65535} {
		w.wants(w.at(n).LinkBlob(ctx, "a", x, 1, ""), meta.ErrNode)
		w.wants(w.AddHolder(ctx, n, []digest.Digest{x}), meta.ErrNode)
		w.wants(w.SetNodeState(ctx, n, meta.NodeDraining, ""), meta.ErrNode)
	}
	w.must(w.AddHolder(ctx, meta.FirstNode, []digest.Digest{x})) // as before any registers
	w.wants(w.SetNodeState(ctx, meta.FirstNode, meta.NodeDraining, ""), meta.ErrNode)
	n := w.node("a", "")
	w.wants(w.SetNodeState(ctx, n, meta.NodeGone, ""), meta.ErrConflict)
	w.wants(w.SetNodeState(ctx, n, "asleep", ""), meta.ErrName)
}

func TestNodesAreBounded(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for _, n := range []meta.Node{
		{Name: "no server"},
		{Server: "no name"},
		{Server: "s", Name: "n", Role: "king"},
		{Server: "s", Name: "n", Capacity: -1},
		{Server: "s", Name: string(make([]byte, 256))},
	} {
		_, err := w.PutNode(ctx, n, "")
		w.wants(err, meta.ErrName)
	}
	for i := range 256 {
		w.node(fmt.Sprint(i), "")
	}
	_, err := w.PutNode(ctx, meta.Node{Server: "s", Name: "n"}, "")
	w.wants(err, meta.ErrConflict)
	w.must(w.SetNodeState(ctx, 256, meta.NodeGone, ""))
	if n := w.node("s", ""); n != 257 {
		t.Errorf("node %d", n)
	}
}

// A restored backup is a cluster of one, whoever held what in the old one.
func TestResetNodesMakesAClusterOfOne(t *testing.T) {
	w, x, _, b, c := threeHolders(t)
	ctx := t.Context()
	z := w.blob("a", "z")
	w.must(w.AddHolder(ctx, c, []digest.Digest{z}))
	w.pass(2 * grace)
	w.push(image("a", "one", nil, "config"))
	w.must(w.at(b).LinkBlob(ctx, "a", x, 1, ""))
	w.collect() // z goes
	y := digest.FromString("y")
	w.must(w.at(b).LinkBlob(ctx, "a", y, 1, ""))
	w.must(w.SetNodeState(ctx, b, meta.NodeGone, ""))
	for range 2 { // again after an interruption
		w.must(w.db.ResetNodes(ctx))
		w.check()
	}
	if all := w.Nodes(); len(all) != 0 {
		t.Errorf("nodes %v", all)
	}
	for _, d := range []digest.Digest{x, y, digest.FromString("config")} {
		if got := w.holders(d); !slices.Equal(got, []meta.NodeID{meta.FirstNode}) {
			t.Errorf("holders of %s: %d", d, got)
		}
	}
	if trash, _ := w.trashOf(meta.FirstNode); !slices.Equal(trash, []digest.Digest{z}) {
		t.Errorf("trash %v", trash)
	}
	if n := w.node("new", ""); n != meta.FirstNode {
		t.Errorf("the node is %d", n)
	}
	sum, _, err := w.db.Digest(ctx)
	w.must(err)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	w.wants(w.db.ResetNodes(canceled), context.Canceled)
	if after, _, err := w.db.Digest(ctx); err != nil || after != sum {
		t.Errorf("canceled, it changed something (%v)", err)
	}
}
