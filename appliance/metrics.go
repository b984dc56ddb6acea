package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"skerry.dev/skerry/appliance/registry"
)

// scrapesMax bounds how many scrapes are answered at once.
const scrapesMax = 4

// metrics is what the appliance counts itself, and the registry of metrics that
// every part's collectors are in. There is no other.
type metrics struct {
	all      *prometheus.Registry
	registry *registry.Metrics

	gc, prune, scrub *job
	freedBytes       prometheus.Counter
	freedBlobs       prometheus.Counter
	waitingBytes     prometheus.Gauge
	prunedRevisions  prometheus.Counter
	prunedManifests  prometheus.Counter
	missingBlobs     prometheus.Gauge
}

func newMetrics() *metrics {
	return &metrics{
		all:      prometheus.NewRegistry(),
		registry: registry.NewMetrics(),
		gc:       newJob("gc", "garbage collection", "0 before the first of this process"),
		prune:    newJob("prune", "run of the pruner", "0 before the first of this process"),
		scrub:    newJob("scrub", "scrub", "before the first, when it could have begun"),

		freedBytes: counter("gc_freed_bytes_total", "Bytes of blobs that were unlinked because nothing referred to them."),
		freedBlobs: counter("gc_freed_blobs_total", "Blobs that were unlinked because nothing referred to them."),
		waitingBytes: gauge("gc_waiting_bytes",
			"Bytes that the last garbage collection found unreferenced and left, because their grace has not passed."),
		prunedRevisions: counter("prune_deleted_revisions_total", "Revisions of tags deleted by the pruner."),
		prunedManifests: counter("prune_deleted_manifests_total", "Manifests deleted by the pruner."),
		missingBlobs:    gauge("scrub_missing_blobs", "Blobs that the last scrub did not find on the disk."),
	}
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "skerry_" + name, Help: help})
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: "skerry_" + name, Help: help})
}

// openMetrics puts the collectors of every part into the one registry.
func (a *Appliance) openMetrics() error {
	m := a.metrics
	all := []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(),
		m.freedBytes, m.freedBlobs, m.waitingBytes, m.prunedRevisions, m.prunedManifests, m.missingBlobs,
		newHealth(a), newClusterGauges(a),
	}
	if a.cluster.copies != nil {
		all = append(all, a.cluster.copies.Collectors()...)
	}
	for _, part := range []interface{ Collectors() []prometheus.Collector }{
		m.registry, m.gc, m.prune, m.scrub, a.blobs, a.db, a.node, a.authority,
	} {
		all = append(all, part.Collectors()...)
	}
	if a.tls != nil {
		all = append(all, a.tls.Collectors()...)
	}
	for _, c := range all {
		if err := m.all.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// buildInfo is a constant 1; its labels say what runs.
func buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "skerry_build_info",
		Help:        "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": Version(), "go_version": runtime.Version()},
	}, func() float64 { return 1 })
}

// handler serves the metrics. What cannot be collected is logged, and the rest
// is served.
func (m *metrics) handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.all, promhttp.HandlerOpts{
		ErrorLog:            scrapeLog{log},
		ErrorHandling:       promhttp.ContinueOnError,
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: scrapesMax,
	})
}

// A scrapeLog is promhttp's logger, on ours.
type scrapeLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l scrapeLog) Println(v ...any) {
	l.log.Warn("metrics are incomplete", "err", strings.TrimSpace(fmt.Sprintln(v...)))
}

// listenMetrics opens the address for scrapers, if there is to be one.
func (a *Appliance) listenMetrics(ctx context.Context) (err error) {
	if a.cfg.MetricsListen == "" {
		return nil
	}
	if a.metricsListener, err = a.listenAs(ctx, metricsSocket, "tcp", a.cfg.MetricsListen); err != nil {
		return fmt.Errorf("listen for scrapers: %w", err)
	}
	return nil
}

// serveScrapers answers scrapers and probes until stop is called, after the last
// request: the public address takes no probe while it cuts off what is left.
func (a *Appliance) serveScrapers() (stop func() error) {
	if a.metricsListener == nil {
		return func() error { return nil }
	}
	srv, done := a.server(a.scraped()), make(chan error, 1)
	go func() { done <- srv.Serve(a.metricsListener) }() // ends with stop
	return func() error {
		err := srv.Close()
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, fmt.Errorf("serve scrapers: %w", served))
		}
		return err
	}
}

// scraped is the handler of the address for scrapers.
func (a *Appliance) scraped() http.Handler {
	scrape := a.metrics.handler(a.log)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			scrape.ServeHTTP(w, r)
			return
		}
		a.healthy(w, r)
	})
}

// freed counts a blob that was unlinked; 0 bytes say that there was none.
func (m *metrics) freed(bytes int64) {
	if bytes > 0 {
		m.freedBlobs.Inc()
		m.freedBytes.Add(float64(bytes))
	}
}
