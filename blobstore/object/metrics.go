package object

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/skerry/blobstore"
)

// metrics is what a Store counts.
type metrics struct {
	requests    *prometheus.HistogramVec
	failures    *prometheus.CounterVec
	verified    prometheus.Counter
	quarantined prometheus.Counter
	reachable   prometheus.Gauge
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "skerry_object_request_duration_seconds",
			Help:    "How long the object store took: to say that a blob is there, to begin sending it, to take a whole one.",
			Buckets: prometheus.ExponentialBuckets(0.002, 4, 9), // to 131 s
		}, []string{"operation"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skerry_object_failures_total",
			Help: "Requests that the object store did not answer in time (unavailable) or refused (refused).",
		}, []string{"operation", "reason"}),
		verified: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skerry_object_verified_bytes_total",
			Help: "Bytes of blobs read back from the object store and hashed, by a scrub for example.",
		}),
		quarantined: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skerry_object_quarantined_total",
			Help: "Blobs in the object store whose bytes were not what their name says, and were put aside.",
		}),
		reachable: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "skerry_object_reachable",
			Help: "1 when the object store answered, and did what it was asked to, when it was last looked; else 0.",
		}),
	}
}

// Collectors are the store's metrics, and those of the disk that receives uploads.
func (s *Store) Collectors() []prometheus.Collector {
	m := s.metrics
	return append(s.staging.Collectors(), m.requests, m.failures, m.verified, m.quarantined, m.reachable)
}

// observe begins an operation; what it returns ends it, when err is what came of it.
func (m *metrics) observe(operation string, err *error) func() {
	begun := time.Now()
	return func() {
		m.requests.WithLabelValues(operation).Observe(time.Since(begun).Seconds())
		switch {
		case errors.Is(*err, blobstore.ErrUnavailable):
			m.failures.WithLabelValues(operation, "unavailable").Inc()
		case errors.Is(*err, blobstore.ErrRefused):
			m.failures.WithLabelValues(operation, "refused").Inc()
		}
	}
}

func (m *metrics) reached(err error) {
	m.reachable.Set(0)
	if err == nil {
		m.reachable.Set(1)
	}
}
