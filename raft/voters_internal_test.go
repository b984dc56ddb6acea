package raft

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// parse reads candidates as "a1:VL b1:- …": zone and number, then V(oter),
// L(eader), F(ailed), U(nfit), W(itness), N(ew: not stable), - for a stable
// server without a vote.
func parse(text string) (all []candidate) {
	for _, word := range strings.Fields(text) {
		id, marks, _ := strings.Cut(word, ":")
		has := func(m string) bool { return strings.Contains(marks, m) }
		all = append(all, candidate{
			Member: Member{Server: Server{ID: id}, Voter: has("V"), Leader: has("L")},
			Traits: Traits{Zone: id[:1], Unfit: has("U"), Witness: has("W")},
			known:  true, stable: !has("F") && !has("N"), failed: has("F"),
		})
	}
	return all
}

// settle takes steps until there is none, and returns them with who votes then.
func settle(tb testing.TB, all []candidate, most int) (steps []string, voters string) {
	tb.Helper()
	for range 20 {
		s := plan(all, most)
		if s == (step{}) {
			var ids []string
			for _, c := range all {
				if c.Voter {
					ids = append(ids, c.ID)
				}
			}
			slices.Sort(ids)
			return steps, strings.Join(ids, " ")
		}
		steps = append(steps, strings.Trim("+"+s.promote+" -"+s.demote, "+- "))
		for i, c := range all {
			if c.ID == s.promote || c.ID == s.demote {
				all[i].Voter = !c.Voter
			}
		}
	}
	tb.Fatalf("no end of steps: %v", steps)
	return nil, ""
}

func TestVotesAreOddAndSpread(t *testing.T) {
	for _, c := range []struct {
		name, members string
		most          int
		want          string
	}{
		{"alone", "a1:VL", 5, "a1"},
		{"of two, both", "a1:VL b1:-", 5, "a1 b1"},
		{"of three, all", "a1:VL b1:- c1:-", 5, "a1 b1 c1"},
		{"of four, three", "a1:VL a2:- b1:- c1:-", 5, "a1 b1 c1"},
		{"of five, all", "a1:VL a2:- b1:- b2:- c1:-", 5, "a1 a2 b1 b2 c1"},
		{"of seven in three zones, five", "a1:VL a2:- a3:- a4:- b1:- b2:- c1:-", 5, "a1 a2 b1 b2 c1"},
		{"at most three", "a1:VL a2:- b1:- b2:- c1:-", 3, "a1 b1 c1"},
		{"no zones", "x1:VL x2:- x3:- x4:-", 5, "x1 x2 x3"},
		{"who votes stays", "a1:VL a2:- b1:- b2:V c1:- c2:V", 3, "a1 b2 c2"},
		{"a new zone gets a vote", "a1:VL a2:V b1:V c1:-", 3, "a1 b1 c1"},
		{"not yet stable", "a1:VL b1:N", 5, "a1"},
		{"a failure alone takes no vote", "a1:VL b1:VF c1:V", 5, "a1 b1 c1"},
		{"one of five away", "a1:VL a2:V b1:V b2:V c1:VF", 5, "a1 a2 b1 b2 c1"},
		{"two of five away: three survive more", "a1:VL a2:V b1:V b2:VF c1:VF", 5, "a1 a2 b1"},
		{"replaced from the same zone", "a1:VL a2:- b1:VF b2:- c1:V", 3, "a1 b2 c1"},
		{"replaced from another zone", "a1:VL a2:- b1:VF c1:V", 5, "a1 a2 c1"},
		{"who leaves votes no more", "a1:VL b1:VU c1:V d1:-", 5, "a1 c1 d1"},
		{"the leader keeps its vote", "a1:VLU b1:V c1:V d1:-", 5, "a1 b1 c1 d1"},
		{"a witness makes the third", "a1:VL b1:- w1:W", 5, "a1 b1 w1"},
		{"a full node before a witness", "a1:VL b1:- c1:- d1:W", 5, "a1 b1 c1"},
		{"all are unfit", "a1:VLU b1:VU", 5, "a1 b1"},
	} {
		steps, got := settle(t, parse(c.members), c.most)
		if got != c.want {
			t.Errorf("%s: %s become %q by %v, want %q", c.name, c.members, got, steps, c.want)
		}
	}
}

// TestStepsEndAndKeepAMajority tries clusters at random.
func TestStepsEndAndKeepAMajority(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		var words []string
		for i := range 1 + random.IntN(8) {
			marks := []string{"-", "-", "V", "V", "VF", "VU", "N", "W"}[random.IntN(8)]
			if i == 0 {
				marks = "VL"
			}
			words = append(words, fmt.Sprintf("%c%d:%s", 'a'+rune(random.IntN(3)), i, marks))
		}
		text := strings.Join(words, " ")
		all := parse(text)
		voters, there := count(all)
		if there <= voters/2 || voters > 5 {
			continue // nobody could lead, or more than are allowed
		}
		spare := there - voters/2 - 1
		_, end := settle(t, all, 5)
		voters, there = count(all)
		if there <= voters/2 || voters > 5 || voters%2 == 0 && voters != 2 && !strings.Contains(text, "VU") {
			t.Errorf("%s become %s", text, end)
		}
		if got := there - voters/2 - 1; got < spare && !strings.Contains(text, "U") {
			t.Errorf("%s become %s, which survive %d failures, before %d", text, end, got, spare)
		}
	}
}

// count tells how many vote, and how many of them are there.
func count(all []candidate) (voters, there int) {
	for _, c := range all {
		if c.Voter {
			voters++
			if !c.failed {
				there++
			}
		}
	}
	return voters, there
}
