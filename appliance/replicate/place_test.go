package replicate_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/replicate"
	"skerry.dev/skerry/meta"
)

func spreadPolicy(copies int) replicate.Policy {
	p := replicate.DefaultPolicy()
	p.Copies = copies
	return p
}

// places makes n nodes, the i-th in zone i modulo zones.
func places(n, zones int) []replicate.Place {
	all := make([]replicate.Place, n)
	for i := range all {
		all[i] = replicate.Place{
			ID: meta.NodeID(i + 1), Host: fmt.Sprintf("n%d", i+1), Zone: fmt.Sprintf("z%d", i%zones), Capacity: 1 << 40,
		}
	}
	return all
}

func digests(n int) []digest.Digest {
	all := make([]digest.Digest, n)
	for i := range all {
		all[i] = digest.FromString(fmt.Sprint(i))
	}
	return all
}

// randomPlaces makes a cluster of any shape: zones and hosts shared, disks of all sizes.
func randomPlaces(r *rand.Rand) []replicate.Place {
	all := places(1+r.IntN(9), 1+r.IntN(4))
	for i := range all {
		all[i].Zone = fmt.Sprintf("z%d", r.IntN(4))
		all[i].Capacity = int64(r.IntN(5)) << 40 // 0: not known
		if r.IntN(8) == 0 {
			all[i].Host = all[r.IntN(len(all))].Host
		}
	}
	return all
}

func zonesOf(all []replicate.Place, chosen []meta.NodeID) int {
	zones := map[string]bool{}
	for _, p := range all {
		if slices.Contains(chosen, p.ID) {
			zones[p.Zone] = true
		}
	}
	return len(zones)
}

func TestWantedIsAsManyHostsInAsManyZonesAsThereAre(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 5000 {
		all, policy := randomPlaces(r), spreadPolicy(1+r.IntN(4))
		d := digest.FromString(fmt.Sprint(r.Uint64()))
		chosen := replicate.Wanted(d, 1, all, policy)
		hosts, zones := map[string]bool{}, map[string]bool{}
		for _, p := range all {
			hosts[p.Host] = true
			zones[p.Zone] = true
		}
		if want := min(policy.Copies, len(hosts)); len(chosen) != want {
			t.Fatalf("%d of %d hosts chosen, want %d", len(chosen), len(hosts), want)
		}
		// With shared hosts a zone may be out of reach; without, it never is.
		if got := zonesOf(all, chosen); len(hosts) == len(all) && got != min(policy.Copies, len(zones)) {
			t.Fatalf("%d copies in %d zones of %d", len(chosen), got, len(zones))
		}
		used := map[string]bool{}
		for _, p := range all {
			if slices.Contains(chosen, p.ID) && used[p.Host] {
				t.Fatalf("two copies on host %s", p.Host)
			} else if slices.Contains(chosen, p.ID) {
				used[p.Host] = true
			}
		}
	}
}

func TestWantedDoesNotDependOnTheOrderOfPlaces(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 1000 {
		all, policy := randomPlaces(r), spreadPolicy(1+r.IntN(4))
		d := digest.FromString(fmt.Sprint(r.Uint64()))
		want := replicate.Wanted(d, 1, all, policy)
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if got := replicate.Wanted(d, 1, all, policy); !slices.Equal(got, want) {
			t.Fatalf("in another order %v, before %v", got, want)
		}
	}
}

// A join must move nothing between nodes that were there, and a leave is its reverse.
func TestAJoinMovesBlobsToTheNewNodeOnly(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 5000 {
		all, policy := places(2+r.IntN(8), 1+r.IntN(4)), spreadPolicy(1+r.IntN(4))
		for i := range all {
			all[i].Zone = fmt.Sprintf("z%d", r.IntN(4))
			all[i].Capacity = int64(1+r.IntN(5)) << 40
		}
		joined := all[r.IntN(len(all))].ID
		before := slices.DeleteFunc(slices.Clone(all), func(p replicate.Place) bool { return p.ID == joined })
		d := digest.FromString(fmt.Sprint(r.Uint64()))
		old, now := replicate.Wanted(d, 1, before, policy), replicate.Wanted(d, 1, all, policy)
		for _, id := range now {
			if id != joined && !slices.Contains(old, id) {
				t.Fatalf("node %d joined %v, and %v became %v", joined, before, old, now)
			}
		}
	}
}

func TestSharesFollowCapacity(t *testing.T) {
	all := places(5, 1)
	for i := range all {
		all[i].Capacity = int64(i+1) << 40
	}
	const n = 20000
	shares := map[meta.NodeID]int{}
	for _, d := range digests(n) {
		shares[replicate.Wanted(d, 1, all, spreadPolicy(1))[0]]++
	}
	for i, p := range all {
		want := n * (i + 1) / 15
		if got := shares[p.ID]; got < want*9/10 || got > want*11/10 {
			t.Errorf("node with %d of 15 TiB gets %d blobs of %d, want about %d", i+1, got, n, want)
		}
	}
}

