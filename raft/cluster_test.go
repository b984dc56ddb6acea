package raft_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"skerry.dev/skerry/raft"
)

// A member is a node of a cluster on loopback.
type member struct {
	home
	node   *raft.Node
	ledger *ledger
}

// newMember starts a node that has no cluster yet, or founds one.
func newMember(tb testing.TB, id string, join bool, change ...func(*raft.Config)) *member {
	tb.Helper()
	h := cutting(tb)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	h.cfg.NodeID, h.cfg.Join, h.cfg.Listener = id, join, l
	h.cfg.Address = l.Addr().String()
	h.cfg.Election = 200 * time.Millisecond
	h.cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	for _, f := range change {
		f(&h.cfg)
	}
	m := &member{home: h}
	m.node, m.ledger = h.start(tb)
	return m
}

// restart starts a member again after Close, at the same address.
func (m *member) restart(tb testing.TB) {
	tb.Helper()
	m.listen(tb)
	m.node, m.ledger = m.start(tb)
}

// listen opens the address again.
func (m *member) listen(tb testing.TB) {
	tb.Helper()
	l, err := net.Listen("tcp", m.cfg.Address)
	if err != nil {
		tb.Fatal(err)
	}
	m.cfg.Listener = l
}

// threeMembers makes a cluster; the first founded it.
func threeMembers(tb testing.TB) []*member {
	tb.Helper()
	members := []*member{newMember(tb, "n1.d1", false), newMember(tb, "n2.d2", true), newMember(tb, "n3.d3", true)}
	if err := members[0].node.WaitLeader(soon(tb)); err != nil {
		tb.Fatal(err)
	}
	for _, m := range members[1:] {
		if err := members[0].node.AddVoter(m.cfg.NodeID, m.cfg.Address); err != nil {
			tb.Fatal(err)
		}
	}
	knowEachOther(tb, members)
	return members
}

// knowEachOther waits until every member has heard of every other: one that has not
// refuses its vote to those, and a majority for the new members is not one without the
// leader, which has heard.
func knowEachOther(tb testing.TB, members []*member) {
	tb.Helper()
	for _, m := range members {
		eventually(tb, m.cfg.NodeID+" knows all members", func() bool { return len(m.node.Members()) == len(members) })
	}
}

// leading waits until one of the members leads.
func leading(tb testing.TB, members ...*member) *member {
	tb.Helper()
	var found *member
	eventually(tb, "somebody leads", func() bool {
		for _, m := range members {
			if m.node.Status().Leading {
				found = m
			}
		}
		return found != nil
	})
	return found
}

// proposeTo proposes to whoever leads, for as long as it takes.
func proposeTo(tb testing.TB, members []*member, command string) {
	tb.Helper()
	eventually(tb, "command is agreed on", func() bool {
		_, err := leading(tb, members...).node.Propose(soon(tb), []byte(command))
		if err != nil && !errors.Is(err, raft.ErrNoLeader) {
			tb.Fatal(err)
		}
		return err == nil
	})
}

func TestNodesApplyTheSame(t *testing.T) {
	members := threeMembers(t)
	for i := range 100 {
		propose(t, members[0].node, fmt.Sprint("c", i))
	}
	want := members[0].ledger.entries()
	for _, m := range members[1:] {
		eventually(t, m.cfg.NodeID+" has everything", func() bool { return len(m.ledger.entries()) == len(want) })
		for c, index := range m.ledger.entries() {
			if want[c] != index {
				t.Errorf("%s applied %s at %d, the leader at %d", m.cfg.NodeID, c, index, want[c])
			}
		}
		if _, err := m.node.Propose(soon(t), []byte("x")); !errors.Is(err, raft.ErrNoLeader) {
			t.Errorf("propose to a follower: %v", err)
		}
		if err := m.node.ReadIndex(soon(t)); !errors.Is(err, raft.ErrNoLeader) {
			t.Errorf("confirmed read of a follower: %v", err)
		}
		if err := m.node.WaitLeader(soon(t)); err != nil {
			t.Errorf("follower knows no leader: %v", err)
		}
	}
}

func TestClusterGoesOnWithoutItsLeader(t *testing.T) {
	members := threeMembers(t)
	propose(t, members[0].node, "before")
	closeNode(t, members[0].node)
	proposeTo(t, members[1:], "meanwhile")
	heir := leading(t, members[1:]...)
	if err := heir.node.ReadIndex(soon(t)); err != nil {
		t.Error(err)
	}
	if !heir.ledger.has("before") || !heir.ledger.has("meanwhile") {
		t.Errorf("entries %v", heir.ledger.entries())
	}
	members[0].restart(t)
	eventually(t, "the first catches up", func() bool { return members[0].ledger.has("meanwhile") })
}

func TestLeaderAloneConfirmsNothing(t *testing.T) {
	members := threeMembers(t)
	propose(t, members[0].node, "before")
	for _, m := range members[1:] {
		closeNode(t, m.node)
	}
	lead := members[0].node
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := lead.ReadIndex(ctx); err == nil {
		t.Error("read was confirmed by one of three")
	}
	if _, err := lead.Propose(ctx, []byte("lonely")); err == nil {
		t.Error("command was agreed on by one of three")
	}
	members[1].restart(t)
	proposeTo(t, members[:2], "together")
}

