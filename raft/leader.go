package raft

import (
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

// A leader is what this node knows about who leads.
type leader struct {
	mu      sync.Mutex // guards the rest
	id      string     // "" when nobody does
	ready   bool       // commands can be agreed
	changed chan struct{}
}

func newLeader() *leader { return &leader{changed: make(chan struct{})} }

func (l *leader) set(id string, ready bool) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.id == id && l.ready == ready {
		return false
	}
	l.id, l.ready = id, ready
	close(l.changed)
	l.changed = make(chan struct{})
	return true
}

func (l *leader) state() (ready bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready, l.changed
}

// watch follows who leads, and helps a node alone back to its feet after its
// disk was full. It is the node's only goroutine beside the guests', begins in
// Start and ends in Close.
func (n *Node) watch(changes <-chan hraft.Observation) {
	defer n.watching.Done()
	n.noteLeader() // what was known before anybody listened
	var again <-chan time.Time
	for {
		select {
		case <-changes:
			n.noteLeader()
		case <-n.logs.grown:
			go n.cutLog() // ends with raft, and must not hold up what is watched here
		case <-again:
			// Room again? Then there is no need to wait for an election. A campaign
			// that went wrong is repeated.
			if n.raft.State() != hraft.Leader && (!n.gate.has(logFull) || n.logs.recover() == nil) {
				n.campaign()
			}
		case <-n.closing:
			return
		}
		again = nil
		// A leader whose log is full is about to step down, which may not be seen yet.
		if n.raft.State() != hraft.Leader || n.gate.has(logFull) {
			again = time.After(roomEvery)
		}
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
	_, id := n.raft.LeaderWithID()
	if string(id) != n.cfg.NodeID {
		if n.leader.set(string(id), id != "") {
			n.cfg.Log.Info("leader changed", "leader", string(id))
		}
		return
	}
	n.leader.set(n.cfg.NodeID, false)
	done := make(chan error, 1)
	go func() { done <- n.raft.Barrier(0).Error() }() // ends with the barrier
	select {
	case err := <-done:
		if err == nil && n.leader.set(n.cfg.NodeID, true) {
			n.cfg.Log.Info("leading", "term", n.raft.CurrentTerm(), "index", n.raft.AppliedIndex())
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
