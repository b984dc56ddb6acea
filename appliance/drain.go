package appliance

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"skerry.dev/skerry/appliance/api"
)

const (
	// settleTime is how long a stop waits for the next request of a push whose
	// last one has just ended.
	settleTime = time.Second
	// lastWords is how long handlers may take to notice that their connection
	// was cut.
	lastWords = 5 * time.Second
	// settlePoll is how often a stop looks whether requests are done.
	settlePoll = 20 * time.Millisecond
	// retryAfter, in seconds, is about how long a restart takes.
	retryAfter = "5"
)

// traffic counts the requests of the public address, so that a stop can wait
// for them. It is safe for concurrent use; the zero value is ready.
type traffic struct {
	running atomic.Int64
	pushed  atomic.Int64 // Unix nanoseconds at which a request of a push last ended
}

// counted serves h, until the appliance stops: what is new is refused then,
// while probes are answered and uploads that had begun are taken to their end.
func (a *Appliance) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.traffic.running.Add(1) // before closing is read: a stop sees this request, or this request the stop
		defer a.traffic.running.Add(-1)
		if a.closing.Load() && !finishing(r) {
			refuse(w, r, a.notClosing())
			return
		}
		h.ServeHTTP(w, r)
		if r.Method != http.MethodGet && r.Method != http.MethodHead && strings.HasPrefix(r.URL.Path, "/v2/") {
			a.traffic.pushed.Store(time.Now().UnixNano())
		}
	})
}

// finishing reports whether a request is one of those that a stop waits for, or
// asks how it is going.
func finishing(r *http.Request) bool {
	path := r.URL.Path
	if strings.HasPrefix(path, "/v2/") {
		_, session, ok := strings.Cut(path, "/blobs/uploads/")
		return ok && session != ""
	}
	// A push may need a new token before it can go on.
	return path == "/token" || strings.HasSuffix(path, "z") || strings.HasPrefix(path, "/readyz/")
}

// refuse answers 503 in the words that the path's clients understand.
func refuse(w http.ResponseWriter, r *http.Request, why error) {
	head := w.Header()
	head.Set("Retry-After", retryAfter)
	head.Set("Connection", "close")
	text := why.Error() + ": try again"
	var body any = map[string]any{"errors": []map[string]string{{"code": "UNAVAILABLE", "message": text}}}
	if strings.HasPrefix(r.URL.Path, "/api") {
		body = &api.Failure{
			Kind: "Status", APIVersion: "v1", Status: "Failure",
			Message: text, Reason: "ServiceUnavailable", Code: http.StatusServiceUnavailable,
		}
	}
	head.Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(body) // who went away does not try again
}

// quiet reports whether no request runs and no push is between two of them.
func (t *traffic) quiet() bool {
	return t.running.Load() == 0 && time.Since(time.Unix(0, t.pushed.Load())) >= settleTime
}

// wait returns when is says so, or ctx ends.
func wait(ctx context.Context, is func() bool) {
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// drain ends the servers, the public one first. Readiness says no from now on,
// running requests have the drain timeout, the rest is cut off: what an upload
// has brought stays on the disk, for the client to go on from after the start.
func (a *Appliance) drain(ctx context.Context, servers ...*http.Server) error {
	a.closing.Store(true)
	ctx = context.WithoutCancel(ctx) // it has ended: that is why we stop
	limit, cancel := context.WithTimeout(ctx, a.config().DrainTimeout)
	defer cancel()
	wait(limit, a.traffic.quiet)
	a.queue(limit)
	for _, srv := range servers {
		if srv.Shutdown(limit) == nil {
			continue
		}
		a.log.WarnContext(ctx, "requests were cut off", "public_requests", a.traffic.running.Load())
		if err := srv.Close(); err != nil {
			return err
		}
	}
	// Handlers use what Close closes.
	last, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	wait(last, func() bool { return a.traffic.running.Load() == 0 })
	return nil
}
