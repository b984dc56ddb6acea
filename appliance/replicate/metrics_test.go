package replicate_test

import (
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"
)

// metric is the value of a counter, or how often a histogram was used.
func (n *node) metric(name string) float64 {
	n.c.t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(n.Collectors()...)
	families, err := reg.Gather()
	if err != nil {
		n.c.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	n.c.t.Fatalf("no metric %s", name)
	return 0
}

func TestMetricsTellWhatHappened(t *testing.T) {
	c := newCluster(t, timing(), "a", "b")
	d := c.nodes[0].push(content(1, 5000))
	if _, err := c.nodes[0].Wait(t.Context(), []digest.Digest{d}); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		node int
		name string
		want float64
	}{
		{0, "skerry_replicate_fetched_total", 0},
		{0, "skerry_replicate_barrier_duration_seconds", 1},
		{1, "skerry_replicate_fetched_total", 1},
		{1, "skerry_replicate_fetched_bytes_total", 5000},
	} {
		if got := c.nodes[row.node].metric(row.name); got != row.want {
			t.Errorf("node %d: %s is %v, want %v", row.node+1, row.name, got, row.want)
		}
	}
}
