package appliance

import "github.com/prometheus/client_golang/prometheus"

// clusterGauges are how the nodes are, as this one sees it when it is asked.
type clusterGauges struct {
	a             *Appliance
	nodes, quorum *prometheus.Desc
}

func newClusterGauges(a *Appliance) clusterGauges {
	return clusterGauges{
		a: a,
		nodes: prometheus.NewDesc("skerry_cluster_nodes",
			"Nodes of the cluster, this one included, that answer this one, and that do not (away).", []string{"state"}, nil),
		quorum: prometheus.NewDesc("skerry_cluster_quorum",
			"1 while this node knows a leader, so that changes can be agreed on; 0 while it serves reads only.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (g clusterGauges) Describe(to chan<- *prometheus.Desc) {
	to <- g.nodes
	to <- g.quorum
}

// Collect implements prometheus.Collector.
func (g clusterGauges) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	c, quorum := g.a.clusterFacts(), 1.0
	if now, _ := g.a.node.Leadership(); now.Leader.ID == "" {
		quorum = 0
	}
	gauge(g.nodes, float64(max(c.Nodes, 1)-len(c.Away)), "answering")
	gauge(g.nodes, float64(len(c.Away)), "away")
	gauge(g.quorum, quorum)
}
