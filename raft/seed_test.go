package raft_test

import (
	"errors"
	"path/filepath"
	"testing"

	"skerry.dev/skerry/raft"
)

func TestSeededStateBeginsAClusterOfItsOwn(t *testing.T) {
	h := newHome(t)
	n, _ := h.ready(t)
	for _, c := range []string{"a", "b", "c"} {
		propose(t, n, c)
	}
	closeNode(t, n)
	n, l := h.ready(t) // so that the term is not the first
	propose(t, n, "d")

	// The backup: the database alone, no log.
	if err := l.Checkpoint(0, nil); err != nil {
		t.Fatal(err)
	}
	other := newHome(t)
	other.cfg.NodeID = "n2.disk7"
	copyFile(t, filepath.Join(h.dir, "db", "ledger"), filepath.Join(other.dir, "db", "ledger"))

	restored := openLedger(t, filepath.Join(other.dir, "db"))
	index, position := restored.Position()
	seed := raft.SeedConfig{Dir: other.cfg.Dir, NodeID: other.cfg.NodeID, Log: other.cfg.Log}
	position, err := raft.Seed(seed, position)
	if err != nil {
		t.Fatal(err)
	}
	if err := restored.Checkpoint(index, position); err != nil {
		t.Fatal(err)
	}

	n2, l2 := other.ready(t)
	propose(t, n2, "e")
	if got := n2.Status(); got.Voters != 1 || got.Term <= n.Status().Term {
		t.Errorf("status %+v after term %d", got, n.Status().Term)
	}
	for _, c := range []string{"a", "b", "c", "d", "e"} {
		if !l2.has(c) {
			t.Errorf("%s is missing", c)
		}
	}
	closeNode(t, n2)
	n2, _ = other.ready(t)
	propose(t, n2, "f")
}

func TestSeedRefusesADirectoryWithALog(t *testing.T) {
	h := newHome(t)
	n, l := h.ready(t)
	propose(t, n, "a")
	closeNode(t, n)
	_, position := l.Position()
	_, err := raft.Seed(raft.SeedConfig{Dir: h.cfg.Dir, NodeID: "n2", Log: h.cfg.Log}, position)
	if !errors.Is(err, raft.ErrMismatch) {
		t.Errorf("seed: %v", err)
	}
}
