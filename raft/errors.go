package raft

import (
	"errors"
	"fmt"
	"syscall"

	hraft "github.com/hashicorp/raft"
)

var (
	// ErrNoLeader says that nobody leads who can be asked: not this node, and it
	// knows or reaches no other. The command had no effect and will have none.
	ErrNoLeader = errors.New("raft: no leader")

	// ErrUnknownFate says that the command was on its way when the leader ceased
	// to lead, or to answer, or the context ended: it may have taken effect, may
	// still do, or never will.
	ErrUnknownFate = errors.New("raft: fate of the command unknown")

	// ErrNotSent is for implementations of Peers: the other node certainly never
	// got what was to be sent.
	ErrNotSent = errors.New("raft: not sent")

	// ErrFull says that the disk is full: of the log, or of the state machine.
	// A command that was refused because of it may still take effect when there
	// is room again, if it had reached the log. The node recovers by itself.
	ErrFull = errors.New("raft: disk full")

	// ErrStopped says that the state machine refused an entry and that nothing
	// is applied after it: the node serves reads, until it is started again and
	// tries once more. The cause is wrapped beside it.
	ErrStopped = errors.New("raft: state machine stopped")

	// ErrClosed says that the node is closed, or was while the command was on
	// its way. Nothing is known about the effect of the command.
	ErrClosed = errors.New("raft: node closed")

	// ErrNotMember says that a server is no member of the cluster.
	ErrNotMember = errors.New("raft: not a member")

	// ErrAddressInUse says that another member has this address. If that one came
	// back with an empty disk, the old member has to be removed first.
	ErrAddressInUse = errors.New("raft: address belongs to another member")

	// ErrQuorum says that a change of members is refused because those voters
	// that the leader hears of would be no majority any more.
	ErrQuorum = errors.New("raft: too few voters would be left")

	// ErrTooLarge says that a command exceeds Config.CommandMax.
	ErrTooLarge = errors.New("raft: command too large")

	// ErrInUse says that another process holds the directory.
	ErrInUse = errors.New("raft: directory in use by another process")

	// ErrDamaged says that the log or the vote is not as it was written, in a
	// part that was durable. Nothing is repaired: restore a backup, or remove
	// the node and let it join again.
	ErrDamaged = errors.New("raft: log damaged")

	// ErrMismatch says that the log and the state machine do not belong
	// together: one of them was removed, replaced or restored alone.
	ErrMismatch = errors.New("raft: log and state machine do not fit")
)

// translate turns what the guest answers to a command into ours. It says
// ErrNoLeader only of what never reached the log.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, hraft.ErrNotLeader),
		errors.Is(err, hraft.ErrLeadershipTransferInProgress),
		errors.Is(err, hraft.ErrEnqueueTimeout):
		return fmt.Errorf("%w: %w", ErrNoLeader, err)
	case errors.Is(err, hraft.ErrLeadershipLost),
		errors.Is(err, hraft.ErrAbortedByRestore):
		return fmt.Errorf("%w: %w", ErrUnknownFate, err)
	case errors.Is(err, hraft.ErrRaftShutdown):
		return ErrClosed
	case isNoSpace(err):
		return fmt.Errorf("%w: %w", ErrFull, err)
	default:
		return err
	}
}

// isNoSpace tells a full disk, or a used up quota, from other failures.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
