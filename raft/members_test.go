package raft_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"skerry.dev/skerry/raft"
)

// server is a member as others know it.
func (m *member) server() raft.Server { return raft.Server{ID: m.cfg.NodeID, Address: m.cfg.Address} }

// grow adds members to the one that founded the cluster, with votes.
func grow(tb testing.TB, first *member, others ...*member) {
	tb.Helper()
	for _, m := range others {
		if err := first.node.AddNonvoter(soon(tb), m.server()); err != nil {
			tb.Fatal(err)
		}
		eventually(tb, m.cfg.NodeID+" is heard of", func() bool { return memberOf(first, m).Reachable })
		if err := first.node.Promote(soon(tb), m.cfg.NodeID); err != nil {
			tb.Fatal(err)
		}
	}
}

// memberOf is what one knows of the other.
func memberOf(one, other *member) raft.Member {
	for _, m := range one.node.Members() {
		if m.ID == other.cfg.NodeID {
			return m
		}
	}
	return raft.Member{}
}

func TestMembersComeAndGo(t *testing.T) {
	mesh := newMesh()
	a, b, c := mesh.member(t, "a.1", false), mesh.member(t, "b.1", true), mesh.member(t, "c.1", true)
	if err := a.node.WaitLeader(soon(t)); err != nil {
		t.Fatal(err)
	}
	grow(t, a, b, c)
	propose(t, c.node, "of three")
	for i, m := range a.node.Members() {
		if !m.Voter || !m.Reachable || m.Leader != (i == 0) || i > 0 && time.Since(m.LastContact) > time.Minute {
			t.Errorf("member %+v", m)
		}
	}
	if err := b.node.Promote(soon(t), "c.1"); !errors.Is(err, raft.ErrNoLeader) {
		t.Errorf("a follower changes members: %v", err)
	}
	if err := a.node.Demote(soon(t), "c.1"); err != nil {
		t.Fatal(err)
	}
	propose(t, c.node, "without a vote")
	if err := a.node.Remove(soon(t), "c.1"); err != nil {
		t.Fatal(err)
	}
	if err := a.node.Remove(soon(t), "b.1"); err != nil {
		t.Fatalf("the second of two: %v", err)
	}
	if err := a.node.Remove(soon(t), "b.1"); err != nil {
		t.Errorf("again: %v", err)
	}
	closeNode(t, b.node)
	closeNode(t, c.node)
	propose(t, a.node, "alone again")
	if err := a.node.ReadIndex(soon(t)); err != nil {
		t.Error(err)
	}
	if err := a.node.Promote(soon(t), "d.1"); !errors.Is(err, raft.ErrNotMember) {
		t.Errorf("promote a stranger: %v", err)
	}
	if err := a.node.Remove(soon(t), "a.1"); !errors.Is(err, raft.ErrQuorum) {
		t.Errorf("remove the last: %v", err)
	}
}

func TestChangesThatWouldCostTheMajorityAreRefused(t *testing.T) {
	mesh := newMesh()
	members := mesh.three(t)
	lead := leading(t, members...)
	var others []*member
	for _, m := range members {
		if m != lead {
			others = append(others, m)
		}
	}
	gone, there := others[0], others[1]
	for _, m := range others {
		eventually(t, "it is heard of", func() bool { return memberOf(lead, m).Reachable })
	}
	closeNode(t, gone.node)
	eventually(t, "it is missed", func() bool { return !memberOf(lead, gone).Reachable })
	for what, err := range map[string]error{
		"remove": lead.node.Remove(soon(t), there.cfg.NodeID),
		"demote": lead.node.Demote(soon(t), there.cfg.NodeID),
	} {
		if !errors.Is(err, raft.ErrQuorum) {
			t.Errorf("%s one of the two that are left: %v", what, err)
		}
	}
	if err := lead.node.Remove(soon(t), gone.cfg.NodeID); err != nil {
		t.Errorf("remove the one that is gone: %v", err)
	}
	// A server that nobody hears of gets no vote.
	stranger := raft.Server{ID: "x.1", Address: "127.0.0.1:1"}
	if err := lead.node.AddNonvoter(soon(t), stranger); err != nil {
		t.Fatal(err)
	}
	closeNode(t, there.node)
	eventually(t, "it is missed", func() bool { return !memberOf(lead, there).Reachable })
	if err := lead.node.Promote(soon(t), stranger.ID); err == nil {
		t.Error("a server that nobody hears of got a vote")
	}
}

