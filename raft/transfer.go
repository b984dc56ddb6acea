package raft

import (
	"context"
	"fmt"

	hraft "github.com/hashicorp/raft"
)

// Transfer hands leadership to another voter, or with an empty id to the one that
// is best suited. It returns nil when this node does not lead any more, or when
// id is this node. Commands are refused with ErrNoLeader meanwhile, which those
// who propose do not notice: Propose tries again. ErrNoLeader if this node does
// not lead, or nobody can take over; ErrNotMember if id has no vote.
func (n *Node) Transfer(ctx context.Context, id string) error {
	if n.raft.State() != hraft.Leader {
		return fmt.Errorf("transfer leadership: %w", ErrNoLeader)
	}
	if id == n.cfg.NodeID {
		return nil
	}
	to, ok := n.heir()
	if id != "" {
		members := n.Members()
		i := indexOf(members, id)
		if i < 0 || !members[i].Voter {
			return fmt.Errorf("transfer leadership to %s: %w with a vote", id, ErrNotMember)
		}
		to, ok = members[i], members[i].Reachable
	}
	if !ok {
		return fmt.Errorf("transfer leadership: %w: nobody who votes can be reached", ErrNoLeader)
	}
	n.cfg.Log.InfoContext(ctx, "handing over leadership", "to", to.ID)
	done := make(chan error, 1)
	go func() { done <- n.handTo(to).Error() }() // ends after an election timeout
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("transfer leadership to %s: %w", to.ID, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("transfer leadership to %s: %w", to.ID, ctx.Err())
	}
}

func (n *Node) handTo(m Member) hraft.Future {
	return n.raft.LeadershipTransferToServer(hraft.ServerID(m.ID), hraft.ServerAddress(m.Address))
}

// heir is the voter that should lead after this node: one that is there, no
// witness, not unfit, with the longest log.
func (n *Node) heir() (best Member, found bool) {
	better := func(a, b Member) bool {
		if wa, wb := n.traits(a.ID).Witness, n.traits(b.ID).Witness; wa != wb {
			return wb
		}
		return a.LastIndex > b.LastIndex
	}
	for _, m := range n.Members() {
		if !m.Voter || !m.Reachable || m.ID == n.cfg.NodeID || n.traits(m.ID).Unfit {
			continue
		}
		if !found || better(m, best) {
			best, found = m, true
		}
	}
	return best, found
}
