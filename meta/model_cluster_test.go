package meta_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// modelCluster is what the model knows of nodes: who is there, and what each has
// to sweep. Nothing is ever taken out of its lists of holders because a node is
// gone; whoever asks leaves such nodes out.
type modelCluster struct {
	many  bool // else there is one node, which never registers
	nodes []meta.Node
}

type modelTrash struct {
	digest digest.Digest
	left   map[meta.NodeID]bool // who has not swept it
}

func (m *model) anyNode() meta.NodeID {
	if !m.many {
		return meta.FirstNode
	}
	return meta.NodeID(m.rng.IntN(7)) // 0 is none, and the last never register
}

func (m *model) alive(n meta.NodeID) bool {
	if len(m.nodes) == 0 {
		return n == meta.FirstNode
	}
	return n > 0 && int(n) <= len(m.nodes) && !m.nodes[n-1].Gone()
}

func (m *model) holds(d digest.Digest, n meta.NodeID) {
	b := m.blobs[d]
	if b.holders == nil {
		b.holders = map[meta.NodeID]bool{}
	}
	b.holders[n] = true
	m.blobs[d] = b
}

// living are those of holders that are not gone, ascending.
func (m *model) living(holders map[meta.NodeID]bool) (left []meta.NodeID) {
	for n := range meta.NodeID(10) {
		if holders[n] && m.alive(n) {
			left = append(left, n)
		}
	}
	return left
}

// lost counts the blobs that no node holds.
func (m *model) lost() (n int) {
	for _, b := range m.blobs {
		if len(m.living(b.holders)) == 0 {
			n++
		}
	}
	return n
}

// clusterStep does one random thing that only clusters do.
func (m *model) clusterStep(ctx context.Context) {
	m.t.Helper()
	switch n := m.rng.IntN(20); {
	case n < 3:
		m.putNode(ctx)
	case n < 5:
		m.setNodeState(ctx)
	case n < 12:
		m.addHolder(ctx)
	case n < 17:
		m.dropHolder(ctx)
	default:
		m.sweptSome(ctx)
	}
}

func (m *model) putNode(ctx context.Context) {
	m.t.Helper()
	name := fmt.Sprint("node", m.rng.IntN(6))
	n := meta.Node{
		Server: name, Name: name, Zone: pick(m, []string{"", "east", "west"}),
		Role: pick(m, []meta.NodeRole{meta.RoleFull, meta.RoleFull, meta.RoleWitness}), Level: meta.Level,
		State: meta.NodeActive, Joined: m.now(), ID: meta.NodeID(len(m.nodes) + 1),
	}
	at := slices.IndexFunc(m.nodes, func(n meta.Node) bool { return n.Server == name })
	var want error
	if at >= 0 && m.nodes[at].Gone() {
		want = meta.ErrNode
	}
	id, err := m.PutNode(ctx, n, "root")
	if !m.agree("put node", err, want) {
		return
	}
	if at < 0 {
		m.nodes = append(m.nodes, n)
	} else {
		n.ID, n.State, n.Joined = m.nodes[at].ID, m.nodes[at].State, m.nodes[at].Joined
		m.nodes[at] = n
	}
	if id != n.ID {
		m.t.Fatalf("step %d: node %s is %d, want %d", m.steps, name, id, n.ID)
	}
}

func (m *model) setNodeState(ctx context.Context) {
	m.t.Helper()
	n := m.anyNode()
	state := pick(m, []meta.NodeState{meta.NodeActive, meta.NodeDraining, meta.NodeGone})
	there := 0
	for _, n := range m.nodes {
		if !n.Gone() {
			there++
		}
	}
	var want error
	switch {
	case len(m.nodes) == 0 || !m.alive(n):
		want = meta.ErrNode
	case state == meta.NodeGone && there == 1:
		want = meta.ErrConflict
	}
	if m.agree("set node state", m.SetNodeState(ctx, n, state, "root"), want) {
		m.nodes[n-1].State = state
	}
}

// someBlobs are a few digests, one of which may be unknown, or there twice.
func (m *model) someBlobs() (ds []digest.Digest) {
	for range 1 + m.rng.IntN(3) {
		_, d := m.anyBlob()
		ds = append(ds, d)
	}
	if m.rng.IntN(4) == 0 {
		ds = append(ds, digest.FromString("never linked"))
	}
	return ds
}

func (m *model) addHolder(ctx context.Context) {
	m.t.Helper()
	n, ds := m.anyNode(), m.someBlobs()
	err := m.AddHolder(ctx, n, ds)
	if !m.alive(n) {
		m.agree("add holder", err, meta.ErrNode)
		return
	}
	var want []digest.Digest
	for _, d := range ds {
		if _, known := m.blobs[d]; known {
			m.holds(d, n)
		} else {
			want = append(want, d)
		}
	}
	var unknown *meta.UnknownError
	if errors.As(err, &unknown) != (want != nil) || unknown != nil && !slices.Equal(unknown.Digests, want) {
		m.t.Fatalf("step %d: add holder: got %v, want unknown %v", m.steps, err, want)
	}
	if want == nil {
		m.agree("add holder", err, nil)
	}
}

