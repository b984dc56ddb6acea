package raft

import (
	"context"
	"errors"
	"fmt"
	"time"

	hraft "github.com/hashicorp/raft"
)

// retryEvery is how long what found no leader waits, if nothing changes, before
// it tries again: a leader that was about to hand over may have stayed.
const retryEvery = 50 * time.Millisecond

// Propose has a command agreed and applied, by the node that leads, and returns
// what the state machine answered. The command is durable then, and applied
// here, too: reads of this node see its effect, and so does every ReadIndex on
// any node that begins afterwards. The caller must not change command any more.
//
// Nobody leads: it waits for Config.LeaderWait at most. Errors that say that the
// command has no effect: ErrNoLeader, ErrTooLarge, and the context's, if that
// had ended before. All others leave that open: ErrUnknownFate, ErrFull,
// ErrStopped, ErrClosed. With a full disk it does not wait for the context.
func (n *Node) Propose(ctx context.Context, command []byte) ([]byte, error) {
	if err := n.checkSize(command); err != nil {
		return nil, err
	}
	defer since(n.proposals, time.Now())
	answer, err := n.propose(ctx, command)
	if err != nil {
		return nil, fmt.Errorf("propose: %w", err)
	}
	return answer, nil
}

// ProposeHere is Propose for a command that another node forwards: only if this
// node leads. It returns also the index at which the command took effect.
// ErrNoLeader means that it had no effect and may be sent to another node.
func (n *Node) ProposeHere(ctx context.Context, command []byte) (index uint64, answer []byte, err error) {
	if err := n.checkSize(command); err != nil {
		return 0, nil, err
	}
	if n.gate.has(closed) || n.raft.State() != hraft.Leader {
		return 0, nil, fmt.Errorf("propose here: %w", ErrNoLeader)
	}
	defer since(n.proposals, time.Now())
	index, answer, err = n.agree(ctx, command)
	if errors.Is(err, ErrClosed) { // this node's end is not the caller's
		err = fmt.Errorf("%w: the leader was closed", ErrUnknownFate)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("propose here: %w", err)
	}
	return index, answer, nil
}

func (n *Node) checkSize(command []byte) error {
	if len(command) > n.cfg.CommandMax {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(command), n.cfg.CommandMax)
	}
	return nil
}

// propose goes on until somebody took the command, or nobody does in time. Only
// what certainly had no effect is tried again.
func (n *Node) propose(ctx context.Context, command []byte) ([]byte, error) {
	var patience <-chan time.Time
	for {
		_, changed := n.leader.state()
		answer, err := n.proposeOnce(ctx, command)
		if !errors.Is(err, ErrNoLeader) {
			return answer, err
		}
		if n.onlyFollows() {
			return nil, err
		}
		if patience == nil {
			patience = time.After(n.cfg.LeaderWait)
		}
		trouble, terr := n.gate.enter()
		if terr != nil {
			return nil, terr
		}
		select {
		case <-changed:
		case <-time.After(retryEvery):
		case <-trouble:
		case <-patience:
			return nil, err
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrNoLeader, ctx.Err())
		}
	}
}

// onlyFollows: whoever leads, this node has no way to ask.
func (n *Node) onlyFollows() bool { return n.cfg.Peers == nil && n.cfg.Listener != nil }

// proposeOnce gives the command to the node that leads.
func (n *Node) proposeOnce(ctx context.Context, command []byte) ([]byte, error) {
	if n.raft.State() == hraft.Leader {
		_, answer, err := n.agree(ctx, command)
		return answer, err
	}
	trouble, err := n.gate.enter()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	to, err := n.follows()
	if err != nil {
		return nil, err
	}
	index, answer, err := n.forward(ctx, to, command)
	if err != nil {
		return nil, err
	}
	// Reads of this node must see it. Its log does not go on in trouble.
	switch err := n.machine.applied.wait(ctx, index, trouble); {
	case errors.Is(err, errTrouble):
		return nil, n.troubleOr(ErrUnknownFate)
	case err != nil:
		return nil, fmt.Errorf("%w: agreed on, not yet seen here: %w", ErrUnknownFate, err)
	}
	return answer, nil
}

// follows returns the other node that leads.
func (n *Node) follows() (Server, error) {
	address, id := n.raft.LeaderWithID()
	if id == "" || string(id) == n.cfg.NodeID || n.cfg.Peers == nil {
		return Server{}, ErrNoLeader
	}
	return Server{ID: string(id), Address: string(address)}, nil
}

// forward sends a command to the leader, and gives up some time after that one
// ceased to be it: without a network, no answer may ever come.
func (n *Node) forward(ctx context.Context, to Server, command []byte) (uint64, []byte, error) {
	ctx, stop := n.whileLeads(ctx, to.ID, n.cfg.Election)
	defer stop()
	index, answer, err := n.cfg.Peers.Propose(ctx, to, command)
	switch {
	case err == nil:
		return index, answer, nil
	case errors.Is(err, ErrUnknownFate):
	case errors.Is(err, ErrNoLeader), errors.Is(err, ErrTooLarge), errors.Is(err, ErrFull), errors.Is(err, ErrStopped):
	case errors.Is(err, ErrNotSent):
		err = fmt.Errorf("%w: %w", ErrNoLeader, err)
	default:
		err = fmt.Errorf("%w: %w", ErrUnknownFate, err)
	}
	return 0, nil, fmt.Errorf("ask leader %s: %w", to.ID, err)
}

// whileLeads returns a context that ends when id has not led for some time, as
// far as this node knows.
func (n *Node) whileLeads(ctx context.Context, id string, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() { // ends with ctx
		defer cancel()
		for late := (<-chan time.Time)(nil); ; {
			now, changed := n.leader.state()
			if now.Leader.ID == id {
				late = nil
			} else if late == nil {
				late = time.After(grace)
			}
			select {
			case <-changed:
			case <-late:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
}

// agree has the guest agree on a command, if this node leads.
func (n *Node) agree(ctx context.Context, command []byte) (uint64, []byte, error) {
	trouble, err := n.gate.enter()
	if err != nil {
		return 0, nil, err
	}
	future, err := await(ctx, trouble, func(timeout time.Duration) hraft.Future {
		return n.raft.Apply(command, timeout)
	})
	if errors.Is(err, errTrouble) {
		err = n.troubleOr(ErrUnknownFate)
	}
	if err != nil {
		return 0, nil, err
	}
	f, ok := future.(hraft.ApplyFuture)
	if !ok {
		panic(fmt.Sprintf("raft: a command has a %T", future))
	}
	switch answer := f.Response().(type) {
	case []byte:
		return f.Index(), answer, nil
	case error: // the machine's, which stopped
		return 0, nil, n.troubleOr(answer)
	default:
		panic(fmt.Sprintf("raft: a command was answered with a %T", answer))
	}
}

// await starts something with raft and waits for it, for the context, or for
// trouble, which is errTrouble. The guest's futures cannot be waited for with
// anything else, hence the goroutine; it ends with the future.
func await(ctx context.Context, trouble <-chan struct{}, start func(time.Duration) hraft.Future) (hraft.Future, error) {
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
		return nil, errTrouble
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnknownFate, ctx.Err())
	}
}
