package appliance

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"skerry.dev/skerry/kube/resource"
)

// A limiter lets so many requests run and so many wait, as the registry of
// OpenShift does it: a request counts from its first byte to its last, so a
// long upload holds its place until it is done.
type limiter struct {
	running, waiting chan struct{} // what fits is what is allowed
	waitMax          time.Duration // 0: as long as it takes
}

// newLimiter returns nil where there is no limit.
func newLimiter(l resource.Limits) *limiter {
	if l.MaxRunning <= 0 {
		return nil
	}
	return &limiter{make(chan struct{}, l.MaxRunning), make(chan struct{}, max(0, l.MaxInQueue)), l.MaxWait}
}

// enter reports whether a request may run; leave must follow then.
func (l *limiter) enter(ctx context.Context) bool {
	select {
	case l.running <- struct{}{}:
		return true
	default:
	}
	select {
	case l.waiting <- struct{}{}:
		defer func() { <-l.waiting }()
	default:
		return false
	}
	if l.waitMax > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.waitMax)
		defer cancel()
	}
	select {
	case l.running <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *limiter) leave() { <-l.running }

// ruled serves h as the Config object wants it.
func (a *Appliance) ruled(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rule := a.rule.Load()
		if rule.State == resource.Removed {
			deny(w, http.StatusServiceUnavailable, "UNAVAILABLE", errRemoved.Error())
			return
		}
		limit := rule.writes
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			limit = rule.reads
		}
		if limit == nil {
			h.ServeHTTP(w, r)
			return
		}
		if !limit.enter(r.Context()) {
			w.Header().Set("Retry-After", "1")
			deny(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "Too many requests, please try again later.")
			return
		}
		defer limit.leave()
		h.ServeHTTP(w, r)
	})
}

// deny answers a request of the registry in its clients' words.
func deny(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body := map[string]any{"errors": []map[string]string{{"code": code, "message": message}}}
	_ = json.NewEncoder(w).Encode(body) // who went away does not try again
}
