package blobstore

import (
	"context"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what a Store counts. The counters with labels are resolved when it
// is made: counting allocates nothing.
type metrics struct {
	received    prometheus.Counter
	verified    prometheus.Counter
	quarantined prometheus.Counter
	ended       *prometheus.CounterVec
	syncs       *prometheus.HistogramVec

	committed, cancelled, abandoned prometheus.Counter  // of ended
	syncFile, syncDir               prometheus.Observer // of syncs
}

func newMetrics() *metrics {
	m := &metrics{
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skerry_blobstore_received_bytes_total",
			Help: "Bytes of uploads written to the disk.",
		}),
		verified: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skerry_blobstore_verified_bytes_total",
			Help: "Bytes of blobs read back from the disk and hashed, by a scrub for example.",
		}),
		quarantined: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skerry_blobstore_quarantined_total",
			Help: "Blobs whose bytes were not what their name says, and were put aside.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skerry_blobstore_uploads_ended_total",
			Help: "Uploads that ended: published as a blob, cancelled (by the client, or because they could not become " +
				"what it promised), or abandoned and purged.",
		}, []string{"outcome"}),
		syncs: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "skerry_blobstore_sync_duration_seconds",
			Help:    "How long the disk took to make a blob's file, or the directory with its name, durable.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9), // to 33 s
		}, []string{"what"}),
	}
	m.committed = m.ended.WithLabelValues("published")
	m.cancelled = m.ended.WithLabelValues("cancelled")
	m.abandoned = m.ended.WithLabelValues("abandoned")
	m.syncFile = m.syncs.WithLabelValues("file")
	m.syncDir = m.syncs.WithLabelValues("directory")
	return m
}

// Collectors are the store's metrics. What the disk has to tell is read when
// they are collected: one statfs, and two directories that are short in a
// healthy store.
func (s *Store) Collectors() []prometheus.Collector {
	m := s.metrics
	return []prometheus.Collector{m.received, m.verified, m.quarantined, m.ended, m.syncs, newGauges(s)}
}

// gauges are what a store is like at the moment they are collected.
type gauges struct {
	store *Store

	size, free, reserve, watermark, pressure, uploads, asideBlobs, asideBytes *prometheus.Desc
}

func newGauges(s *Store) gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("skerry_blobstore_"+name, help, labels, nil)
	}
	return gauges{
		store:     s,
		size:      desc("disk_size_bytes", "Size of the file system with the blobs, without what is the super-user's."),
		free:      desc("disk_free_bytes", "Bytes that may be written to the file system with the blobs now."),
		reserve:   desc("disk_reserve_bytes", "Bytes set aside for deletes on a full disk; 0 while they are given up."),
		watermark: desc("disk_watermark_ratio", "Part of the disk in use at which a state of pressure begins.", "state"),
		pressure:  desc("pressure", "1 for the state that the disk is in, 0 for the others.", "state"),
		uploads: desc("uploads", "Uploads that are neither published nor dropped: those that a request is writing to, "+
			"and those that wait for their client.", "state"),
		asideBlobs: desc("quarantine_files", "Damaged files put aside, whether their blobs were pushed again or not."),
		asideBytes: desc("quarantine_bytes", "Bytes of the damaged files put aside."),
	}
}

// Describe implements prometheus.Collector.
func (c gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.size, c.free, c.reserve, c.watermark, c.pressure, c.uploads, c.asideBlobs, c.asideBytes,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector. What cannot be read is reported as
// such, beside the rest.
func (c gauges) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	cfg := c.store.cfg
	for i, percent := range []int{cfg.Soft, cfg.High, cfg.Critical} {
		gauge(c.watermark, float64(percent)/100, (Soft + Pressure(i)).String())
	}
	if usage, err := c.store.Usage(); err != nil {
		to <- prometheus.NewInvalidMetric(c.size, err)
	} else {
		gauge(c.size, float64(usage.Total))
		gauge(c.free, float64(usage.Free))
		gauge(c.reserve, float64(usage.Reserve))
		for p := Normal; p <= Critical; p++ {
			gauge(c.pressure, one(p == usage.State), p.String())
		}
	}
	if names, err := c.store.names(uploadsDir); err != nil {
		to <- prometheus.NewInvalidMetric(c.uploads, err)
	} else {
		held := c.store.sessions.held()
		gauge(c.uploads, float64(held), "receiving")
		gauge(c.uploads, float64(max(0, len(names)-held)), "waiting")
	}
	if aside, err := c.store.Quarantined(context.Background()); err != nil {
		to <- prometheus.NewInvalidMetric(c.asideBlobs, err)
	} else {
		var bytes int64
		for _, q := range aside {
			bytes += q.Size
		}
		gauge(c.asideBlobs, float64(len(aside)))
		gauge(c.asideBytes, float64(bytes))
	}
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// held is how many uploads a request holds.
func (t *sessions) held() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.byKey {
		if s.held {
			n++
		}
	}
	return n
}

// A timed disk measures what others wait for most.
type timed struct {
	disk
	metrics *metrics
}

func (d timed) sync(f *os.File) error {
	begun := time.Now()
	err := d.disk.sync(f)
	d.metrics.syncFile.Observe(time.Since(begun).Seconds())
	return err
}

func (d timed) syncDir(name string) error {
	begun := time.Now()
	err := d.disk.syncDir(name)
	d.metrics.syncDir.Observe(time.Since(begun).Seconds())
	return err
}
