package raft

import (
	"cmp"
	"slices"
	"time"
)

// A Roster is what the state machine knows of the servers.
type Roster interface {
	// Traits of the server with this id; not known is who has not registered yet,
	// and gets no vote. It is asked often and must not block.
	Traits(id string) (t Traits, known bool)
}

// Traits of a server.
type Traits struct {
	Zone    string // votes are spread over zones
	Witness bool   // votes, but leads only if nobody else can
	Unfit   bool   // must neither vote nor lead: it is leaving, or ill
}

// VoterRules say who votes. A majority of the voters must be there for anything
// to be agreed on, so an even number is no better than one less; two voters are
// no better than one, but keep what one of them loses. Of two nodes, both vote;
// of four, three. Votes go round the zones; who votes already is preferred, and
// nobody loses a vote because of a failure unless another can have it, or fewer
// voters survive more.
type VoterRules struct {
	Max    int           // how many vote at most, odd; 0 means 5
	Stable time.Duration // how long a server was in contact before it votes; 0 means 10 s
	Failed time.Duration // how long a voter is away before another takes its place; 0 means 30 s
}

// lagMax is by how many entries the log of a server may be shorter than the
// leader's if it is to vote.
const lagMax = 4096

// A candidate is a member as the rules see it.
type candidate struct {
	Member
	Traits
	known  bool
	stable bool // in contact for long enough, and its log is nearly complete
	failed bool // away for so long that another may have its vote
}

// ready candidates may be given a vote, or keep it.
func (c candidate) ready() bool {
	if c.Unfit {
		return false
	}
	return c.Voter && !c.failed || c.known && c.stable
}

// rank orders those who might vote for one zone: the fewest changes first.
func (c candidate) rank() int {
	switch {
	case c.Leader:
		return 0
	case c.Voter:
		return 1
	case !c.Witness:
		return 2
	}
	return 3
}

// A step is the next change of votes: one id, or none.
type step struct{ promote, demote string }

// plan compares who should vote with who does. The leader keeps its vote: if it
// should not, it hands over leadership first.
func plan(all []candidate, most int) step {
	wanted := wantedVoters(all, most)
	var s step
	voters, there, loss := 0, 0, 0 // loss: of those there, by the demotion
	for _, c := range all {
		if c.Voter {
			voters++
		}
		if c.Voter && !c.failed {
			there++
		}
		switch {
		case c.Voter == wanted[c.ID] || c.Leader:
		case !c.Voter && s.promote == "":
			s.promote = c.ID
		case c.Voter && (s.demote == "" || c.failed):
			s.demote, loss = c.ID, 1
			if c.failed {
				loss = 0
			}
		}
	}
	// More first, then less: so there are never fewer than before and after. But
	// never more than allowed.
	if s.promote != "" && voters < most {
		return step{promote: s.promote}
	}
	if there-loss <= (voters-1)/2 {
		return step{} // who leaves has to wait for those who are away
	}
	return step{demote: s.demote}
}

// wantedVoters are those who should vote.
func wantedVoters(all []candidate, most int) map[string]bool {
	var ready, failed []candidate
	for _, c := range all {
		if c.ready() {
			ready = append(ready, c)
		} else if c.Voter && !c.Unfit {
			failed = append(failed, c)
		}
	}
	wanted := map[string]bool{}
	if len(ready) == 0 { // nobody better: it stays as it is
		for _, c := range all {
			wanted[c.ID] = c.Voter
		}
		return wanted
	}
	size := voterCount(len(ready), len(failed), most)
	for _, c := range slices.Concat(roundRobin(ready, size), failed) {
		if len(wanted) < size {
			wanted[c.ID] = true
		}
	}
	return wanted
}

// voterCount is how many should vote, if so many could and so many more do but
// are away. Those away keep their vote where taking it would not help.
func voterCount(ready, failed, most int) int {
	switch {
	case ready == 1:
		return 1 + failed // nothing can be agreed on, or there is nobody else
	case ready%2 == 0 && failed > 0 && ready < most:
		return ready + 1
	case ready == 2:
		return 2
	case ready%2 == 0:
		return min(ready-1, most)
	}
	return min(ready, most)
}

// roundRobin takes the best of each zone, then the second of each, and so on.
func roundRobin(from []candidate, size int) []candidate {
	zones := map[string][]candidate{}
	for _, c := range from {
		zones[c.Zone] = append(zones[c.Zone], c)
	}
	order := func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.ID, b.ID))
	}
	for _, members := range zones {
		slices.SortFunc(members, order)
	}
	var chosen []candidate
	for nth := 0; len(chosen) < min(size, len(from)); nth++ {
		var round []candidate
		for _, members := range zones {
			if nth < len(members) {
				round = append(round, members[nth])
			}
		}
		slices.SortFunc(round, order)
		chosen = append(chosen, round...)
	}
	return chosen[:min(size, len(from))]
}