func (m *model) dropHolder(ctx context.Context) {
	m.t.Helper()
	n, ds := m.anyNode(), m.someBlobs()
	rule := meta.Surplus{Copies: 1 + m.rng.IntN(2), Zones: m.rng.IntN(3)}
	var asked meta.DropRule = rule
	lost := m.rng.IntN(4) == 0
	if lost {
		asked = meta.Lost{}
	}
	dropped, err := m.DropHolder(ctx, n, ds, asked)
	m.agree("drop holder", err, nil)
	var want []digest.Digest
	for _, d := range ds {
		if holders := m.blobs[d].holders; !holders[n] || !m.alive(n) || lost || m.enough(holders, n, rule) {
			delete(holders, n)
			want = append(want, d)
		}
	}
	if !slices.Equal(dropped, want) {
		m.t.Fatalf("step %d: node %d dropped %v of %v by %+v, want %v", m.steps, n, dropped, ds, asked, want)
	}
}

// enough says whether what is left without n is as much as the rule wants.
func (m *model) enough(holders map[meta.NodeID]bool, n meta.NodeID, rule meta.Surplus) bool {
	copies, zones := 0, map[string]bool{}
	for _, other := range m.living(holders) {
		if other == n || len(m.nodes) == 0 {
			continue
		}
		if o := m.nodes[other-1]; o.State == meta.NodeActive && o.Role == meta.RoleFull {
			copies++
			zones[o.Zone] = true
		}
	}
	return copies >= rule.Copies && len(zones) >= rule.Zones
}

// sweptSome says that a node unlinked some of its trash.
func (m *model) sweptSome(ctx context.Context) {
	m.t.Helper()
	n := m.anyNode()
	items, err := m.Trash(n, 0, 1+m.rng.IntN(3))
	m.agree("trash", err, nil)
	var ids []uint64
	for _, item := range items {
		ids = append(ids, item.ID)
		m.swept(n, item.Digest)
	}
	m.agree("swept", m.Swept(ctx, n, ids), nil)
}

// swept takes n out of one item.
func (m *model) swept(n meta.NodeID, d digest.Digest) {
	m.t.Helper()
	for _, t := range m.trash {
		if t.digest == d && t.left[n] {
			delete(t.left, n)
			return
		}
	}
	m.t.Fatalf("step %d: %s was no trash of node %d", m.steps, d, n)
}

// emptyTrash sweeps for all nodes that are not gone.
func (m *model) emptyTrash(ctx context.Context) {
	m.t.Helper()
	for n := range meta.NodeID(10) {
		for items, err := m.Trash(n, 0, 2); len(items) > 0; items, err = m.Trash(n, items[len(items)-1].ID, 2) {
			m.agree("trash", err, nil)
			for _, item := range items {
				m.agree("swept", m.Swept(ctx, n, []uint64{item.ID}), nil)
				m.swept(n, item.Digest)
			}
		}
	}
}

// noTrash fails unless there is none, neither of nodes that are there nor of others.
func (m *model) noTrash() {
	m.t.Helper()
	if keys, _, err := m.db.Records("trash"); err != nil || len(keys) != 0 {
		m.t.Fatalf("left over: %d records of trash (%v)", len(keys), err)
	}
}

func (m *model) compareCluster(fail func(string, ...any)) {
	m.t.Helper()
	same := func(a, b meta.Node) bool {
		joined := a.Joined.Equal(b.Joined)
		a.Joined, b.Joined = time.Time{}, time.Time{}
		return joined && a == b
	}
	if got := m.Nodes(); !slices.EqualFunc(got, m.nodes, same) {
		fail("nodes %+v, want %+v", got, m.nodes)
	}
	all, err := m.CopiesAfter(0, 100)
	if err != nil || len(all) != len(m.blobs) {
		fail("copies %v (%v), want %d", all, err, len(m.blobs))
	}
	for _, c := range all {
		b, known := m.blobs[c.Digest]
		if !known || c.Size != b.size || !c.Lease.Equal(b.lease) || !slices.Equal(c.Holders, m.living(b.holders)) {
			fail("copies %+v, want %+v", c, b)
		}
		for n := range meta.NodeID(10) {
			if held, err := m.HeldBy(n, c.Digest); err != nil || held != slices.Contains(c.Holders, n) {
				fail("%s is held by %d, and by node %d %v (%v)", c.Digest, c.Holders, n, held, err)
			}
		}
	}
	for n := range meta.NodeID(10) {
		var want, got []digest.Digest
		for _, t := range m.trash {
			if t.left[n] && m.alive(n) {
				want = append(want, t.digest)
			}
		}
		items, err := m.Trash(n, 0, 1<<20)
		for _, item := range items {
			got = append(got, item.Digest)
		}
		slices.Sort(want)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			fail("trash of node %d: %v (%v), want %v", n, got, err, want)
		}
	}
}
