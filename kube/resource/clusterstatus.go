package resource

import (
	"fmt"
	"strings"

	operatorv1 "github.com/openshift/api/operator/v1"
)

// A Cluster is how the nodes of the registry are, as one of them sees it. The zero
// Cluster is a node alone.
type Cluster struct {
	Nodes      int      // with this one
	Away       []string // names of those that do not answer
	Leaderless bool     // no majority: nothing can be changed
	Short      int      // blobs with fewer copies than there should be, or in fewer zones
	Lost       int      // of them, with none
	Copying    int      // blobs that this node is to fetch
}

// ready is how many nodes answer.
func (c Cluster) ready() int { return max(c.Nodes, 1) - len(c.Away) }

// available is the condition of several nodes. Pulls go on as long as one is left.
func (c Cluster) available() operatorv1.OperatorCondition {
	switch {
	case c.Leaderless:
		return condition("Available", true, "ReadsOnly", "The registry serves pulls; pushes wait for a majority of its nodes")
	case len(c.Away) > 0:
		return condition("Available", true, "MinimumAvailability",
			fmt.Sprintf("The registry has minimum availability: %d of %d nodes answer", c.ready(), c.Nodes))
	}
	return condition("Available", true, "Ready", fmt.Sprintf("The registry is ready: all %d nodes answer", c.Nodes))
}

// progressing is the condition while copies are made, or nil.
func (c Cluster) progressing() *operatorv1.OperatorCondition {
	n := max(c.Copying, c.Short-c.Lost)
	if n <= 0 {
		return nil
	}
	p := condition("Progressing", true, "CopyingBlobs", fmt.Sprintf("Copies are being made of %d blobs", n))
	return &p
}

// degraded calls add with what is wrong.
func (c Cluster) degraded(add func(reason, text string)) {
	if c.Leaderless {
		add("NoQuorum", "No majority of the nodes agrees on a leader: pushes and deletes are refused, pulls may be stale")
	}
	if len(c.Away) > 0 {
		add("NodesAway", fmt.Sprintf("%d of %d nodes do not answer: %s", len(c.Away), c.Nodes, strings.Join(c.Away, ", ")))
	}
	if c.Lost > 0 {
		add("BlobsLost", fmt.Sprintf("%d blobs are on no node any more: push them again, or restore a backup", c.Lost))
	}
	if n := c.Short - c.Lost; n > 0 {
		add("CopiesMissing", fmt.Sprintf(
			"%d blobs have fewer copies, or in fewer zones, than topologySpreadConstraints ask for", n))
	}
}

// unmetReplicas is what spec.replicas does not do.
func (c Config) unmetReplicas(nodes int) []string {
	switch {
	case nodes <= 1 && c.Replicas != 1:
		return []string{fmt.Sprintf("spec.replicas: %d; this registry is one node", c.Replicas)}
	case nodes > 1 && int(c.Replicas) != nodes:
		return []string{fmt.Sprintf("spec.replicas: %d; this registry is %d nodes, which join and leave by themselves",
			c.Replicas, nodes)}
	}
	return nil
}
