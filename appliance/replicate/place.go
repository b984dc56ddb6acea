package replicate

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"math"
	"slices"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// A Place is a node that may hold blobs, as placement sees it. Nodes that are gone,
// draining or witnesses are no places.
type Place struct {
	ID   meta.NodeID
	Host string // two copies on one host are one
	Zone string // nodes that name none share the zone ""
	// Capacity is the size of the disk in bytes; 0 means as large as the others.
	Capacity int64
	// Free is how many bytes may be written; 0 means that nobody knows.
	Free int64
	// Full: the disk takes no further blob. Away: the node has not been heard of for
	// so long that its copies are made elsewhere. Neither is chosen.
	Full, Away bool
}

// takes says whether p can be given a blob of size bytes.
func (p Place) takes(size int64) bool {
	return !p.Full && !p.Away && (p.Free == 0 || p.Free >= size)
}

// Wanted says which nodes should hold d, best first: fewer than policy says if there
// are not so many hosts that can take size bytes.
//
// It is a pure function: every node that sees the same places comes to the same
// answer. Places are ranked by weighted rendezvous hashing, so that each gets a share
// of the blobs like its share of the capacity. The best is taken, then the best of
// each zone that has none yet, then the best of the rest. A node that joins takes
// from each blob at most one copy, and one that leaves gives each of its copies to
// one other.
func Wanted(d digest.Digest, size int64, places []Place, policy Policy) []meta.NodeID {
	return take(rank(d, size, places), policy)
}

// take chooses from places ranked.
func take(ranked []Place, policy Policy) []meta.NodeID {
	n := policy.copies()
	chosen := make([]Place, 0, n)
	clash := func(p Place, zones bool) bool {
		return slices.ContainsFunc(chosen, func(c Place) bool {
			return c.Host == p.Host || zones && c.Zone == p.Zone
		})
	}
	rounds := []bool{true, false}
	if policy.Zone.MaxSkew <= 0 {
		rounds = rounds[1:]
	}
	for _, zones := range rounds {
		for _, p := range ranked {
			if len(chosen) < n && !clash(p, zones) {
				chosen = append(chosen, p)
			}
		}
	}
	return ids(chosen)
}

func ids(places []Place) []meta.NodeID {
	out := make([]meta.NodeID, len(places))
	for i, p := range places {
		out[i] = p.ID
	}
	return out
}

// rank returns the places that can take d, best first.
func rank(d digest.Digest, size int64, places []Place) []Place {
	type scored struct {
		Place
		score float64
	}
	blob, mean := hashDigest(d), meanCapacity(places)
	all := make([]scored, 0, len(places))
	for _, p := range places {
		if p.takes(size) {
			all = append(all, scored{p, score(blob, p, mean)})
		}
	}
	slices.SortFunc(all, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.ID, b.ID))
	})
	ranked := make([]Place, len(all))
	for i, s := range all {
		ranked[i] = s.Place
	}
	return ranked
}

// score is weighted rendezvous hashing: with u even in (0, 1), −w/ln u is largest for
// a node as often as its weight is of the sum of all weights.
func score(blob uint64, p Place, mean float64) float64 {
	weight := float64(p.Capacity)
	if p.Capacity <= 0 {
		weight = mean
	}
	u := (float64(mix(blob^mix(uint64(p.ID)))>>11) + 0.5) / (1 << 53)
	return -weight / math.Log(u)
}

// meanCapacity is the weight of a node whose capacity is not known.
func meanCapacity(places []Place) float64 {
	var sum float64
	var n int
	for _, p := range places {
		if p.Capacity > 0 {
			sum += float64(p.Capacity)
			n++
		}
	}
	if n == 0 {
		return 1
	}
	return sum / float64(n)
}

// hashDigest and mix are part of what nodes of all versions agree on: another
// function would move nearly every blob.
func hashDigest(d digest.Digest) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(d)) // never fails
	var sum [8]byte
	return mix(binary.BigEndian.Uint64(h.Sum(sum[:0])))
}

// mix is the finalizer of splitmix64: every bit of x changes half of the result's.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
