package raft

import (
	hraft "github.com/hashicorp/raft"
)

// A Status is a node at one moment.
type Status struct {
	NodeID       string
	Leader       string // node id; "" when nobody leads
	Leading      bool   // this node leads, and applied what there was before
	Term         uint64
	FirstIndex   uint64 // of the log; 0 when it is empty
	LastIndex    uint64
	CommitIndex  uint64
	AppliedIndex uint64 // of the last entry that reached the state machine
	DurableIndex uint64 // of the last checkpoint
	Voters       int
	Trouble      error // why commands are refused: ErrFull, ErrStopped, ErrClosed; nil when they are not
}

// Status tells how the node is.
func (n *Node) Status() Status {
	s := Status{
		NodeID:       n.cfg.NodeID,
		Term:         n.raft.CurrentTerm(),
		CommitIndex:  n.raft.CommitIndex(),
		AppliedIndex: n.machine.applied.index.Load(),
		Trouble:      n.gate.err(),
	}
	s.DurableIndex, _ = n.sm.Durable()
	s.FirstIndex, _ = n.logs.FirstIndex() // 0 once closed
	s.LastIndex, _ = n.logs.LastIndex()
	_, leader := n.raft.LeaderWithID()
	now, _ := n.leader.state()
	s.Leader, s.Leading = string(leader), now.Leading && string(leader) == n.cfg.NodeID
	for _, server := range n.raft.GetConfiguration().Configuration().Servers {
		if server.Suffrage == hraft.Voter {
			s.Voters++
		}
	}
	return s
}
