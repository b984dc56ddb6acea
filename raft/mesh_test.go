package raft_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"skerry.dev/skerry/raft"
)

var errCut = errors.New("mesh: cut")

// A mesh connects members, by raft's connections and by a Peers that calls the
// other node directly, until it is told not to.
type mesh struct {
	mu      sync.Mutex // guards the rest
	nodes   map[string]*raft.Node
	names   map[string]string // address → id
	wires   map[link]bool     // cut for raft
	calls   map[link]bool     // cut for Peers
	conns   map[link][]net.Conn
	asked   map[string]int // read index questions that reached a node
	before  func(from, to string)
	replies func(from, to string) error // after a command was answered
}

// A link is one direction between two members.
type link struct{ from, to string }

func newMesh() *mesh {
	return &mesh{
		nodes: map[string]*raft.Node{}, names: map[string]string{}, wires: map[link]bool{}, calls: map[link]bool{},
		conns: map[link][]net.Conn{}, asked: map[string]int{},
	}
}

// member starts a node of the mesh.
func (m *mesh) member(tb testing.TB, id string, join bool, change ...func(*raft.Config)) *member {
	tb.Helper()
	wire := func(c *raft.Config) {
		dial := c.Dial
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) { return m.dial(ctx, id, address, dial) }
		c.Peers = peers{m, id}
		m.mu.Lock()
		m.names[c.Address] = id
		m.mu.Unlock()
	}
	n := newMember(tb, id, join, append([]func(*raft.Config){wire}, change...)...)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nodes[id] = n.node
	return n
}

// moved says that a member was started again.
func (m *mesh) moved(one *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nodes[one.cfg.NodeID] = one.node
}

// rename says that a member has another address.
func (m *mesh) rename(one *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names[one.cfg.Address] = one.cfg.NodeID
}

// three makes a cluster of three voters.
func (m *mesh) three(tb testing.TB, change ...func(*raft.Config)) []*member {
	tb.Helper()
	members := []*member{m.member(tb, "n1.d1", false, change...)}
	if err := members[0].node.WaitLeader(soon(tb)); err != nil {
		tb.Fatal(err)
	}
	for _, id := range []string{"n2.d2", "n3.d3"} {
		n := m.member(tb, id, true, change...)
		members = append(members, n)
		if err := members[0].node.AddVoter(id, n.cfg.Address); err != nil {
			tb.Fatal(err)
		}
	}
	for _, n := range members {
		if err := n.node.WaitLeader(soon(tb)); err != nil {
			tb.Fatal(err)
		}
	}
	knowEachOther(tb, members)
	return members
}

func (m *mesh) dial(ctx context.Context, from, address string,
	dial func(context.Context, string) (net.Conn, error),
) (net.Conn, error) {
	m.mu.Lock()
	l := link{from, m.names[address]}
	cut := m.wires[l]
	m.mu.Unlock()
	if cut {
		return nil, errCut
	}
	c, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conns[l] = append(m.conns[l], c)
	return c, nil
}

// cutWires ends what raft sends from one member to the other. Answers to what it
// receives still go out.
func (m *mesh) cutWires(from, to *member) { m.cut(m.wires, from, to) }

// cutCalls ends what is forwarded from one member to the other.
func (m *mesh) cutCalls(from, to *member) { m.cut(m.calls, from, to) }

func (m *mesh) cut(what map[link]bool, from, to *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := link{from.cfg.NodeID, to.cfg.NodeID}
	what[l] = true
	for _, c := range m.conns[l] {
		_ = c.Close()
	}
	m.conns[l] = nil
}

// isolate cuts a member off from the others in both directions.
func (m *mesh) isolate(one *member, others ...*member) {
	for _, o := range others {
		if o != one {
			m.cutWires(one, o)
			m.cutWires(o, one)
			m.cutCalls(one, o)
			m.cutCalls(o, one)
		}
	}
}

func (m *mesh) heal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.wires)
	clear(m.calls)
}

// onCall is called before each call, from then on; and onReply after each
// command, whose answer is lost if it returns an error.
func (m *mesh) onCall(f func(from, to string)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = f
}

func (m *mesh) onReply(f func(from, to string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replies = f
}

func (m *mesh) questions(to *member) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked[to.cfg.NodeID]
}

// peers is a member's way to the others.
type peers struct {
	mesh *mesh
	from string
}

var _ raft.Peers = peers{}

// reach returns the other node, if the link to it is whole.
func (p peers) reach(to string) (*raft.Node, error) {
	p.mesh.mu.Lock()
	defer p.mesh.mu.Unlock()
	n := p.mesh.nodes[to]
	if n == nil || p.mesh.calls[link{p.from, to}] {
		return nil, fmt.Errorf("%w: from %s to %s: %w", raft.ErrNotSent, p.from, to, errCut)
	}
	return n, nil
}

func (p peers) hooks() (func(from, to string), func(from, to string) error) {
	p.mesh.mu.Lock()
	defer p.mesh.mu.Unlock()
	return p.mesh.before, p.mesh.replies
}

// Propose implements raft.Peers. A link that is cut on the way back loses the
// answer.
func (p peers) Propose(ctx context.Context, to raft.Server, command []byte) (uint64, []byte, error) {
	n, err := p.reach(to.ID)
	if err != nil {
		return 0, nil, err
	}
	before, replies := p.hooks()
	if before != nil {
		before(p.from, to.ID)
	}
	index, answer, err := n.ProposeHere(ctx, command)
	if replies != nil {
		if err := replies(p.from, to.ID); err != nil {
			return 0, nil, err
		}
	}
	if _, cut := p.reach(to.ID); cut != nil {
		return 0, nil, errCut
	}
	return index, answer, err
}

// ReadIndex implements raft.Peers.
func (p peers) ReadIndex(ctx context.Context, to raft.Server) (uint64, error) {
	n, err := p.reach(to.ID)
	if err != nil {
		return 0, err
	}
	p.mesh.mu.Lock()
	p.mesh.asked[to.ID]++
	p.mesh.mu.Unlock()
	if before, _ := p.hooks(); before != nil {
		before(p.from, to.ID)
	}
	index, err := n.ReadIndexHere(ctx)
	if _, cut := p.reach(to.ID); cut != nil {
		return 0, errCut
	}
	return index, err
}

// within is a context for what is expected to fail in this time.
func within(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	tb.Cleanup(cancel)
	return ctx
}

// A watched context tells when somebody begins to wait for it.
type watched struct {
	context.Context //nolint:containedctx // it is one
	waits           chan struct{}
	once            *sync.Once
}

func watch(ctx context.Context) watched {
	return watched{ctx, make(chan struct{}), new(sync.Once)}
}

// Done implements context.Context.
func (w watched) Done() <-chan struct{} {
	w.once.Do(func() { close(w.waits) })
	return w.Context.Done()
}
