package appliance

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/skerry/blobstore"
)

// A health is what the probes would say, and what an operator should mend, at
// the moment it is collected.
type health struct {
	a                             *Appliance
	ready, check, damaged, period *prometheus.Desc
}

func newHealth(a *Appliance) health {
	return health{
		a: a,
		ready: prometheus.NewDesc("skerry_health_ready",
			"1 while pulls are served (reads), or pushes as a whole (writes), as the probes /readyz and /readyz/writes say.",
			[]string{"of"}, nil),
		check: prometheus.NewDesc("skerry_health_check_ok",
			"1 while a check of /readyz/writes is passed, 0 while it fails.", []string{"check"}, nil),
		damaged: prometheus.NewDesc("skerry_scrub_damaged_blobs",
			"Blobs whose bytes are in quarantine, that something refers to, and that were not pushed again.", nil, nil),
		period: prometheus.NewDesc("skerry_scrub_period_seconds",
			"How long one scrub of all blobs may take, and be ago (--scrub-period).", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (h health) Describe(to chan<- *prometheus.Desc) {
	to <- h.ready
	to <- h.check
	to <- h.damaged
	to <- h.period
}

// Collect implements prometheus.Collector.
func (h health) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	reads, writes := 1.0, 1.0
	for i, c := range h.a.writing() {
		ok := 1.0
		if c.err() != nil {
			ok, writes = 0, 0
			if i < len(h.a.readable()) { // writing begins with it
				reads = 0
			}
		}
		gauge(h.check, ok, c.name)
	}
	gauge(h.ready, reads, "reads")
	gauge(h.ready, writes, "writes")
	gauge(h.period, h.a.config().ScrubPeriod.Seconds())
	if n, err := h.a.damaged(context.Background()); err != nil {
		to <- prometheus.NewInvalidMetric(h.damaged, err)
	} else {
		gauge(h.damaged, float64(n))
	}
}

// damaged counts the blobs that are missed because their bytes are in
// quarantine.
func (a *Appliance) damaged(ctx context.Context) (n int, err error) {
	aside, err := a.quarantined(ctx)
	if err != nil {
		return 0, err
	}
	seen := map[string]bool{} // one digest may be there more than once
	for _, b := range aside {
		if seen[b.Digest.String()] {
			continue
		}
		seen[b.Digest.String()] = true
		if _, err := a.blobs.Stat(ctx, b.Digest); !errors.Is(err, blobstore.ErrNotFound) {
			continue // pushed again
		}
		missed, err := a.missed(b.Digest)
		if err != nil {
			return 0, err
		}
		if missed {
			n++
		}
	}
	return n, nil
}

// missed says whether d, whose bytes are not here, should be, or is nowhere else.
func (a *Appliance) missed(d digest.Digest) (bool, error) {
	if a.bucket != nil {
		return a.meta.Known(d)
	}
	copies, err := a.meta.Copies(d)
	if err != nil || len(copies) == 0 {
		return false, err
	}
	holders := copies[0].Holders
	return len(holders) == 0 || slices.Contains(holders, a.self()), nil
}
