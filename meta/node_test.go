package meta_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// node registers a node called name, in a zone.
func (w *world) node(name, zone string) meta.NodeID {
	w.t.Helper()
	n, err := w.PutNode(w.t.Context(), meta.Node{
		Server: name + ".disk", Name: name, Zone: zone, Address: name + ":5000", Version: "v1", Capacity: 1 << 40,
	}, "root")
	w.must(err)
	return n
}

// at is the store as it runs on node n.
func (w *world) at(n meta.NodeID) *meta.Store {
	return meta.NewStore(w.db, w, meta.StoreConfig{
		Grace: grace, Now: w.now, Self: func() meta.NodeID { return n },
	})
}

// holders are the nodes that hold d.
func (w *world) holders(d digest.Digest) []meta.NodeID {
	w.t.Helper()
	copies, err := w.Copies(d)
	w.must(err)
	if len(copies) == 0 {
		return nil
	}
	return copies[0].Holders
}

// lost counts the blobs that no node holds.
func (w *world) lost() (n int) {
	w.t.Helper()
	all, err := w.CopiesAfter(0, 1<<20)
	w.must(err)
	for _, c := range all {
		if len(c.Holders) == 0 {
			n++
		}
	}
	return n
}

func TestNodesGetDenseIdsFromOneAndKeepThem(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	if all := w.Nodes(); len(all) != 0 {
		t.Errorf("nodes of a new database: %v", all)
	}
	a, b := w.node("a", "east"), w.node("b", "west")
	joined := w.now()
	if a != meta.FirstNode || b != 2 {
		t.Errorf("ids %d and %d", a, b)
	}
	w.pass(time.Hour)
	w.must(w.SetNodeState(ctx, a, meta.NodeDraining, "root"))
	before := w.index
	again, err := w.PutNode(ctx, meta.Node{
		Server: "a.disk", Name: "a", Zone: "east", Address: "elsewhere:5000", Version: "v2", Role: meta.RoleWitness,
		Level: meta.Level,
	}, "root")
	w.must(err)
	want := meta.Node{
		ID: a, Server: "a.disk", Name: "a", Zone: "east", Address: "elsewhere:5000", Role: meta.RoleWitness,
		State: meta.NodeDraining, Version: "v2", Level: meta.Level, Joined: joined,
	}
	all := w.Nodes()
	if again != a || w.index != before+1 || len(all) != 2 || !all[0].Joined.Equal(joined) {
		t.Errorf("updated as %d: %+v", again, all)
	}
	all = slices.Clone(all)
	all[0].Joined = joined
	if all[0] != want {
		t.Errorf("node %+v, want %+v", all[0], want)
	}
	if n := w.node("b", "west"); n != b || w.index != before+1 {
		t.Errorf("what is known already cost an entry")
	}
	found, err := w.Node("b.disk")
	w.must(err)
	if found.ID != b || found.State != meta.NodeActive || found.Role != meta.RoleFull {
		t.Errorf("found %+v", found)
	}
	_, err = w.Node("c.disk")
	w.wants(err, meta.ErrNotFound)
}

