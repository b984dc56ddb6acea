package registry

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count what a registry does. One belongs to one [Handler]. Every
// counter a request can meet is resolved when it is made: counting a request
// looks nothing up by name and allocates nothing.
type Metrics struct {
	inFlight   atomic.Int64
	requests   *prometheus.CounterVec
	durations  *prometheus.HistogramVec
	operations *prometheus.CounterVec
	received   *prometheus.CounterVec
	sent       *prometheus.CounterVec

	readStale prometheus.Counter

	byRoute [kinds][methodCount]*series // nil where a route does not have the method

	manifestPulled, manifestPushed, manifestDeleted, tagDeleted,
	blobPulled, blobPushed, blobMounted, blobDeleted prometheus.Counter // of operations
	manifestReceived, blobReceived        prometheus.Counter // of received
	manifestSent, blobSent, somethingSent prometheus.Counter // of sent
}

// A series is what is counted of one method of one route.
type series struct {
	classes  [4]prometheus.Counter // 2xx to 5xx
	duration prometheus.Observer
}

// The methods that are told apart. Whatever else a client makes up is the last.
const (
	methodGet = iota
	methodHead
	methodPut
	methodPost
	methodPatch
	methodDelete
	methodOther
	methodCount
)

func methodOf(name string) int {
	switch name {
	case http.MethodGet:
		return methodGet
	case http.MethodHead:
		return methodHead
	case http.MethodPut:
		return methodPut
	case http.MethodPost:
		return methodPost
	case http.MethodPatch:
		return methodPatch
	case http.MethodDelete:
		return methodDelete
	}
	return methodOther
}

// route is what a kind of path is called in metrics.
func (k kind) route() string {
	return [kinds]string{
		"other", "ping", "catalog", "tags", "manifest", "blob", "uploads", "upload", "referrers",
	}[k]
}

// NewMetrics returns metrics with all counters at 0.
func NewMetrics() *Metrics {
	m := &Metrics{
		requests: counters("requests_total", "Requests answered, by route, method and class of status code. "+
			"A client that went away before its answer counts as 4xx.", "route", "method", "code"),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "skerry_registry_request_duration_seconds",
			Help:    "How long requests took, bodies included, which clients may send and take slowly.",
			Buckets: []float64{0.0005, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60},
		}, []string{"route", "method"}),
		operations: counters("operations_total", "What succeeded: pulls (GET), pushes, mounts and deletes of manifests, "+
			"blobs and tags.", "object", "operation"),
		received: counters("received_bytes_total", "Bytes of blobs and manifests received from clients.", "object"),
		sent:     counters("sent_bytes_total", "Bytes of blobs, manifests and other answers sent to clients.", "object"),
		readStale: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skerry_registry_stale_reads_total",
			Help: "Answers that no other node could confirm, and that said so (Warning: 110).",
		}),
	}
	for i := range kinds {
		k := kind(i)
		for _, name := range append(strings.Split(methods(k), ", "), "OTHER") {
			if method := methodOf(name); method != methodOther || name == "OTHER" {
				m.byRoute[k][method] = m.series(k, name)
			}
		}
	}
	m.resolve()
	return m
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "skerry_registry_" + name, Help: help}, labels)
}

func (m *Metrics) series(k kind, method string) *series {
	s := &series{duration: m.durations.WithLabelValues(k.route(), method)}
	for i, class := range []string{"2xx", "3xx", "4xx", "5xx"} {
		s.classes[i] = m.requests.WithLabelValues(k.route(), method, class)
	}
	return s
}

// resolve fills in the counters that are used by name.
func (m *Metrics) resolve() {
	m.manifestPulled = m.operations.WithLabelValues("manifest", "pull")
	m.manifestPushed = m.operations.WithLabelValues("manifest", "push")
	m.manifestDeleted = m.operations.WithLabelValues("manifest", "delete")
	m.tagDeleted = m.operations.WithLabelValues("tag", "delete")
	m.blobPulled = m.operations.WithLabelValues("blob", "pull")
	m.blobPushed = m.operations.WithLabelValues("blob", "push")
	m.blobMounted = m.operations.WithLabelValues("blob", "mount")
	m.blobDeleted = m.operations.WithLabelValues("blob", "delete")
	m.manifestReceived = m.received.WithLabelValues("manifest")
	m.blobReceived = m.received.WithLabelValues("blob")
	m.manifestSent = m.sent.WithLabelValues("manifest")
	m.blobSent = m.sent.WithLabelValues("blob")
	m.somethingSent = m.sent.WithLabelValues("other")
}

// Collectors are the metrics, for a registry of the caller's.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.requests, m.durations, m.operations, m.received, m.sent, m.readStale,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "skerry_registry_requests_in_flight",
			Help: "Requests that are being answered.",
		}, func() float64 { return float64(m.inFlight.Load()) }),
	}
}

// begin returns what w is to be answered through. It is given back to end.
func (m *Metrics) begin(w http.ResponseWriter) *recorder {
	m.inFlight.Add(1)
	rec := recorders.Get().(*recorder)
	*rec = recorder{ResponseWriter: w, begun: time.Now()}
	return rec
}

// end counts a request that was answered through rec, which is not to be used
// any more.
func (m *Metrics) end(rec *recorder, r *http.Request, k kind) {
	method := methodOf(r.Method)
	s := m.byRoute[k][method]
	if s == nil {
		s = m.byRoute[k][methodOther]
	}
	status := rec.code(r)
	s.classes[min(max(status/100, 2), 5)-2].Inc()
	s.duration.Observe(time.Since(rec.begun).Seconds())
	m.countSent(k, rec.sent)
	if method == methodGet && status < http.StatusMultipleChoices {
		m.countPull(k)
	}
	m.inFlight.Add(-1)
	rec.ResponseWriter = nil
	recorders.Put(rec)
}

func (m *Metrics) countSent(k kind, n int64) {
	to := m.somethingSent
	switch k {
	case kindManifest:
		to = m.manifestSent
	case kindBlob:
		to = m.blobSent
	default:
	}
	to.Add(float64(n))
}

func (m *Metrics) countPull(k kind) {
	switch k {
	case kindManifest:
		m.manifestPulled.Inc()
	case kindBlob:
		m.blobPulled.Inc()
	default:
	}
}
