package meta

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what a DB measures of itself.
type metrics struct {
	applies            prometheus.Histogram
	checkpoints        prometheus.Histogram
	checkpointFailures prometheus.Counter
}

func newMetrics() *metrics {
	return &metrics{
		applies: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "skerry_meta_transaction_duration_seconds",
			Help:    "How long the transactions took that apply commands, each for a batch.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9), // to 6.5 s
		}),
		checkpoints: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "skerry_meta_checkpoint_duration_seconds",
			Help:    "How long it took to make durable what was applied since the checkpoint before.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9), // to 65 s
		}),
		checkpointFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skerry_meta_checkpoint_failures_total",
			Help: "Checkpoints that failed: the one before stays in force, and the log keeps what came after it.",
		}),
	}
}

// applied measures a transaction.
func (m *metrics) applied(begun time.Time) { m.applies.Observe(time.Since(begun).Seconds()) }

// checkpointed measures a checkpoint that had something to do.
func (m *metrics) checkpointed(begun time.Time, err error) {
	m.checkpoints.Observe(time.Since(begun).Seconds())
	if err != nil {
		m.checkpointFailures.Inc()
	}
}

// Collectors are the database's metrics. What it holds is read when they are
// collected, in one transaction that walks nothing.
func (db *DB) Collectors() []prometheus.Collector {
	m := db.metrics
	return []prometheus.Collector{m.applies, m.checkpoints, m.checkpointFailures, contents{db, contentsOf()}}
}

// A contents is what the database holds at the moment it is collected.
type contents struct {
	db     *DB
	values []content
}

// A content is one number of Stats.
type content struct {
	desc *prometheus.Desc
	of   func(Stats) float64
}

func contentsOf() []content {
	c := func(name, help string, of func(Stats) float64) content {
		return content{prometheus.NewDesc("skerry_meta_"+name, help, nil, nil), of}
	}
	return []content{
		c("repositories", "Repositories that hold a manifest.", func(s Stats) float64 { return float64(s.Repositories) }),
		c("manifests", "Manifests; one in two repositories counts twice.",
			func(s Stats) float64 { return float64(s.Manifests) }),
		c("tags", "Tags.", func(s Stats) float64 { return float64(s.Tags) }),
		c("blobs", "Blobs known, each once.", func(s Stats) float64 { return float64(s.Blobs) }),
		c("blob_bytes", "Sum of the sizes of the blobs known, each once.",
			func(s Stats) float64 { return float64(s.BlobBytes) }),
		c("database_size_bytes", "Size of the database file.", func(s Stats) float64 { return float64(s.DatabaseBytes) }),
		c("database_free_bytes", "Bytes of the database file that are free to be used again.",
			func(s Stats) float64 { return float64(s.FreeBytes) }),
		c("applied_index", "Index of the last log entry that was applied.",
			func(s Stats) float64 { return float64(s.AppliedIndex) }),
		c("durable_index", "Index of the last log entry that a checkpoint made durable; a start replays what follows.",
			func(s Stats) float64 { return float64(s.DurableIndex) }),
	}
}

// Describe implements prometheus.Collector.
func (c contents) Describe(to chan<- *prometheus.Desc) {
	for _, v := range c.values {
		to <- v.desc
	}
}

// Collect implements prometheus.Collector.
func (c contents) Collect(to chan<- prometheus.Metric) {
	stats, err := c.db.Stats()
	for _, v := range c.values {
		if err != nil {
			to <- prometheus.NewInvalidMetric(v.desc, err)
			continue
		}
		to <- prometheus.MustNewConstMetric(v.desc, prometheus.GaugeValue, v.of(stats))
	}
}
