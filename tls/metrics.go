package tls

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Collectors are the metrics of the trust: until when it lasts.
func (p *Public) Collectors() []prometheus.Collector {
	return []prometheus.Collector{expiry{p, prometheus.NewDesc(
		"skerry_tls_certificate_not_after_timestamp_seconds",
		"When the certificate expires that is shown to clients, and when that of the authority they trust. "+
			"certificate is server, authority, acme or hosts; of several the first to expire.",
		[]string{"certificate"}, nil)}}
}

// An expiry tells when the certificates in use expire.
type expiry struct {
	public *Public
	desc   *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (e expiry) Describe(to chan<- *prometheus.Desc) { to <- e.desc }

// Collect implements prometheus.Collector. Of several certificates of a kind,
// the one that ends first is told.
func (e expiry) Collect(to chan<- prometheus.Metric) {
	first := map[string]time.Time{}
	for _, s := range e.public.Status().Shown {
		kind := "server"
		if s.From == "acme" || s.From == "hosts" {
			kind = s.From
		}
		if at, ok := first[kind]; !s.NotAfter.IsZero() && (!ok || s.NotAfter.Before(at)) {
			first[kind] = s.NotAfter
		}
	}
	if e.public.self != nil {
		first["authority"] = e.public.self.issued.Load().ca.cert.NotAfter
	}
	for kind, at := range first {
		to <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, float64(at.Unix()), kind)
	}
}
