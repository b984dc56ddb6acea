package raft_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skerry.dev/skerry/raft"
)

// A roster says what a test wants of servers; the zone is the first letter.
type roster struct {
	mu     sync.Mutex
	traits map[string]raft.Traits
}

// Traits implements raft.Roster.
func (r *roster) Traits(id string) (raft.Traits, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.traits[id]
	t.Zone = id[:1]
	return t, true
}

func (r *roster) set(id string, t raft.Traits) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.traits[id] = t
}

// tended starts a cluster that gives its votes by itself: the first has one, the
// others are added.
func tended(tb testing.TB, ids ...string) (*roster, map[string]*member) {
	tb.Helper()
	mesh, r, members := newMesh(), &roster{traits: map[string]raft.Traits{}}, map[string]*member{}
	for i, id := range ids {
		if strings.HasPrefix(id, "w") {
			r.set(id, raft.Traits{Witness: true})
		}
		members[id] = mesh.member(tb, id, i > 0, func(c *raft.Config) {
			c.Roster = r
			c.Voters.Stable, c.Voters.Failed = 300*time.Millisecond, 800*time.Millisecond
			c.Witness = strings.HasPrefix(id, "w")
		})
		if i == 0 {
			if err := members[id].node.WaitLeader(soon(tb)); err != nil {
				tb.Fatal(err)
			}
		} else if err := members[ids[0]].node.AddNonvoter(soon(tb), members[id].server()); err != nil {
			tb.Fatal(err)
		}
	}
	return r, members
}

// voting waits until exactly these vote, as whoever leads says.
func voting(tb testing.TB, members map[string]*member, want ...string) {
	tb.Helper()
	var got []string
	defer func() {
		if tb.Failed() {
			tb.Logf("%v vote, want %v", got, want)
		}
	}()
	eventually(tb, "the right ones vote", func() bool {
		for _, m := range members {
			if !m.node.Status().Leading {
				continue
			}
			got = nil
			for _, o := range m.node.Members() {
				if o.Voter {
					got = append(got, o.ID)
				}
			}
			return slices.Equal(got, want)
		}
		return false
	})
}

// without is all but those named.
func without(members map[string]*member, ids ...string) map[string]*member {
	rest := map[string]*member{}
	for id, m := range members {
		if !slices.Contains(ids, id) {
			rest[id] = m
		}
	}
	return rest
}

func TestVotesGoRoundTheZones(t *testing.T) {
	_, members := tended(t, "a1", "a2", "b1", "c1")
	voting(t, members, "a1", "b1", "c1")
	propose(t, members["a2"].node, "from one without a vote")
}

func TestOfTwoNodesBothVoteUntilOneIsRemoved(t *testing.T) {
	r, members := tended(t, "a1", "b1")
	voting(t, members, "a1", "b1")
	r.set("b1", raft.Traits{Unfit: true})
	voting(t, members, "a1")
	if err := members["a1"].node.Remove(soon(t), "b1"); err != nil {
		t.Fatal(err)
	}
	closeNode(t, members["b1"].node)
	propose(t, members["a1"].node, "alone")
}

func TestFailedVoterIsReplaced(t *testing.T) {
	_, members := tended(t, "a1", "b1", "c1", "c2")
	voting(t, members, "a1", "b1", "c1")
	closeNode(t, members["c1"].node)
	rest := without(members, "c1")
	voting(t, rest, "a1", "b1", "c2")
	// Two are left of three voters, and of four servers.
	closeNode(t, members["a1"].node)
	propose(t, members["c2"].node, "goes on")
	members["c1"].restart(t)
	rest = without(members, "a1")
	voting(t, rest, "b1", "c1", "c2")
}

func TestLeaderThatIsUnfitHandsOver(t *testing.T) {
	r, members := tended(t, "a1", "b1", "c1", "a2")
	voting(t, members, "a1", "b1", "c1")
	r.set("a1", raft.Traits{Unfit: true}) // it leads: it founded the cluster
	voting(t, members, "a2", "b1", "c1")
	if members["a1"].node.Status().Leading {
		t.Error("it still leads")
	}
}

func TestWitnessVotesAndHandsLeadershipAway(t *testing.T) {
	_, members := tended(t, "a1", "b1", "w1")
	voting(t, members, "a1", "b1", "w1")
	eventually(t, "the witness is heard of", func() bool { return memberOf(members["a1"], members["w1"]).Reachable })
	if err := members["a1"].node.Transfer(soon(t), "w1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "somebody else leads", func() bool {
		return members["a1"].node.Status().Leading || members["b1"].node.Status().Leading
	})
	// It leads if it must, and lets the others take over when they are back.
	closeNode(t, members["a1"].node)
	proposeTo(t, []*member{members["b1"], members["w1"]}, "one and the witness")
}

func TestLeaderWithoutRoomHandsOver(t *testing.T) {
	_, members := tended(t, "a1", "b1", "c1")
	voting(t, members, "a1", "b1", "c1")
	lead := members["a1"]
	lead.ledger.setFail(errDiskFull)
	_, _ = lead.node.Propose(within(t, time.Second), []byte("a"))
	eventually(t, "others take commands", func() bool {
		_, err := members["b1"].node.Propose(within(t, time.Second), []byte("b"))
		return err == nil
	})
	lead.ledger.setFail(nil)
	eventually(t, "it catches up", func() bool { return lead.ledger.has("b") })
}
