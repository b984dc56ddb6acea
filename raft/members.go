package raft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	hraft "github.com/hashicorp/raft"
)

// A Member is a server of the cluster. What the leader knows of the others,
// nobody else does.
type Member struct {
	Server
	Voter  bool // its agreement counts; others follow
	Leader bool

	LastContact time.Time // when the leader, this node, sent what it answered last; else zero
	LastIndex   uint64    // of its log then; 0 if not known
	Reachable   bool      // that was just now; true of this node itself
}

// Members returns the servers of the newest configuration, sorted by ID.
func (n *Node) Members() []Member {
	conf := n.raft.GetConfiguration().Configuration()
	_, leader := n.raft.LeaderWithID()
	leading := n.raft.State() == hraft.Leader
	members := make([]Member, 0, len(conf.Servers))
	for _, s := range conf.Servers {
		m := Member{
			Server: Server{ID: string(s.ID), Address: string(s.Address)},
			Voter:  s.Suffrage == hraft.Voter,
			Leader: s.ID == leader,
		}
		if m.ID == n.cfg.NodeID {
			m.Reachable, m.LastIndex = true, n.raft.LastIndex()
		} else if h, recent := n.confirming.contact(m.ID); leading {
			m.LastContact, m.LastIndex, m.Reachable = h.sent, h.index, recent
		}
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return members
}

// AddNonvoter makes a server a member that follows and does not vote. One that
// is a member already keeps its vote; only its address is set. This and all
// other changes of members are for the leader: ErrNoLeader elsewhere. They are
// agreed when they return nil. ErrUnknownFate; ErrAddressInUse.
func (n *Node) AddNonvoter(ctx context.Context, s Server) error {
	return n.change(ctx, "add "+s.ID, func(now []Member) (start, error) {
		if i := indexOf(now, s.ID); i >= 0 && now[i].Address == s.Address {
			return nil, nil
		}
		return n.setAddress(now, s)
	})
}

// UpdateAddress says how a member is dialed from now on. ErrNotMember,
// ErrAddressInUse.
func (n *Node) UpdateAddress(ctx context.Context, s Server) error {
	return n.change(ctx, "update address of "+s.ID, func(now []Member) (start, error) {
		i := indexOf(now, s.ID)
		if i < 0 {
			return nil, ErrNotMember
		}
		if now[i].Address == s.Address {
			return nil, nil
		}
		return n.setAddress(now, s)
	})
}

// setAddress adds a server or changes its address. The guest leaves a vote alone.
func (n *Node) setAddress(now []Member, s Server) (start, error) {
	for _, m := range now {
		if m.Address == s.Address && m.ID != s.ID {
			return nil, fmt.Errorf("%w: %s of %s", ErrAddressInUse, s.Address, m.ID)
		}
	}
	return func(timeout time.Duration) hraft.Future {
		return n.raft.AddNonvoter(hraft.ServerID(s.ID), hraft.ServerAddress(s.Address), 0, timeout)
	}, nil
}

// Promote gives a member its vote. ErrNotMember; ErrQuorum if that would leave
// the cluster without a majority that is there.
func (n *Node) Promote(ctx context.Context, id string) error {
	return n.change(ctx, "promote "+id, func(now []Member) (start, error) {
		i := indexOf(now, id)
		if i < 0 {
			return nil, ErrNotMember
		}
		if now[i].Voter {
			return nil, nil
		}
		now[i].Voter = true
		if err := checkQuorum(now); err != nil {
			return nil, err
		}
		return func(timeout time.Duration) hraft.Future {
			return n.raft.AddVoter(hraft.ServerID(id), hraft.ServerAddress(now[i].Address), 0, timeout)
		}, nil
	})
}

// Demote takes a member's vote; it goes on to follow. The leader ceases to lead
// when it is agreed that it has no vote. ErrNotMember, ErrQuorum.
func (n *Node) Demote(ctx context.Context, id string) error {
	return n.change(ctx, "demote "+id, func(now []Member) (start, error) {
		i := indexOf(now, id)
		if i < 0 {
			return nil, ErrNotMember
		}
		if !now[i].Voter {
			return nil, nil
		}
		now[i].Voter = false
		if err := checkQuorum(now); err != nil {
			return nil, err
		}
		return func(timeout time.Duration) hraft.Future {
			return n.raft.DemoteVoter(hraft.ServerID(id), 0, timeout)
		}, nil
	})
}

// Remove makes a server a member no more; nil if it is none. A server that was
// removed must not come back with what its disk holds. ErrQuorum.
func (n *Node) Remove(ctx context.Context, id string) error {
	return n.change(ctx, "remove "+id, func(now []Member) (start, error) {
		i := indexOf(now, id)
		if i < 0 {
			return nil, nil
		}
		if err := checkQuorum(slices.Delete(now, i, i+1)); err != nil {
			return nil, err
		}
		return func(timeout time.Duration) hraft.Future {
			return n.raft.RemoveServer(hraft.ServerID(id), 0, timeout)
		}, nil
	})
}

// start begins a change of members; the time is how long it may take until the
// guest looks at it.
type start func(timeout time.Duration) hraft.Future

// change has one change of members agreed. plan looks at what there is, and
// returns nil if that is what is wanted.
func (n *Node) change(ctx context.Context, what string, plan func([]Member) (start, error)) error {
	ctx, cancel := context.WithTimeout(ctx, enqueueMax)
	defer cancel()
	n.changing.Lock()
	defer n.changing.Unlock()
	news, err := n.changeLocked(ctx, plan)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if !news {
		return nil
	}
	n.cfg.Log.InfoContext(ctx, "members changed", "change", what)
	select {
	case n.changed <- struct{}{}:
	default: // known already
	}
	return nil
}

func (n *Node) changeLocked(ctx context.Context, plan func([]Member) (start, error)) (news bool, err error) {
	trouble, err := n.gate.enter()
	if err != nil {
		return false, err
	}
	if n.raft.State() != hraft.Leader {
		return false, ErrNoLeader
	}
	begin, err := plan(n.Members())
	if err != nil || begin == nil {
		return false, err
	}
	_, err = await(ctx, trouble, begin)
	if errors.Is(err, errTrouble) {
		err = n.troubleOr(ErrUnknownFate)
	}
	return err == nil, err
}

// checkQuorum refuses members of which no majority of the voters is there.
func checkQuorum(members []Member) error {
	voters, there := 0, 0
	for _, m := range members {
		if m.Voter {
			voters++
			if m.Reachable {
				there++
			}
		}
	}
	if there <= voters/2 {
		return fmt.Errorf("%w: %d of %d can be reached", ErrQuorum, there, voters)
	}
	return nil
}

func indexOf(members []Member, id string) int {
	return slices.IndexFunc(members, func(m Member) bool { return m.ID == id })
}
