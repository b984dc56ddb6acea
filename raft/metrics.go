package raft

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	hraft "github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
)

// The guests measure themselves through go-metrics, which knows one sink for a
// whole process. It is left unset: what an operator needs is measured here, at
// our own boundary, and two nodes in one process stay apart.

func newHistogram(name, help string) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "skerry_raft_" + name, Help: help,
		Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9), // to 33 s
	})
}

func newProposals() prometheus.Histogram {
	return newHistogram("commit_duration_seconds",
		"How long commands took from proposal until they were agreed, durable and applied here; refused ones included.")
}

func newAppends() prometheus.Histogram {
	return newHistogram("append_duration_seconds", "How long it took to append a batch of entries durably to the log.")
}

func newApplies() prometheus.Histogram {
	return newHistogram("apply_duration_seconds",
		"How long the state machine took for a batch of entries, waits for room on a full disk included.")
}

// since observes the time that has passed.
func since(h prometheus.Histogram, begun time.Time) { h.Observe(time.Since(begun).Seconds()) }

// Collectors are the node's metrics. What it is like is read when they are
// collected.
func (n *Node) Collectors() []prometheus.Collector {
	return []prometheus.Collector{n.proposals, n.logs.appends, n.machine.applies, newGauges(n)}
}

// gauges are what a node is like at the moment they are collected.
type gauges struct {
	node   *Node
	state  *prometheus.Desc
	log    *prometheus.Desc
	values []value
}

// A value is one number of Status.
type value struct {
	desc *prometheus.Desc
	of   func(Status) float64
}

func newGauges(n *Node) gauges {
	return gauges{
		node:   n,
		state:  desc("state", "1 for the part that this node plays, 0 for the others.", "state"),
		log:    desc("log_size_bytes", "Bytes of the files of the log, space set aside included."),
		values: valuesOf(),
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("skerry_raft_"+name, help, labels, nil)
}

func valuesOf() []value {
	v := func(name, help string, of func(Status) float64) value { return value{desc(name, help), of} }
	return []value{
		v("leading", "1 while this node leads and takes commands.",
			func(s Status) float64 { return one(s.Leading) }),
		v("accepting", "1 while commands are taken, 0 while a full disk or a stopped state machine refuses them.",
			func(s Status) float64 { return one(s.Trouble == nil) }),
		v("term", "Term of the last election.", func(s Status) float64 { return float64(s.Term) }),
		v("voters", "Nodes whose agreement counts.", func(s Status) float64 { return float64(s.Voters) }),
		v("first_index", "Index of the first entry in the log, 0 when it is empty.",
			func(s Status) float64 { return float64(s.FirstIndex) }),
		v("last_index", "Index of the last entry in the log.",
			func(s Status) float64 { return float64(s.LastIndex) }),
		v("commit_index", "Index of the last entry that is agreed.",
			func(s Status) float64 { return float64(s.CommitIndex) }),
		v("applied_index", "Index of the last entry that reached the state machine.",
			func(s Status) float64 { return float64(s.AppliedIndex) }),
	}
}

// Describe implements prometheus.Collector.
func (c gauges) Describe(to chan<- *prometheus.Desc) {
	to <- c.state
	to <- c.log
	for _, v := range c.values {
		to <- v.desc
	}
}

// Collect implements prometheus.Collector.
func (c gauges) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	is := c.node.raft.State()
	for _, s := range []hraft.RaftState{hraft.Follower, hraft.Candidate, hraft.Leader, hraft.Shutdown} {
		gauge(c.state, one(s == is), strings.ToLower(s.String()))
	}
	status := c.node.Status()
	for _, v := range c.values {
		gauge(v.desc, v.of(status))
	}
	size, err := sizeOf(c.node.cfg.Dir)
	if err != nil {
		to <- prometheus.NewInvalidMetric(c.log, err)
		return
	}
	gauge(c.log, float64(size))
}

// sizeOf adds up the files of a directory that the log rests in. One that is
// cut off meanwhile does not count.
func sizeOf(dir string) (bytes int64, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			bytes += info.Size()
		}
	}
	return bytes, err
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
