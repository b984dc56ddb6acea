package replicate

import (
	"cmp"
	"slices"
	"time"

	"skerry.dev/skerry/meta"
)

// A view is what this node knows of all nodes at one moment. Decisions about a blob
// are made on one view.
type view struct {
	self   meta.NodeID
	nodes  []meta.Node // that are not gone, by id; shared, not to be changed
	places []Place     // those that are to hold blobs
	policy Policy
	rule   Rule
}

// look takes a view.
func (r *Replicator) look() view {
	v := view{self: r.cfg.Self(), policy: r.cfg.Policy()}
	for _, n := range r.cfg.Meta.Nodes() {
		if n.Gone() {
			continue
		}
		v.nodes = append(v.nodes, n)
		if keeps(n) {
			c := r.cfg.Condition(n.ID)
			v.places = append(v.places, Place{
				ID: n.ID, Host: n.Name, Zone: n.Zone, Capacity: n.Capacity,
				Free: c.Free, Full: c.Full, Away: c.Away,
			})
		}
	}
	v.rule = v.policy.Rule(v.places)
	return v
}

// keeps says whether n is to hold blobs.
func keeps(n meta.Node) bool { return n.State == meta.NodeActive && n.Role == meta.RoleFull }

// alone says that there is no other node to have copies, or to get them from.
func (r *Replicator) alone() bool {
	living := 0
	for _, n := range r.cfg.Meta.Nodes() {
		if !n.Gone() {
			living++
		}
	}
	return living < 2
}

// keeper says whether this node is to hold blobs.
func (v view) keeper() bool { return v.at(v.self) >= 0 }

func (v view) at(id meta.NodeID) int {
	return slices.IndexFunc(v.places, func(p Place) bool { return p.ID == id })
}

// counted are those of the holders whose copies count: a draining node takes its own
// away, and one that was away for long may never come back.
func (v view) counted(holders []meta.NodeID) []Place {
	var counted []Place
	for _, id := range holders {
		if at := v.at(id); at >= 0 && !v.places[at].Away {
			counted = append(counted, v.places[at])
		}
	}
	return counted
}

// ranked are the places that may hold c, best first. A full disk keeps what it has:
// else every disk would shed blobs at its watermark, and take them back below it.
func (v view) ranked(c meta.BlobCopies) []Place {
	places := slices.Clone(v.places)
	for i := range places {
		if slices.Contains(c.Holders, places[i].ID) {
			places[i].Full, places[i].Free = false, 0
		}
	}
	return rank(c.Digest, c.Size, places)
}

// wanted is [Wanted] for c.
func (v view) wanted(c meta.BlobCopies) []meta.NodeID { return take(v.ranked(c), v.policy) }

// short says whether c has too few copies.
func (v view) short(c meta.BlobCopies) bool { return !v.rule.meets(v.counted(c.Holders)) }

// lacking are the places that would complete c, best first, apart from those in
// avoid; which may be fewer than it takes.
func (v view) lacking(c meta.BlobCopies, avoid func(meta.NodeID) bool) []meta.NodeID {
	chosen := v.counted(c.Holders)
	ranked := slices.DeleteFunc(v.ranked(c), func(p Place) bool {
		return slices.Contains(c.Holders, p.ID) || avoid(p.ID)
	})
	var more []Place
	hosts, zones := spread(chosen)
	for _, newZone := range []bool{true, false} {
		for _, p := range ranked {
			h, z := spread(append(slices.Clip(chosen), p))
			useful := z > zones && zones < v.rule.Zones || !newZone && hosts < v.rule.Copies
			if h > hosts && useful {
				chosen, more = append(chosen, p), append(more, p)
				hosts, zones = h, z
			}
		}
	}
	return ids(more)
}

// sources are the nodes that c can be fetched from, the one to ask first first: whoever
// is trusted, then who answers, then who is near. Witnesses never hold anything, but
// if a record says so, they are asked.
func (r *Replicator) sources(v view, c meta.BlobCopies) []meta.Node {
	type source struct {
		node    meta.Node
		penalty int
		latency time.Duration
	}
	zone := ""
	if at := slices.IndexFunc(v.nodes, func(n meta.Node) bool { return n.ID == v.self }); at >= 0 {
		zone = v.nodes[at].Zone
	}
	var all []source
	for _, n := range v.nodes {
		if n.ID == v.self || !slices.Contains(c.Holders, n.ID) || r.trust.liedAbout(n.ID, c.Digest) {
			continue
		}
		cond := r.cfg.Condition(n.ID)
		s := source{node: n, latency: cond.Latency}
		for i, is := range []bool{n.Zone != zone, cond.Away, r.trust.failed(n.ID), r.trust.lied(n.ID)} {
			if is {
				s.penalty |= 1 << i
			}
		}
		all = append(all, s)
	}
	blob := hashDigest(c.Digest)
	slices.SortFunc(all, func(a, b source) int {
		return cmp.Or(
			cmp.Compare(a.penalty, b.penalty), cmp.Compare(a.latency, b.latency),
			// Equals share the load, each blob by its own order.
			cmp.Compare(mix(blob^uint64(a.node.ID)), mix(blob^uint64(b.node.ID))),
		)
	})
	nodes := make([]meta.Node, len(all))
	for i, s := range all {
		nodes[i] = s.node
	}
	return nodes
}

// missing are the nodes that should hold c and do not.
func (v view) missing(c meta.BlobCopies) []meta.NodeID {
	return slices.DeleteFunc(v.wanted(c), func(id meta.NodeID) bool { return slices.Contains(c.Holders, id) })
}

// takes says whether this node can fetch c, and has not.
func (v view) takes(c meta.BlobCopies) bool {
	at := v.at(v.self)
	return at >= 0 && v.places[at].takes(c.Size) && !slices.Contains(c.Holders, v.self)
}
