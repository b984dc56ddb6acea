package appliance

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/skerry/appliance/api"
)

// A job measures a kind of upkeep that runs now and then.
type job struct {
	runs              *prometheus.CounterVec
	succeeded, failed prometheus.Counter // of runs
	success, duration prometheus.Gauge
}

// newJob returns the metrics of a part whose runs are called what; never says
// what stands for the last success before there was one.
func newJob(part, what, never string) *job {
	j := &job{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skerry_" + part + "_runs_total",
			Help: "How often a " + what + " ended, and how. One that was called off counts as neither.",
		}, []string{"result"}),
		success: gauge(part+"_last_success_timestamp_seconds",
			"When a "+what+" last succeeded; "+never+"."),
		duration: gauge(part+"_last_duration_seconds", "How long the last "+what+" took."),
	}
	j.succeeded = j.runs.WithLabelValues("success")
	j.failed = j.runs.WithLabelValues("failure")
	return j
}

// Collectors are the metrics of the job.
func (j *job) Collectors() []prometheus.Collector {
	return []prometheus.Collector{j.runs, j.success, j.duration}
}

// ended counts a run that began at begun and ends now, unless it only rehearsed,
// was called off, or was asked for in a way that makes no sense. It is for a
// defer, hence the pointer.
func (j *job) ended(rehearsal bool, begun time.Time, err *error) {
	if rehearsal || errors.Is(*err, context.Canceled) || errors.Is(*err, api.ErrInvalid) {
		return
	}
	j.duration.Set(time.Since(begun).Seconds())
	if *err != nil {
		j.failed.Inc()
		return
	}
	j.succeeded.Inc()
	j.success.SetToCurrentTime()
}
