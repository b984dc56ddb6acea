package appliance

import (
	"context"
	"errors"
	"fmt"

	"skerry.dev/skerry/meta"
	"skerry.dev/skerry/raft"
)

// stateMachine makes the metadata what the log applies to, and proposer the
// log what the metadata's commands go through. The two packages do not know
// each other; here they meet.
type stateMachine struct{ *meta.DB }

var _ raft.StateMachine = stateMachine{}

// Snapshot implements raft.StateMachine.
func (s stateMachine) Snapshot() (*raft.Snapshot, error) {
	snap, err := s.DB.Snapshot()
	if err != nil {
		return nil, err
	}
	return &raft.Snapshot{
		Index: snap.Index, Position: snap.Position, Size: snap.Size, WriterTo: snap, Closer: snap,
	}, nil
}

type proposer struct{ node *raft.Node }

var _ meta.Proposer = proposer{}

// Propose implements meta.Proposer, in the metadata's words for what went wrong.
func (p proposer) Propose(ctx context.Context, command []byte) ([]byte, error) {
	result, err := p.node.Propose(ctx, command)
	switch {
	case err == nil:
		return result, nil
	case errors.Is(err, raft.ErrTooLarge):
		return nil, err
	case errors.Is(err, raft.ErrNoLeader):
		return nil, fmt.Errorf("%w: %w", meta.ErrUnavailable, err)
	case errors.Is(err, raft.ErrFull):
		return nil, fmt.Errorf("%w: %w: %w", meta.ErrFull, meta.ErrUnsettled, err)
	case errors.Is(err, raft.ErrStopped), errors.Is(err, raft.ErrClosed),
		errors.Is(err, raft.ErrUnknownFate) && ctx.Err() == nil:
		return nil, fmt.Errorf("%w: %w: %w", meta.ErrUnavailable, meta.ErrUnsettled, err)
	}
	return nil, fmt.Errorf("%w: %w", meta.ErrUnsettled, err)
}