func TestLateJoinerReceivesASnapshot(t *testing.T) {
	first := newMember(t, "n1.d1", false)
	if err := first.node.WaitLeader(soon(t)); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		propose(t, first.node, string(sized(i, 1<<10)))
	}
	eventually(t, "log is cut", func() bool { return first.node.Status().FirstIndex > 50 })

	late := newMember(t, "n2.d2", true)
	if err := first.node.AddVoter(late.cfg.NodeID, late.cfg.Address); err != nil {
		t.Fatal(err)
	}
	propose(t, first.node, "after")
	eventually(t, "joiner has the last", func() bool { return late.ledger.has("after") })
	if !late.ledger.has(string(sized(0, 1<<10))) {
		t.Error("joiner misses the first")
	}
	if late.ledger.installed() != 1 {
		t.Errorf("joiner received %d snapshots, want 1", late.ledger.installed())
	}
	if left, err := filepath.Glob(filepath.Join(late.cfg.Dir, "received", "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	// And it stands on its own feet.
	closeNode(t, late.node)
	late.restart(t)
	proposeTo(t, []*member{first, late}, "again")
	eventually(t, "joiner has the last", func() bool { return late.ledger.has("again") })
}

// late holds back what comes in on its connections while it is shut.
type late struct {
	mu   sync.Mutex
	open chan struct{}
}

func newLate() *late {
	l := &late{open: make(chan struct{})}
	close(l.open)
	return l
}

func (l *late) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = make(chan struct{})
}

func (l *late) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.open)
}

type lateConn struct {
	net.Conn
	late *late
}

func (c lateConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.late.mu.Lock()
	open := c.late.open
	c.late.mu.Unlock()
	<-open
	return n, err
}

// TestAnswersFromBeforeAPauseConfirmNothing lets a leader receive the answers to
// its heartbeats only after those who gave them are gone, as if its process had
// slept meanwhile.
func TestAnswersFromBeforeAPauseConfirmNothing(t *testing.T) {
	slow := newLate()
	first := newMember(t, "n1.d1", false, func(c *raft.Config) {
		dial := c.Dial
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := dial(ctx, address)
			return lateConn{conn, slow}, err
		}
		c.Election = 5 * time.Second // it believes that it leads, long enough
	})
	if err := first.node.WaitLeader(soon(t)); err != nil {
		t.Fatal(err)
	}
	var others []*member
	for _, id := range []string{"n2.d2", "n3.d3"} {
		m := newMember(t, id, true)
		others = append(others, m)
		if err := first.node.AddVoter(id, m.cfg.Address); err != nil {
			t.Fatal(err)
		}
	}
	propose(t, first.node, "a")
	if err := first.node.ReadIndex(soon(t)); err != nil {
		t.Fatal(err)
	}
	slow.shut()
	asked := make(chan error, 1)
	go func() { asked <- first.node.ReadIndex(soon(t)) }() // sends heartbeats
	for _, m := range others {
		eventually(t, "the others hear the heartbeat", func() bool { return m.node.Status().Leader == "n1.d1" })
		closeNode(t, m.node)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	read := make(chan error, 1)
	go func() { read <- first.node.ReadIndex(ctx) }()
	select {
	case err := <-read:
		t.Fatalf("read: %v", err)
	case <-time.After(200 * time.Millisecond): // it has asked by now
	}
	slow.release()
	if err := <-read; err == nil {
		t.Error("a read was confirmed by nodes that were gone before it began")
	}
}

// TestLogOfADeposedLeaderIsReplaced makes a leader keep entries that nobody
// agreed on, and checks that they are gone, also after a restart.
func TestLogOfADeposedLeaderIsReplaced(t *testing.T) {
	members := threeMembers(t)
	propose(t, members[0].node, "before")
	for _, m := range members[1:] {
		eventually(t, "everybody has it", func() bool { return m.ledger.has("before") })
		closeNode(t, m.node)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for i := range 3 {
		if _, err := members[0].node.Propose(ctx, fmt.Append(nil, "lonely", i)); err == nil {
			t.Fatal("command was agreed on by one of three")
		}
	}
	closeNode(t, members[0].node)
	members[1].restart(t)
	members[2].restart(t)
	proposeTo(t, members[1:], "together")
	members[0].restart(t)
	eventually(t, "the deposed follows", func() bool { return members[0].ledger.has("together") })
	closeNode(t, members[0].node)
	members[0].restart(t)
	proposeTo(t, members, "all")
	for _, m := range members {
		eventually(t, "everybody has the last", func() bool { return m.ledger.has("all") })
		if m.ledger.has("lonely0") != members[1].ledger.has("lonely0") {
			t.Error("nodes differ")
		}
		if m.ledger.has("lonely1") {
			t.Error("an entry nobody agreed on took effect")
		}
	}
}