func TestAddressesChange(t *testing.T) {
	mesh := newMesh()
	a, b := mesh.member(t, "a.1", false), mesh.member(t, "b.1", true)
	if err := a.node.WaitLeader(soon(t)); err != nil {
		t.Fatal(err)
	}
	grow(t, a, b)
	wiped := raft.Server{ID: "b.2", Address: b.cfg.Address}
	if err := a.node.AddNonvoter(soon(t), wiped); !errors.Is(err, raft.ErrAddressInUse) {
		t.Errorf("add another server with the address of a member: %v", err)
	}
	other := mesh.member(t, "c.1", true) // only for its address
	closeNode(t, other.node)
	closeNode(t, b.node)
	eventually(t, "it is missed", func() bool { return !memberOf(a, b).Reachable })
	b.cfg.Address = other.cfg.Address
	b.restart(t)
	mesh.moved(b)
	mesh.rename(b)
	// Nobody leads until both hear of each other: a is asked by b, at its address.
	eventually(t, "somebody leads, and says where b is", func() bool {
		lead := leading(t, a, b)
		return lead.node.UpdateAddress(soon(t), b.server()) == nil
	})
	propose(t, b.node, "at the new address")
	if err := leading(t, a, b).node.UpdateAddress(soon(t), raft.Server{ID: "x.1", Address: "y"}); !errors.Is(
		err, raft.ErrNotMember) {
		t.Errorf("address of a stranger: %v", err)
	}
}

// TestLeaderSetsItsOwnAddress: a node that was alone had none that others know.
func TestLeaderSetsItsOwnAddress(t *testing.T) {
	alone := newHome(t)
	n, _ := alone.ready(t)
	propose(t, n, "alone")
	closeNode(t, n)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	alone.cfg.Listener, alone.cfg.Election = l, 200*time.Millisecond
	alone.cfg.Dial = func(context.Context, string) (net.Conn, error) { return nil, errCut }
	n, ledger := alone.ready(t)
	eventually(t, "it has its address", func() bool { return n.Members()[0].Address == l.Addr().String() })
	if !ledger.has("alone") {
		t.Error("what it had alone is gone")
	}
}

func TestLeadershipIsHandedOver(t *testing.T) {
	members := newMesh().three(t)
	lead := leading(t, members...)
	for i, m := range members {
		eventually(t, "it is heard of", func() bool { return memberOf(leading(t, members...), m).Reachable })
		if err := leading(t, members...).node.Transfer(soon(t), m.cfg.NodeID); err != nil {
			t.Fatal(err)
		}
		eventually(t, m.cfg.NodeID+" leads", func() bool { return m.node.Status().Leading })
		propose(t, members[(i+1)%3].node, fmt.Sprint("under ", i))
		lead = m
	}
	for _, m := range members[:2] {
		eventually(t, "it is heard of", func() bool { return memberOf(lead, m).Reachable })
	}
	if err := lead.node.Transfer(soon(t), ""); err != nil {
		t.Fatal(err)
	}
	leading(t, members[:2]...)
	if err := lead.node.Transfer(soon(t), ""); !errors.Is(err, raft.ErrNoLeader) {
		t.Errorf("hand over what one has not: %v", err)
	}
}

func TestProposersDoNotNoticeThatLeadershipIsHandedOver(t *testing.T) {
	members := newMesh().three(t)
	done, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(failed)
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			_, err := members[i%3].node.Propose(soon(t), fmt.Append(nil, "c", i))
			if err != nil && !errors.Is(err, raft.ErrUnknownFate) {
				failed <- err
				return
			}
		}
	}()
	for range 5 {
		lead := leading(t, members...)
		eventually(t, "it is handed over", func() bool { return lead.node.Transfer(soon(t), "") == nil })
	}
	close(done)
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

func TestLeadershipIsObserved(t *testing.T) {
	mesh := newMesh()
	members := mesh.three(t)
	lead := leading(t, members...)
	for _, m := range members {
		eventually(t, "everybody knows who leads", func() bool {
			now, _ := m.node.Leadership()
			return now.Leader == lead.server() && now.Leading == (m == lead)
		})
	}
	var others []*member
	for _, m := range members {
		if m != lead {
			others = append(others, m)
		}
	}
	_, changed := lead.node.Leadership()
	begin := time.Now()
	for _, m := range others {
		closeNode(t, m.node)
	}
	select {
	case <-changed:
	case <-soon(t).Done():
		t.Fatal("the end of leadership is not told")
	}
	eventually(t, "nobody leads", func() bool {
		now, _ := lead.node.Leadership()
		return now.Leader == raft.Server{} && !now.Leading && now.Since.After(begin)
	})
}

func TestNodeStartsWithoutAQuorum(t *testing.T) {
	members := newMesh().three(t)
	propose(t, members[0].node, "a")
	for _, m := range members {
		eventually(t, "it is everywhere", func() bool { return m.ledger.has("a") })
	}
	for _, m := range members {
		closeNode(t, m.node)
	}
	begin := time.Now()
	members[1].restart(t)
	if took := time.Since(begin); took > time.Second {
		t.Errorf("start took %v", took)
	}
	if !members[1].ledger.has("a") {
		t.Error("local reads do not work")
	}
	now, _ := members[1].node.Leadership()
	if now.Leading || now.Leader.ID != "" {
		t.Errorf("leadership %+v", now)
	}
	members[0].restart(t)
	proposeTo(t, members[:2], "b")
}
