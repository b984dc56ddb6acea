package raft

import (
	"context"
	"errors"
	"time"

	hraft "github.com/hashicorp/raft"
)

// handAgain is how long a leader that is not suited waits before it hands over
// leadership once more: the others may be no better.
const handAgain = time.Minute

// inCharge reports whether this node leads and has something to look after.
func (n *Node) inCharge() bool {
	if n.cfg.Listener == nil || n.raft.State() != hraft.Leader {
		return false
	}
	servers := n.raft.GetConfiguration().Configuration().Servers
	return len(servers) > 1 || len(servers) == 1 && string(servers[0].Address) != n.cfg.Address
}

// tend makes one step to what the members should be.
func (n *Node) tend() {
	ctx := life(n.closing)
	now, _ := n.leader.state()
	if !now.Leading {
		return
	}
	if err := n.tendOnce(ctx, n.Members()); err != nil && ctx.Err() == nil && !errors.Is(err, ErrNoLeader) {
		n.cfg.Log.WarnContext(ctx, "members not looked after, trying again", "err", err)
	}
}

func (n *Node) tendOnce(ctx context.Context, members []Member) error {
	self := Server{ID: n.cfg.NodeID, Address: n.cfg.Address}
	if i := indexOf(members, self.ID); i >= 0 && members[i].Address != self.Address {
		return n.UpdateAddress(ctx, self)
	}
	if n.unsuited() {
		if handed, err := n.handAway(ctx); handed || err != nil {
			return err
		}
	}
	if n.cfg.Roster == nil || n.gate.err() != nil {
		return nil
	}
	switch s := plan(n.candidates(members), n.cfg.Voters.Max); {
	case s.promote != "":
		return n.Promote(ctx, s.promote)
	case s.demote != "":
		return n.Demote(ctx, s.demote)
	}
	return nil
}

// unsuited: others should lead, if there are any. What this node cannot write,
// they may.
func (n *Node) unsuited() bool {
	t := n.traits(n.cfg.NodeID)
	return n.cfg.Witness || t.Witness || t.Unfit || n.gate.err() != nil
}

// handAway gives up leadership, if somebody better is there.
func (n *Node) handAway(ctx context.Context) (handed bool, err error) {
	heir, ok := n.heir()
	if !ok || n.traits(heir.ID).Witness || time.Since(n.handed) < handAgain {
		return false, nil
	}
	n.handed = time.Now()
	return true, n.Transfer(ctx, heir.ID)
}

// candidates are the members with what the rules want to know of them.
func (n *Node) candidates(members []Member) []candidate {
	all := make([]candidate, 0, len(members))
	last := n.raft.LastIndex()
	for _, m := range members {
		c := candidate{Member: m, stable: m.ID == n.cfg.NodeID}
		if n.cfg.Roster != nil {
			c.Traits, c.known = n.cfg.Roster.Traits(m.ID)
		}
		if !c.stable {
			h, recent := n.confirming.contact(m.ID)
			now, _ := n.leader.state()
			c.stable = recent && h.index+lagMax >= last && time.Since(h.first) >= n.cfg.Voters.Stable
			// Before it led, this node did not look.
			c.failed = time.Since(later(h.sent, now.Since)) > n.cfg.Voters.Failed
		}
		all = append(all, c)
	}
	return all
}

// traits is what the roster says, or nothing.
func (n *Node) traits(id string) Traits {
	if n.cfg.Roster == nil {
		return Traits{}
	}
	t, _ := n.cfg.Roster.Traits(id)
	return t
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
