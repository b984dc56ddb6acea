package appliance

import (
	"time"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/kube/resource"
)

// clusterFacts is how the nodes are, as this one sees it. It reads memory only.
func (a *Appliance) clusterFacts() (c resource.Cluster) {
	others := a.others()
	if len(others) == 0 {
		return c
	}
	now, _ := a.node.Leadership()
	c.Nodes, c.Leaderless = len(others)+1, now.Leader.ID == ""
	a.cluster.mu.Lock()
	for _, n := range others {
		// One that was never asked is not away: this node has just started.
		if seen, known := a.cluster.seen[n.ID]; known && time.Since(seen.at) >= seenWithin {
			c.Away = append(c.Away, n.Name)
		}
	}
	a.cluster.mu.Unlock()
	if a.cluster.copies != nil {
		r := a.cluster.copies.Report()
		c.Short, c.Lost, c.Copying = r.Late, r.Lost, r.Fetch
	}
	return c
}

// clusterStatus is the same for whoever asks for the status; nil on a node alone.
func (a *Appliance) clusterStatus() *api.ClusterStatus {
	c := a.clusterFacts()
	if c.Nodes == 0 {
		return nil
	}
	now, _ := a.node.Leadership()
	s := &api.ClusterStatus{Nodes: c.Nodes, Away: c.Away, CopiesMissing: c.Short - c.Lost, Lost: c.Lost}
	if n, err := a.db.Node(now.Leader.ID); err == nil {
		s.Leader = n.Name
	}
	return s
}