func TestCopiesNameTheirHolders(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	x := w.blob("a", "x") // before any node registers
	a, b := w.node("a", ""), w.node("b", "")
	y := digest.FromString("y")
	w.must(w.at(b).LinkBlob(ctx, "a", y, 1, "alice"))
	w.must(w.AddHolder(ctx, b, []digest.Digest{x}))
	if got := w.holders(x); !slices.Equal(got, []meta.NodeID{a, b}) {
		t.Errorf("holders of x: %d", got)
	}
	if got := w.holders(y); !slices.Equal(got, []meta.NodeID{b}) {
		t.Errorf("holders of y: %d", got)
	}
	unknown := digest.FromString("unknown")
	err := w.AddHolder(ctx, a, []digest.Digest{unknown, y})
	var e *meta.UnknownError
	if !errors.As(err, &e) || !slices.Equal(e.Digests, []digest.Digest{unknown}) || !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("unknown digest: %v", err)
	}
	if got := w.holders(y); !slices.Equal(got, []meta.NodeID{a, b}) {
		t.Errorf("holders of y beside an unknown one: %d", got)
	}
	dropped, err := w.DropHolder(ctx, a, []digest.Digest{x, unknown}, meta.Lost{})
	w.must(err)
	if !slices.Equal(dropped, []digest.Digest{x, unknown}) || !slices.Equal(w.holders(x), []meta.NodeID{b}) {
		t.Errorf("dropped %v, left %d", dropped, w.holders(x))
	}
	held, err := w.HeldBy(a, x)
	w.must(err)
	if still, err := w.HeldBy(b, x); held || !still || err != nil {
		t.Errorf("held by a %v, by b %v (%v)", held, still, err)
	}
	var paged []digest.Digest
	for page, err := w.CopiesAfter(0, 1); len(page) > 0; page, err = w.CopiesAfter(page[0].ID, 1) {
		w.must(err)
		paged = append(paged, page[0].Digest)
	}
	if !slices.Equal(paged, []digest.Digest{x, y}) {
		t.Errorf("pages %v", paged)
	}
}

func TestSurplusNeverDropsBelowTheRule(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	a, b, c := w.node("a", "east"), w.node("b", "east"), w.node("c", "west")
	x := w.blob("a", "x")
	ds := []digest.Digest{x}
	w.must(w.AddHolder(ctx, b, ds))
	w.must(w.AddHolder(ctx, c, ds))
	drop := func(n meta.NodeID, rule meta.Surplus, want bool) {
		t.Helper()
		dropped, err := w.DropHolder(ctx, n, ds, rule)
		if err != nil || (len(dropped) == 1) != want {
			t.Errorf("node %d by %+v: dropped %v (%v), want %v", n, rule, dropped, err, want)
		}
	}
	drop(a, meta.Surplus{Copies: 3}, false)
	drop(c, meta.Surplus{Copies: 2, Zones: 2}, false) // what is left is all in the east
	w.must(w.SetNodeState(ctx, b, meta.NodeDraining, "root"))
	drop(c, meta.Surplus{Copies: 2}, false) // one that drains does not count
	w.must(w.SetNodeState(ctx, b, meta.NodeActive, "root"))
	drop(a, meta.Surplus{Copies: 2, Zones: 2}, true)
	drop(b, meta.Surplus{Copies: 2, Zones: 2}, false) // a was before it
	drop(a, meta.Surplus{Copies: 2, Zones: 2}, true)  // says again that it may
	_, err := w.DropHolder(ctx, a, ds, meta.Surplus{})
	w.wants(err, meta.ErrName)
	if got := w.holders(x); !slices.Equal(got, []meta.NodeID{b, c}) {
		t.Errorf("holders %d", got)
	}
}

// closed says whether a channel was closed already.
func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestChangedWakesWhoeverWaitedBefore(t *testing.T) {
	w := newWorld(t)
	ch := w.Changed()
	if w.Changed() != ch || closed(ch) {
		t.Error("waiters do not share, or were woken by nothing")
	}
	w.blob("a", "x")
	if !closed(ch) || closed(w.Changed()) {
		t.Errorf("woken %v, and by what was before %v", closed(ch), closed(w.Changed()))
	}
}

func TestClosingWakesWhoeverWaits(t *testing.T) {
	db, err := meta.OpenDB(meta.DBConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ch := db.Changed()
	if err := db.Close(); err != nil || !closed(ch) {
		t.Errorf("woken %v (%v)", closed(ch), err)
	}
}

func TestManyDigestsAreSeveralCommands(t *testing.T) {
	w := newWorld(t)
	w.blob("a", "x")
	n := w.node("a", "")
	ds := make([]digest.Digest, 250)
	for i := range ds {
		ds[i] = digest.FromString(fmt.Sprint(i))
	}
	before := w.index
	var e *meta.UnknownError
	if err := w.AddHolder(t.Context(), n, ds); !errors.As(err, &e) || !slices.Equal(e.Digests, ds) || w.index != before+3 {
		t.Errorf("%d entries: %v", w.index-before, err)
	}
}
