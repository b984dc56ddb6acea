package raft_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"skerry.dev/skerry/raft"
)

// recoverAs replaces the members of a cluster on what a closed member holds.
func (m *member) recoverAs(tb testing.TB, members ...*member) {
	tb.Helper()
	var servers []raft.Server
	for _, o := range members {
		servers = append(servers, o.server())
	}
	if err := raft.Recover(m.cfg, openLedger(tb, filepath.Join(m.dir, "db")), servers); err != nil {
		tb.Fatal(err)
	}
}

func TestOneOfThreeGoesOnAlone(t *testing.T) {
	mesh := newMesh()
	members := mesh.three(t)
	for i := range 50 { // cut logs, snapshots
		propose(t, members[0].node, string(sized(i, 100)))
	}
	propose(t, members[0].node, "last")
	one := members[2]
	eventually(t, "it has everything", func() bool { return one.ledger.has("last") })
	for _, m := range members {
		closeNode(t, m.node)
	}
	one.restart(t)
	if err := one.node.ReadIndex(within(t, time.Second)); !errors.Is(err, raft.ErrNoLeader) {
		t.Errorf("read without a quorum: %v", err)
	}
	closeNode(t, one.node)
	one.recoverAs(t, one)
	one.recoverAs(t, one) // a crash, and once more
	one.restart(t)
	mesh.moved(one)
	propose(t, one.node, "alone")
	if !one.ledger.has("last") || !one.ledger.has(string(sized(0, 100))) {
		t.Error("something is lost")
	}
	if all := one.node.Members(); len(all) != 1 || !all[0].Voter {
		t.Errorf("members %+v", all)
	}
	fresh := mesh.member(t, "n4.d4", true)
	grow(t, one, fresh)
	propose(t, fresh.node, "two again")
	if !fresh.ledger.has("last") {
		t.Error("the new one misses the past")
	}
	closeNode(t, one.node)
	one.restart(t)
	proposeTo(t, []*member{one, fresh}, "and after a restart")
}

func TestTwoOfThreeGoOnTogether(t *testing.T) {
	mesh := newMesh()
	members := mesh.three(t)
	propose(t, members[0].node, "last")
	for _, m := range members {
		eventually(t, "it is everywhere", func() bool { return m.ledger.has("last") })
	}
	for _, m := range members {
		closeNode(t, m.node)
	}
	two := members[1:]
	for _, m := range two {
		m.recoverAs(t, two...)
	}
	for _, m := range two {
		m.restart(t)
		mesh.moved(m)
	}
	for _, m := range two {
		propose(t, m.node, "by "+m.cfg.NodeID)
		if !m.ledger.has("last") {
			t.Error("something is lost")
		}
	}
}

func TestRecoverRefusesWhatCannotBe(t *testing.T) {
	h := newHome(t)
	self := raft.Server{ID: h.cfg.NodeID, Address: "a"}
	l := openLedger(t, filepath.Join(h.dir, "db"))
	if err := raft.Recover(h.cfg, l, []raft.Server{self}); !errors.Is(err, raft.ErrMismatch) {
		t.Errorf("nothing there: %v", err)
	}
	n, _ := h.ready(t)
	if err := raft.Recover(h.cfg, l, []raft.Server{self}); !errors.Is(err, raft.ErrInUse) {
		t.Errorf("running: %v", err)
	}
	closeNode(t, n)
	if err := raft.Recover(h.cfg, l, []raft.Server{{ID: "x", Address: "b"}}); !errors.Is(err, raft.ErrMismatch) {
		t.Errorf("others only: %v", err)
	}
	if err := raft.Recover(h.cfg, l, []raft.Server{self, self}); !errors.Is(err, raft.ErrMismatch) {
		t.Errorf("twice the same: %v", err)
	}
}
