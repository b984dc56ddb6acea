package raft

import (
	"context"
	"errors"
	"fmt"
	"time"

	hraft "github.com/hashicorp/raft"
)

// errTrouble: the gate was shut while somebody waited.
var errTrouble = errors.New("raft: trouble")

// reachedEvery is how often the commit index is looked at by a reader that waits
// for entries which are no commands: nothing tells of them.
const reachedEvery = 10 * time.Millisecond

// roundMax bounds one question for a read index. Those who wait for it ask again.
const roundMax = 2 * time.Second

// ReadIndex returns when a read of the local state machine sees every command
// that was acknowledged, by any node, before ReadIndex was called. On a node
// alone that costs nothing, except while the log is still being replayed after
// Start; it needs no room on the disk and works after the state machine
// stopped. With other voters a majority is asked, by the node that leads; all
// readers that wait share a question. It goes on until the context ends, and is
// ErrNoLeader then, if nobody who leads answered; ErrClosed.
func (n *Node) ReadIndex(ctx context.Context) error {
	if n.cfg.Listener == nil || n.alone && !n.logs.shared.Load() {
		if n.machine.applied.index.Load() >= n.replayed {
			return nil
		}
		return n.waitApplied(ctx, n.replayed)
	}
	for {
		_, changed := n.leader.state()
		index, err := n.readIndexOnce(ctx)
		if err == nil {
			return n.waitReached(ctx, index)
		}
		if n.gate.has(closed) {
			return fmt.Errorf("read index: %w", ErrClosed)
		}
		if n.onlyFollows() && n.raft.State() != hraft.Leader {
			return fmt.Errorf("read index: %w: %w", ErrNoLeader, err)
		}
		select {
		case <-changed:
		case <-time.After(retryEvery):
		case <-n.closing:
		case <-ctx.Done():
			return fmt.Errorf("read index: %w: %w: %w", ErrNoLeader, ctx.Err(), err)
		}
	}
}

func (n *Node) readIndexOnce(ctx context.Context) (uint64, error) {
	if n.raft.State() == hraft.Leader {
		return n.here.wait(ctx)
	}
	return n.asked.wait(ctx)
}

// ReadIndexHere is for the question of another node: the index that its state
// machine must have reached. Only if this node leads, and a majority says so
// after it was asked; else ErrNoLeader.
func (n *Node) ReadIndexHere(ctx context.Context) (uint64, error) {
	index, err := n.here.wait(ctx)
	if err != nil {
		return 0, fmt.Errorf("read index here: %w", err)
	}
	return index, nil
}

// ask puts the question to the node that leads.
func (n *Node) ask() (uint64, error) {
	to, err := n.follows()
	if err != nil {
		return 0, err
	}
	// The question is nobody's: who waits for it may leave.
	ctx, cancel := context.WithTimeout(life(n.closing), roundMax)
	defer cancel()
	ctx, stop := n.whileLeads(ctx, to.ID, 0)
	defer stop()
	return n.cfg.Peers.ReadIndex(ctx, to)
}

// confirm answers the question, if this node leads: what is committed now,
// provided that this node still leads after it looked, which a majority must say.
func (n *Node) confirm() (uint64, error) {
	ctx, cancel := context.WithTimeout(life(n.closing), roundMax)
	defer cancel()
	term := n.raft.CurrentTerm()
	if n.raft.State() != hraft.Leader || !n.leader.readyIn(term) {
		return 0, ErrNoLeader
	}
	// The barrier of this term was applied, so the commit index is not behind
	// what former leaders acknowledged.
	index, begin := n.committed(), time.Now()
	for confirmed := false; !confirmed; {
		// Each question also makes the guest send a heartbeat at once.
		_, err := await(ctx, nil, func(time.Duration) hraft.Future { return n.raft.VerifyLeader() })
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrNoLeader, err)
		}
		conf := n.raft.GetConfiguration().Configuration()
		confirmed = n.confirming == nil || n.confirming.since(begin, term, n.cfg.NodeID, conf)
	}
	if n.raft.CurrentTerm() != term {
		return 0, ErrNoLeader
	}
	return index, nil
}

// Probe returns nil when the node answers and has applied what was committed
// when it was asked, whoever leads. It writes nothing. A context's error means
// that an append or the state machine hangs; any other error is why commands
// are refused, told by a node that does not hang.
func (n *Node) Probe(ctx context.Context) error {
	trouble, err := n.gate.enter()
	if err == nil {
		// The goroutine that appends also answers this, in every role.
		_, err = await(ctx, trouble, func(time.Duration) hraft.Future { return n.raft.VerifyLeader() })
	}
	if errors.Is(err, errTrouble) {
		err = n.gate.err()
	}
	if err != nil && !errors.Is(err, ErrNoLeader) { // that is an answer, too
		return fmt.Errorf("probe: %w", err)
	}
	return n.waitReached(ctx, n.committed())
}

// committed is an index up to which everything is agreed, the one of the last
// entry that reaches the state machine if it can be told.
func (n *Node) committed() uint64 {
	index := n.raft.CommitIndex()
	if last := n.logs.command.Load(); last > 0 {
		return min(index, last)
	}
	return index // what went before is in the checkpoint, or is no command
}

// waitReached returns when everything up to index took effect here.
func (n *Node) waitReached(ctx context.Context, index uint64) error {
	for risen := n.machine.applied.rising(); !n.reached(index); risen = n.machine.applied.rising() {
		select {
		case <-risen:
		case <-time.After(reachedEvery):
		case <-n.closing:
			return fmt.Errorf("read index: %w", ErrClosed)
		case <-ctx.Done():
			return fmt.Errorf("read index: %w", ctx.Err())
		}
	}
	return nil
}

// reached reports whether every entry up to index that reaches the state machine
// did so. Others move the commit index on without any Apply.
func (n *Node) reached(index uint64) bool {
	applied := n.machine.applied.index.Load()
	return applied >= index || n.raft.CommitIndex() >= index && applied >= min(index, n.logs.command.Load())
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
