package raft

import (
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

// Leadership says who leads, as far as this node knows.
type Leadership struct {
	Leader  Server    // zero when nobody does
	Leading bool      // this node does, and has applied all there was before: commands are welcome
	Since   time.Time // since when it is so
}

// A leader is what this node knows about who leads.
type leader struct {
	mu      sync.Mutex // guards the rest
	now     Leadership
	term    uint64 // in which this node became ready to lead
	changed chan struct{}
}

func newLeader() *leader {
	return &leader{now: Leadership{Since: time.Now()}, changed: make(chan struct{})}
}

// set notes who leads; with a term, that this node is ready to lead in it.
func (l *leader) set(id Server, term uint64) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term = term
	if l.now.Leader == id && l.now.Leading == (term > 0) {
		return false
	}
	l.now = Leadership{Leader: id, Leading: term > 0, Since: time.Now()}
	close(l.changed)
	l.changed = make(chan struct{})
	return true
}

func (l *leader) state() (now Leadership, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now, l.changed
}

// readyIn reports whether everything that former leaders agreed on was applied
// by this node as the leader of this term.
func (l *leader) readyIn(term uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term == term
}

// Leadership returns who leads, and a channel that is closed when that changes.
func (n *Node) Leadership() (now Leadership, changed <-chan struct{}) { return n.leader.state() }

// watch follows who leads, helps a node alone back to its feet after its disk
// was full, and has a leader look after its members. It and what it starts are
// the node's only goroutines beside the guests' that do not end by themselves;
// it begins in Start and ends in Close.
func (n *Node) watch(changes <-chan hraft.Observation, care func()) {
	defer n.watching.Done()
	n.noteLeader() // what was known before anybody listened
	var again, due <-chan time.Time
	cared := make(chan struct{}, 1)
	for caring := false; ; {
		if again = nil; n.mustStandUp() {
			again = time.After(roomEvery)
		}
		if due == nil && !caring && n.inCharge() {
			due = time.After(2 * n.cfg.Election)
		}
		select {
		case <-changes:
			n.noteLeader()
		case <-n.changed:
		case <-n.logs.grown:
			go n.cutLog() // ends with raft, and must not hold up what is watched here
		case <-again:
			n.standUp()
		case <-due:
			due, caring = nil, true
			n.watching.Go(func() { // ends with the node
				care()
				cared <- struct{}{}
			})
		case <-cared:
			caring = false
		case <-n.closing:
			return
		}
	}
}

// mustStandUp reports whether nobody else helps this node to go on. A leader whose
// log is full is about to step down, which may not be seen yet.
func (n *Node) mustStandUp() bool {
	if n.gate.has(logFull) {
		return true
	}
	return n.raft.State() != hraft.Leader && soleVoter(n.raft.GetConfiguration().Configuration(), n.cfg.NodeID)
}

// standUp: room again? Then there is no need to wait for an election. A campaign
// that went wrong is repeated.
func (n *Node) standUp() {
	if n.raft.State() != hraft.Leader && (!n.gate.has(logFull) || n.logs.recover() == nil) {
		n.campaign()
	}
}

// cutLog has raft take a checkpoint and cut its log. If it is too early, right
// after a configuration, the next one is not far.
func (n *Node) cutLog() {
	if err := n.raft.Snapshot().Error(); err != nil {
		n.cfg.Log.Debug("log not cut", "err", err)
	}
}

// noteLeader takes down who leads now. If it is this node, commands are
// welcome when it has applied everything that its predecessors agreed on.
func (n *Node) noteLeader() {
	address, id := n.raft.LeaderWithID()
	to := Server{ID: string(id), Address: string(address)}
	if to.ID == n.cfg.NodeID && n.raft.State() != hraft.Leader {
		to = Server{} // it has just stepped down
	}
	if to.ID != n.cfg.NodeID {
		if n.leader.set(to, 0) {
			n.cfg.Log.Info("leader changed", "leader", to.ID)
		}
		return
	}
	term := n.raft.CurrentTerm()
	if n.leader.readyIn(term) {
		return
	}
	n.leader.set(to, 0)
	done := make(chan error, 1)
	go func() { done <- n.raft.Barrier(0).Error() }() // ends with the barrier
	select {
	case err := <-done:
		// Only a barrier of this very term says so.
		if err == nil && n.raft.CurrentTerm() == term && n.leader.set(to, term) {
			n.cfg.Log.Info("leading", "term", term, "index", n.raft.AppliedIndex())
		}
	case <-n.closing:
	}
}

// campaign makes a node that is the only voter lead at once, instead of after
// the time others would need to be heard of: it tells itself what a leader that
// leaves tells its heir. If that goes wrong, the usual election comes.
func (n *Node) campaign() {
	if n.raft.State() == hraft.Leader || !soleVoter(n.raft.GetConfiguration().Configuration(), n.cfg.NodeID) {
		return
	}
	id, address := hraft.ServerID(n.cfg.NodeID), n.transport.LocalAddr()
	req := &hraft.TimeoutNowRequest{RPCHeader: hraft.RPCHeader{
		ProtocolVersion: hraft.ProtocolVersionMax,
		ID:              []byte(id),
		Addr:            n.transport.EncodePeer(id, address),
	}}
	if err := n.transport.TimeoutNow(id, address, req, &hraft.TimeoutNowResponse{}); err != nil {
		n.cfg.Log.Debug("own election delayed", "err", err)
	}
}
