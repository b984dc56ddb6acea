package raft_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"skerry.dev/skerry/raft"
)

// ordinary undoes what makes clusters of tests hasty.
func ordinary(c *raft.Config) {
	c.Election, c.SegmentSize = 0, 0
	c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = 0, 0, 0
}

// followerOf returns a member that does not lead.
func followerOf(tb testing.TB, members []*member) *member {
	tb.Helper()
	lead := leading(tb, members...)
	return members[slices.IndexFunc(members, func(m *member) bool { return m != lead })]
}

// benchmarkFollower has so many callers use a follower of a cluster of three.
func benchmarkFollower(b *testing.B, callers int, use func(*raft.Node) error) {
	node := followerOf(b, newMesh().three(b, ordinary)).node
	var work sync.WaitGroup
	b.ResetTimer()
	for c := range callers {
		work.Go(func() {
			for i := c; i < b.N; i += callers {
				if err := use(node); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
}

func BenchmarkFollowerPropose(b *testing.B) {
	for name, callers := range map[string]int{"1": 1, "64": 64} {
		b.Run(name, func(b *testing.B) {
			command := sized(1, 1<<10)
			benchmarkFollower(b, callers, func(n *raft.Node) error {
				_, err := n.Propose(context.Background(), command)
				return err
			})
		})
	}
}

func BenchmarkFollowerReadIndex(b *testing.B) {
	for name, callers := range map[string]int{"1": 1, "64": 64} {
		b.Run(name, func(b *testing.B) {
			benchmarkFollower(b, callers, func(n *raft.Node) error { return n.ReadIndex(context.Background()) })
		})
	}
}

// BenchmarkFailover cuts the leader off without a word, as kill -9 or a power cut
// does, and measures until a command through another node is acknowledged.
func BenchmarkFailover(b *testing.B) {
	mesh := newMesh()
	members := mesh.three(b, ordinary)
	var took []time.Duration
	for b.Loop() {
		lead := leading(b, members...)
		other := followerOf(b, members)
		propose(b, other.node, "before")
		begin := time.Now()
		mesh.isolate(lead, members...)
		eventually(b, "a command is acknowledged", func() bool {
			_, err := other.node.Propose(soon(b), []byte("after"))
			return err == nil
		})
		took = append(took, time.Since(begin))
		mesh.heal()
		eventually(b, "the former leader follows", func() bool { return lead.node.ReadIndex(soon(b)) == nil })
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Milliseconds()) }
	b.ReportMetric(ms(took[len(took)/2]), "ms-p50")
	b.ReportMetric(ms(took[len(took)*9/10]), "ms-p90")
	b.ReportMetric(ms(took[len(took)-1]), "ms-max")
}

// BenchmarkIdleCluster is what three nodes in one process cost that have nothing
// to do.
func BenchmarkIdleCluster(b *testing.B) {
	newMesh().three(b, ordinary)
	var busy, passed time.Duration
	for b.Loop() {
		begin, before := time.Now(), cpu(b)
		<-time.After(time.Second)
		busy, passed = busy+cpu(b)-before, passed+time.Since(begin)
	}
	b.ReportMetric(1000*busy.Seconds()/passed.Seconds(), "cpu-ms/s")
}
