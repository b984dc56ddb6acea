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
	machine    *machine
	gate       *gate
	leader     *leader
	transport  hraft.Transport
	confirming *confirming // the same; nil on a node alone
	raft       *hraft.Raft
	proposals  prometheus.Histogram
	replayed   uint64 // the last entry that was in the log at Start and reaches the state machine

	closing   chan struct{} // closed by Close
	closeOnce sync.Once
	closeErr  error
	watching  sync.WaitGroup // the goroutine of watch
}

// Propose has a command agreed and applied, and returns what the state machine
// answered. The command is durable then, and every later Propose and ReadIndex
// on this node sees its effect. The caller must not change command any more.
//
// When it returns an error, nothing is known about the effect of the command,
// unless it is ErrTooLarge. ErrNoLeader, ErrFull, ErrStopped, ErrClosed, or the
// context's error; with a full disk it does not wait for the context.
func (n *Node) Propose(ctx context.Context, command []byte) ([]byte, error) {
	if len(command) > n.cfg.CommandMax {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(command), n.cfg.CommandMax)
	}
	defer since(n.proposals, time.Now())
	f, err := n.await(ctx, func(timeout time.Duration) hraft.Future {
		return n.raft.Apply(command, timeout)
	})
	if err != nil {
		return nil, fmt.Errorf("propose: %w", err)
	}
	switch answer := f.(hraft.ApplyFuture).Response().(type) {
	case []byte:
		return answer, nil
	case error: // the machine's, which stopped
		return nil, fmt.Errorf("propose: %w", n.troubleOr(answer))
	default:
		panic(fmt.Sprintf("raft: a command was answered with a %T", answer))
	}
}

// await starts something with raft and waits for it, for the context, or for
// trouble. The guest's futures cannot be waited for with anything else, hence
// the goroutine; it ends with the future.
func (n *Node) await(ctx context.Context, start func(time.Duration) hraft.Future) (hraft.Future, error) {
	trouble, err := n.gate.enter()
	if err != nil {
		return nil, err
	}
	timeout := enqueueMax
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	if err := ctx.Err(); err != nil || timeout <= 0 {
		return nil, errors.Join(err, context.DeadlineExceeded)
	}
	f := start(timeout)
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return f, translate(err)
	case <-trouble:
		return nil, n.troubleOr(ErrNoLeader)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
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
		ready, changed := n.leader.state()
		if ready {
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
	if n.raft.State() == hraft.Leader && len(n.raft.GetConfiguration().Configuration().Servers) > 1 {
		_ = n.raft.LeadershipTransfer().Error() // they elect anyway, only later
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
	if n.vote != nil {
		errs = append(errs, n.vote.close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	return errors.Join(errs...)
}
