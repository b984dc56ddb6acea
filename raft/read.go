package raft

import (
	"context"
	"errors"
	"fmt"
	"time"

	hraft "github.com/hashicorp/raft"
)

// errTrouble: the gate was shut while somebody waited at a watermark.
var errTrouble = errors.New("raft: trouble")

// ReadIndex returns when a read of the local state machine sees every command
// that was acknowledged, by any node, before ReadIndex was called. On a node
// alone that costs nothing, except while the log is still being replayed after
// Start; it needs no room on the disk and works after the state machine
// stopped. ErrNoLeader on a node that does not lead; ErrClosed.
func (n *Node) ReadIndex(ctx context.Context) error {
	if n.cfg.Listener != nil {
		return n.confirm(ctx)
	}
	if n.machine.applied.index.Load() >= n.replayed {
		return nil
	}
	return n.waitApplied(ctx, n.replayed)
}

// confirm is ReadIndex with other voters: what is committed now, provided that
// this node still leads after it looked, which a majority must say.
func (n *Node) confirm(ctx context.Context) error {
	if ready, _ := n.leader.state(); !ready || n.raft.State() != hraft.Leader {
		return fmt.Errorf("read index: %w", ErrNoLeader)
	}
	term := n.raft.CurrentTerm()
	// The barrier of this term was applied (the leader is ready), so the commit
	// index is not behind what former leaders acknowledged.
	index, begin := min(n.raft.CommitIndex(), n.logs.command.Load()), time.Now()
	for confirmed := false; !confirmed; {
		// Each question also makes the guest send a heartbeat at once.
		_, err := n.await(ctx, func(time.Duration) hraft.Future { return n.raft.VerifyLeader() })
		if err != nil {
			return fmt.Errorf("read index: %w", err)
		}
		conf := n.raft.GetConfiguration().Configuration()
		confirmed = n.confirming.since(begin, term, n.cfg.NodeID, conf)
	}
	if n.raft.CurrentTerm() != term {
		return fmt.Errorf("read index: %w", ErrNoLeader)
	}
	return n.waitApplied(ctx, index)
}

// Probe returns nil when the node answers and has applied what was committed
// when it was asked, whoever leads. It writes nothing. A context's error means
// that an append or the state machine hangs; any other error is why commands
// are refused, told by a node that does not hang.
func (n *Node) Probe(ctx context.Context) error {
	// The goroutine that appends also answers this, in every role.
	_, err := n.await(ctx, func(time.Duration) hraft.Future { return n.raft.VerifyLeader() })
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return n.waitApplied(ctx, min(n.raft.CommitIndex(), n.logs.command.Load()))
}

func (n *Node) waitApplied(ctx context.Context, index uint64) error {
	err := n.machine.applied.wait(ctx, index, n.closing)
	if errors.Is(err, errTrouble) {
		err = ErrClosed
	}
	if err != nil {
		return fmt.Errorf("read index: %w", err)
	}
	return nil
}
