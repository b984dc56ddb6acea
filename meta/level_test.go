package meta_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

func TestNothingIsProposedThatANodeDoesNotKnow(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.must(w.Allows()) // alone
	w.node("a", "")
	put := func(name string, level uint16) meta.NodeID {
		t.Helper()
		n, err := w.PutNode(ctx, meta.Node{Server: name + ".disk", Name: name, Version: "v9", Level: level}, "")
		w.must(err)
		return n
	}
	err := w.Allows()
	w.wants(err, meta.ErrLevel)
	if err != nil && !strings.Contains(err.Error(), "upgrade a (v1)") {
		t.Errorf("error %q does not say which", err)
	}
	put("a", meta.Level+1)
	w.must(w.Allows())
	b := put("b", meta.Level)
	w.wants(w.Allows(), meta.ErrLevel)
	w.must(w.SetNodeState(ctx, b, meta.NodeGone, ""))
	w.must(w.Allows())
	_, err = w.PutNode(ctx, meta.Node{Server: "c.disk", Name: "c", Level: 1}, "")
	w.wants(err, meta.ErrLevel)
}

func TestDatabasesOfALaterLevelAreRefused(t *testing.T) {
	dir := t.TempDir()
	db, err := meta.OpenDB(meta.DBConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	later := []byte{0, 0, meta.Level + 1}
	if err := errors.Join(db.Write("sys", []byte("cluster"), later), db.Checkpoint(0, nil), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := meta.OpenDB(meta.DBConfig{Dir: dir}); !errors.Is(err, meta.ErrFormat) {
		t.Errorf("opened a database of a later level: %v", err)
	}
}

// TestDatabasesOfLevelOne opens what a program wrote that knew of no nodes.
func TestDatabasesOfLevelOne(t *testing.T) {
	dir := t.TempDir()
	db, err := meta.OpenDB(meta.DBConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	old := &world{t: t, db: db, clock: time.UnixMilli(1_800_000_000_000)}
	old.Store = meta.NewStore(db, old, meta.StoreConfig{Grace: grace, Now: old.now})
	x, y := old.blob("a", "x"), old.blob("a", "y")
	old.pass(2 * grace)
	old.blob("a", "x") // and y goes
	old.collect()
	if _, values, err := db.Records("trash"); err != nil || len(values) != 1 || values[0][0] != 0xa2 {
		t.Errorf("trash %x (%v), want a digest and a size", values, err)
	}
	if v, _, err := db.Records("sys"); err != nil || len(v) != 2 {
		t.Errorf("sys holds %q (%v)", v, err)
	}
	old.must(db.Drop("node"))
	old.must(db.Checkpoint(0, nil))
	old.must(db.Close())

	w := newWorldIn(t, dir, meta.Seam{})
	w.index, w.clock = old.index, old.clock
	if trash, _ := w.trashOf(meta.FirstNode); len(trash) != 1 || trash[0] != y {
		t.Errorf("trash %v", trash)
	}
	if n := w.node("a", ""); n != meta.FirstNode || w.holders(x)[0] != n {
		t.Errorf("node %d, x is held by %d", n, w.holders(x))
	}
	w.sweepAll(meta.FirstNode)
}

func TestInstalledNodesAreListed(t *testing.T) {
	from, to := newWorld(t), newWorld(t)
	from.node("a", "")
	from.node("b", "")
	path, _ := shipped(t, from.db, t.TempDir())
	ch := to.Changed()
	to.must(to.db.Install(path))
	if !closed(ch) {
		t.Error("an installed snapshot wakes nobody")
	}
	if all := to.Nodes(); len(all) != 2 || all[1].Name != "b" {
		t.Errorf("nodes %v", all)
	}
	one, i, err := from.db.Digest(t.Context())
	from.must(err)
	two, j, err := to.db.Digest(t.Context())
	to.must(err)
	if one != two || i != j {
		t.Errorf("digests %s at %d, %s at %d", one, i, two, j)
	}
	to.index = from.index
	to.blob("a", "x")
	if other, j, err := to.db.Digest(t.Context()); err != nil || other == one || j != i+1 {
		t.Errorf("after another entry: %s at %d (%v)", other, j, err)
	}
}

// TestDigestSeesEveryByte changes a value, a key, and what is which.
func TestDigestSeesEveryByte(t *testing.T) {
	w := newWorld(t)
	seen := map[digest.Digest]bool{}
	for _, put := range []struct{ key, value string }{{"", ""}, {"a", "bc"}, {"a", "bd"}, {"ab", "c"}, {"abc", ""}} {
		if put.key != "" {
			w.must(w.db.Write("sec", []byte(put.key), []byte(put.value)))
		}
		sum, _, err := w.db.Digest(t.Context())
		w.must(err)
		if seen[sum] {
			t.Errorf("%q = %q changes nothing", put.key, put.value)
		}
		seen[sum] = true
		if put.key != "" {
			w.must(w.db.Write("sec", []byte(put.key), nil))
		}
	}
}
