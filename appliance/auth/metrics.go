package auth

import "github.com/prometheus/client_golang/prometheus"

// refusals counts logins that were refused, by what they looked like.
type refusals struct {
	all             *prometheus.CounterVec
	failed, limited map[Method]prometheus.Counter // immutable
}

func newRefusals() refusals {
	c := refusals{
		all: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skerry_auth_login_failures_total",
			Help: "Logins that were refused, by their form, and whether they were wrong or came too often to be looked at.",
		}, []string{"method", "result"}),
		failed: map[Method]prometheus.Counter{}, limited: map[Method]prometheus.Counter{},
	}
	for _, m := range []Method{MethodPassword, MethodToken, MethodOIDC} {
		c.failed[m] = c.all.WithLabelValues(string(m), "failed")
		c.limited[m] = c.all.WithLabelValues(string(m), "limited")
	}
	return c
}

// Collectors are the metrics of logins.
func (a *Authority) Collectors() []prometheus.Collector {
	return []prometheus.Collector{a.refusals.all}
}
