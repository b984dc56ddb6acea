package tls

import "github.com/prometheus/client_golang/prometheus"

// Collectors are the metrics of the trust: until when it lasts.
func (p *Public) Collectors() []prometheus.Collector {
	return []prometheus.Collector{expiry{p, prometheus.NewDesc(
		"skerry_tls_certificate_not_after_timestamp_seconds",
		"When the certificate expires that is shown to clients, and when that of the authority they trust.",
		[]string{"certificate"}, nil)}}
}

// An expiry tells when the certificates in use expire.
type expiry struct {
	public *Public
	desc   *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (e expiry) Describe(to chan<- *prometheus.Desc) { to <- e.desc }

// Collect implements prometheus.Collector.
func (e expiry) Collect(to chan<- prometheus.Metric) {
	i := e.public.issued.Load()
	to <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, float64(i.leaf.Leaf.NotAfter.Unix()), "server")
	to <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, float64(i.ca.cert.NotAfter.Unix()), "authority")
}
