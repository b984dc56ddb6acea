package raft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxBatch is how many entries raft appends, sends and applies at once.
	maxBatch = 64
	// replayBatch is how many are applied at once at start.
	replayBatch = 256
	// enqueueMax bounds how long a command waits to be taken by raft.
	enqueueMax = 10 * time.Second
	// roomEvery is how often a full log looks for room.
	roomEvery = 250 * time.Millisecond
)

// A Node takes part in the agreement. All methods are safe for concurrent use.
type Node struct {
	// Immutable after Start.
	cfg        Config
	sm         StateMachine
	lock       *os.File
	vote       *voteFile
	logs       *logStore
	agreed     *agreedFile
	machine    *machine
	gate       *gate
	leader     *leader
	transport  hraft.Transport
	confirming *confirming // the same; nil on a node alone
	raft       *hraft.Raft
	proposals  prometheus.Histogram
	replayed   uint64              // the last entry that was in the log at Start and reaches the state machine
	conf       hraft.Configuration // at Start, the last one in the log
	alone      bool                // conf names this node as the only voter
	here       *rounds             // questions to this node as the leader
	asked      *rounds             // questions of this node to the leader

	changed  chan struct{} // receives when the members changed
	handed   time.Time     // when this node gave up leadership because it is not suited; owned by tend
	changing sync.Mutex    // one change of members at a time; held until it is agreed

	closing   chan struct{} // closed by Close
	closeOnce sync.Once
	closeErr  error
	watching  sync.WaitGroup // the goroutine of watch
}

// troubleOr names the trouble there is, or if it has just passed, err.
func (n *Node) troubleOr(err error) error {
	if trouble := n.gate.err(); trouble != nil {
		return trouble
	}
	return err
}

// WaitLeader returns when commands can be agreed: this node leads and applied
// all there was before, or it follows another. It returns at once with ErrFull,
// ErrStopped or ErrClosed if that is what commands would meet.
func (n *Node) WaitLeader(ctx context.Context) error {
	for {
		trouble, err := n.gate.enter()
		if err != nil {
			return err
		}
		now, changed := n.leader.state()
		if now.Leading || now.Leader.ID != "" && now.Leader.ID != n.cfg.NodeID {
			return nil
		}
		select {
		case <-changed:
		case <-trouble:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrNoLeader, ctx.Err())
		}
	}
}

// Close takes a checkpoint, so that the next start has little to replay, and
// lets go of everything, the listener included. With other voters it hands
// leadership over first. Commands on their way get ErrClosed. The state machine
// stays open; it must be closed afterwards.
func (n *Node) Close() error {
	n.closeOnce.Do(func() { n.closeErr = n.close() })
	return n.closeErr
}

func (n *Node) close() error {
	n.gate.set(closed, ErrClosed)
	close(n.closing)
	if heir, ok := n.heir(); ok && n.raft.State() == hraft.Leader {
		_ = n.handTo(heir).Error() // they elect anyway, only later
	}
	err := n.raft.Shutdown().Error()
	n.watching.Wait()
	if cerr := n.machine.checkpoint(0, 0); cerr != nil && !errors.Is(cerr, ErrClosed) {
		// Nothing is lost: the log has it.
		n.cfg.Log.Warn("last checkpoint not taken, the next start replays more", "err", cerr)
	}
	return errors.Join(err, n.release())
}

// release closes what Start opened, in reverse. It also serves a Start that
// failed half-way.
func (n *Node) release() error {
	var errs []error
	if n.logs != nil {
		errs = append(errs, n.logs.close())
	}
	if n.agreed != nil {
		errs = append(errs, n.agreed.close())
	}
	if n.vote != nil {
		errs = append(errs, n.vote.close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	return errors.Join(errs...)
}
