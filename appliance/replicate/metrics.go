package replicate

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what a Replicator counts.
type metrics struct {
	fetched, fetchedBytes, failures prometheus.Counter
	lies, hedged, streamed          prometheus.Counter
	shed, lost                      prometheus.Counter
	barriers                        *prometheus.HistogramVec
	blobs                           *prometheus.GaugeVec
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "skerry_replicate_" + name, Help: help})
	}
	m := &metrics{
		fetched:      counter("fetched_total", "Blobs that this node fetched from others and keeps."),
		fetchedBytes: counter("fetched_bytes_total", "Bytes of the blobs that this node fetched from others and keeps."),
		failures:     counter("fetch_failures_total", "Blobs that could not be fetched from any node that holds them."),
		lies:         counter("wrong_bytes_total", "Answers of other nodes that were not the blob that they were asked for."),
		hedged:       counter("hedged_total", "Requests for a blob that went to a second node because the first was slow."),
		streamed:     counter("streamed_total", "Blobs that were passed on from another node without being kept."),
		shed:         counter("surplus_dropped_total", "Copies that this node dropped because others have enough."),
		lost:         counter("lost_total", "Copies that this node should have had and did not, or had damaged."),
		barriers: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "skerry_replicate_barrier_duration_seconds",
			Help:    "How long manifests waited for the copies of their blobs, and how it ended.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9), // to 65 s
		}, []string{"outcome"}),
		blobs: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "skerry_replicate_blobs",
			Help: "Blobs as of the last look at all: with too few copies for longer than a push takes (short), " +
				"with none (lost), to be fetched by this node (fetch), held by it without need (surplus).",
		}, []string{"state"}),
	}
	m.scanned(Report{})
	for _, outcome := range []string{"complete", "degraded", "refused"} {
		m.barriers.WithLabelValues(outcome)
	}
	return m
}

// waited measures a barrier.
func (m *metrics) waited(begun time.Time, degraded bool, err error) {
	outcome := "complete"
	switch {
	case err != nil:
		outcome = "refused"
	case degraded:
		outcome = "degraded"
	}
	m.barriers.WithLabelValues(outcome).Observe(time.Since(begun).Seconds())
}

// scanned shows a report.
func (m *metrics) scanned(r Report) {
	for state, n := range map[string]int{
		"short": r.Late, "lost": r.Lost, "fetch": r.Fetch, "surplus": r.Surplus - r.Dropped,
	} {
		m.blobs.WithLabelValues(state).Set(float64(n))
	}
}

// Collectors are the replicator's metrics.
func (r *Replicator) Collectors() []prometheus.Collector {
	m := r.metrics
	return []prometheus.Collector{
		m.fetched, m.fetchedBytes, m.failures, m.lies, m.hedged, m.streamed, m.shed, m.lost, m.barriers, m.blobs,
	}
}