func TestNodesAndZonesShareEvenly(t *testing.T) {
	const n = 20000
	for _, row := range []struct{ nodes, zones, copies int }{{3, 3, 2}, {3, 1, 2}, {6, 3, 2}, {6, 2, 3}, {9, 3, 3}} {
		all, held, inZone := places(row.nodes, row.zones), map[meta.NodeID]int{}, map[string]int{}
		for _, d := range digests(n) {
			for _, id := range replicate.Wanted(d, 1, all, spreadPolicy(row.copies)) {
				held[id]++
				inZone[all[id-1].Zone]++
			}
		}
		for id, got := range held {
			if want := n * row.copies / row.nodes; got < want*95/100 || got > want*105/100 {
				t.Errorf("%+v: node %d holds %d copies, want about %d", row, id, got, want)
			}
		}
		for zone, got := range inZone {
			if want := n * row.copies / row.zones; got < want*95/100 || got > want*105/100 {
				t.Errorf("%+v: zone %s holds %d copies, want about %d", row, zone, got, want)
			}
		}
	}
}

func TestWhoCannotTakeABlobIsNotChosen(t *testing.T) {
	all := places(4, 4)
	all[0].Full = true
	all[1].Away = true
	all[2].Free = 99
	for _, d := range digests(100) {
		if got := replicate.Wanted(d, 100, all, spreadPolicy(2)); !slices.Equal(got, []meta.NodeID{4}) {
			t.Fatalf("chosen are %v, want the only node with room, 4", got)
		}
	}
	for _, d := range digests(100) {
		if got := replicate.Wanted(d, 99, all, spreadPolicy(2)); len(got) != 2 {
			t.Fatalf("a blob that fits is wanted on %v, want two nodes", got)
		}
	}
}

// The placement of these blobs is part of the contract between versions.
func TestPlacementIsTheSameInEveryVersion(t *testing.T) {
	all := places(7, 3)
	for i := range all {
		all[i].Capacity = int64(i%3+1) << 39
	}
	var got []string
	for _, d := range digests(6) {
		got = append(got, fmt.Sprint(replicate.Wanted(d, 1, all, spreadPolicy(3))))
	}
	want := []string{"[3 5 1]", "[1 3 2]", "[6 5 4]", "[3 5 4]", "[5 7 6]", "[5 3 1]"}
	if !slices.Equal(got, want) {
		t.Errorf("placement is %q, was %q: a change moves every blob of every cluster", got, want)
	}
}

func TestRuleIsWhatTheNodesAllow(t *testing.T) {
	skewed := spreadPolicy(3)
	skewed.Zone.MaxSkew = 2
	unzoned := spreadPolicy(3)
	unzoned.Zone.MaxSkew = 0
	for _, row := range []struct {
		name   string
		policy replicate.Policy
		places []replicate.Place
		want   replicate.Rule
	}{
		{"nobody", replicate.DefaultPolicy(), nil, replicate.Rule{}},
		{"alone", replicate.DefaultPolicy(), places(1, 1), replicate.Rule{Copies: 1, Zones: 1}},
		{"two nodes without zones", replicate.DefaultPolicy(), places(2, 1), replicate.Rule{Copies: 2, Zones: 1}},
		{"two nodes", replicate.DefaultPolicy(), places(2, 2), replicate.Rule{Copies: 2, Zones: 2}},
		{"five nodes", replicate.DefaultPolicy(), places(5, 3), replicate.Rule{Copies: 2, Zones: 2}},
		{"no number given", replicate.Policy{}, places(3, 3), replicate.Rule{Copies: 2, Zones: 1}},
		{"three copies in two zones", spreadPolicy(3), places(5, 2), replicate.Rule{Copies: 3, Zones: 2}},
		{"a skew of two needs two of three zones", skewed, places(5, 3), replicate.Rule{Copies: 3, Zones: 2}},
		{"no constraint on zones", unzoned, places(5, 3), replicate.Rule{Copies: 3, Zones: 1}},
	} {
		if got := row.policy.Rule(row.places); got != row.want {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
	}
}

func BenchmarkWanted(b *testing.B) {
	for _, nodes := range []int{9, 100} { // the figure for 100 is one of doc/sizing.md
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			all, d := places(nodes, 3), digest.FromString("blob")
			for b.Loop() {
				replicate.Wanted(d, 1, all, spreadPolicy(2))
			}
		})
	}
}
