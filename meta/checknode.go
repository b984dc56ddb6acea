package meta

// What Check looks at for each node, and for the lists that name nodes.

func (c *checker) checkNode(k, v []byte) {
	n, ok := parseNode(k)
	var rec nodeRecord
	if !c.decodes(bucketNodes, k, v, &rec) {
		return
	}
	c.counts.nodes++
	if !ok || n == 0 || n > c.cluster.last {
		c.problem("node", bucketNodes, k, "id was never given out (last: %d)", c.cluster.last)
	}
	valid := putNode{
		Server: rec.Server, Name: rec.Name, Zone: rec.Zone, Address: rec.Address, Role: rec.Role, Version: rec.Version,
		Level: rec.Level, Capacity: rec.Capacity,
	}.valid()
	if !valid || !rec.State.valid() {
		c.problem("node", bucketNodes, k, "role %q, state %q, level %d, or what is too long", rec.Role, rec.State, rec.Level)
	}
	if other := c.servers[rec.Server]; other != 0 {
		c.problem("node", bucketNodes, k, "server %q is node %d, too", rec.Server, other)
	}
	c.servers[rec.Server] = n
	if rec.State == NodeGone {
		c.counts.gone++
	}
}

// checkHolders: ascending, none that was never there. A list is never longer
// than there may be nodes, but for those that went since it was written.
func (c *checker) checkHolders(b bucketName, k []byte, holders []NodeID) (living int) {
	for at, n := range holders {
		if n == 0 || n > max(c.cluster.last, FirstNode) || at > 0 && n <= holders[at-1] {
			c.problem("node", b, k, "holders %d: not ascending, or never registered", holders)
			return len(holders)
		}
	}
	left, err := c.members.living(c.tx, holders)
	if err != nil {
		c.problem("record", b, k, "%v", err)
		return len(holders)
	}
	if len(left) > nodesMax {
		c.problem("node", b, k, "%d holders", len(left))
	}
	return len(left)
}

// checkCluster compares the nodes that were met with what is said of all.
func (c *checker) checkCluster() {
	if n := c.counts; n.nodes != int64(c.cluster.last) || n.gone != int64(c.cluster.gone) {
		c.problem("node", bucketSystem, []byte(clusterKey), "%d nodes, %d gone, counted %d and %d",
			c.cluster.last, c.cluster.gone, n.nodes, n.gone)
	}
	if c.cluster.level > Level {
		c.problem("record", bucketSystem, []byte(clusterKey), "level %d, this program knows %d", c.cluster.level, Level)
	}
}
