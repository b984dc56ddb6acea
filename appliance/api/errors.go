package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"skerry.dev/skerry/meta"
)

var (
	// ErrUnauthorized is wrapped by Admit for a caller that is not known.
	ErrUnauthorized = errors.New("api: unauthorized")
	// ErrForbidden is wrapped by Admit for a caller that may not administer.
	ErrForbidden = errors.New("api: forbidden")
	// ErrInvalid is wrapped by an Operator for a request that makes no sense.
	ErrInvalid = errors.New("api: invalid request")

	// ErrConflict is wrapped by an Operator for a change that must not be made as
	// things are.
	ErrConflict = errors.New("api: conflict")

	errBadRequest      = errors.New("bad request")
	errNoSuchOperation = errors.New("no such operation: see skerry --help for what there is")
)

// A LimitError is returned by Admit for a caller that has to wait first.
type LimitError struct {
	RetryAfter int // seconds
}

// Error says how long.
func (e *LimitError) Error() string {
	return fmt.Sprintf("api: too many failed logins, try again in %d seconds", e.RetryAfter)
}

// fail answers with err. What is not the caller's doing is also logged.
func (h handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := failure(err)
	if f.Code == http.StatusInternalServerError {
		h.Log.ErrorContext(r.Context(), "control request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	w.Header().Set("Content-Type", contentJSON)
	if f.Code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="Skerry"`)
	}
	var limit *LimitError
	if errors.As(err, &limit) {
		w.Header().Set("Retry-After", strconv.Itoa(limit.RetryAfter))
	}
	w.WriteHeader(f.Code)
	_ = json.NewEncoder(w).Encode(f) // the caller went away: nothing left to tell
}

// failure is the one place where an error becomes a status.
func failure(err error) *Failure {
	code, reason := http.StatusInternalServerError, "InternalError"
	immutable := new(meta.ImmutableError)
	switch {
	case errors.Is(err, ErrUnauthorized):
		code, reason = http.StatusUnauthorized, "Unauthorized"
	case errors.As(err, new(*LimitError)):
		code, reason = http.StatusTooManyRequests, "TooManyRequests"
	case errors.Is(err, ErrForbidden):
		code, reason = http.StatusForbidden, "Forbidden"
	case errors.Is(err, meta.ErrNotFound), errors.Is(err, meta.ErrRepositoryUnknown), errors.Is(err, errNoSuchOperation):
		code, reason = http.StatusNotFound, "NotFound"
	case errors.Is(err, meta.ErrConflict), errors.Is(err, ErrConflict), errors.As(err, &immutable):
		code, reason = http.StatusConflict, "Conflict"
	case errors.Is(err, meta.ErrName), errors.Is(err, ErrInvalid), errors.Is(err, errBadRequest):
		code, reason = http.StatusBadRequest, "BadRequest"
	case errors.Is(err, meta.ErrFull):
		code, reason = http.StatusInsufficientStorage, "InsufficientStorage"
	case errors.Is(err, meta.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		code, reason = http.StatusServiceUnavailable, "ServiceUnavailable"
	}
	return &Failure{
		Kind: "Status", APIVersion: "v1", Status: "Failure",
		Message: err.Error(), Reason: reason, Code: code,
	}
}
