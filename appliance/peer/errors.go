package peer

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode"
)

var (
	// ErrNotSent says that the other node certainly did not act: it was not
	// reached, or did not let this one in.
	ErrNotSent = errors.New("peer: not sent")

	// ErrStalled says that the other side was silent for too long.
	ErrStalled = errors.New("peer: stalled")

	// ErrNotMember says that the asking node is none of the cluster's, any more.
	ErrNotMember = errors.New("peer: not a member of the cluster")

	// ErrUnknownCall says that the other node knows no such call: it is older.
	ErrUnknownCall = errors.New("peer: unknown call")

	// ErrRequest says that the other node could make nothing of the request.
	ErrRequest = errors.New("peer: bad request")

	// ErrTooLarge says that a body exceeds its limit.
	ErrTooLarge = errors.New("peer: too large")

	// ErrLoop says that a request was passed on once, and is not a second time.
	ErrLoop = errors.New("peer: passed on already")

	// ErrAnswer says that what the other node answered makes no sense.
	ErrAnswer = errors.New("peer: bad answer")
)

// A Sentinel is an error that keeps its identity between nodes. Codes are part
// of the protocol: one never gets another meaning.
type Sentinel struct {
	Code   string // lower case letters, digits and dashes
	Err    error
	Status int // of HTTP; 0 means 503
}

// builtIn are this package's own.
func builtIn() []Sentinel {
	return []Sentinel{
		{"not-member", ErrNotMember, http.StatusForbidden},
		{"unknown-call", ErrUnknownCall, http.StatusNotFound},
		{"bad-request", ErrRequest, http.StatusBadRequest},
		{"too-large", ErrTooLarge, http.StatusRequestEntityTooLarge},
		{"loop", ErrLoop, http.StatusLoopDetected},
		{"stalled", ErrStalled, http.StatusRequestTimeout},
		{"token-wrong", ErrTokenWrong, http.StatusForbidden},
		{"token-expired", ErrTokenExpired, http.StatusForbidden},
		{"token-unknown", ErrTokenUnknown, http.StatusForbidden},
	}
}

// A table finds sentinels; those of the caller come first.
type table []Sentinel

func newTable(more []Sentinel) table {
	t := make(table, 0, len(more)+9)
	for _, s := range append(append(t, more...), builtIn()...) {
		if s.Status == 0 {
			s.Status = http.StatusServiceUnavailable
		}
		t = append(t, s)
	}
	return t
}

// of is the sentinel that an error is, or one without a code.
func (t table) of(err error) Sentinel {
	for _, s := range t {
		if errors.Is(err, s.Err) {
			return s
		}
	}
	return Sentinel{Status: http.StatusInternalServerError}
}

// fail answers with an error.
func (t table) fail(w http.ResponseWriter, err error) {
	s := t.of(err)
	h := w.Header()
	if s.Code != "" {
		h.Set(headerError, s.Code)
	}
	message := err.Error()
	message = message[:min(len(message), messageMax)]
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(message)))
	w.WriteHeader(s.Status)
	_, _ = io.WriteString(w, message) // who went away learns nothing
}

// A RemoteError is what another node answered instead of what was asked for. It
// is the sentinel of its code.
type RemoteError struct {
	Server  string // who answered
	Status  int
	Code    string // "" is for one without identity
	Message string // in the words of that node
	err     error
}

// Error tells whose words they are.
func (e *RemoteError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("%s answered %d", e.Server, e.Status)
	}
	return e.Server + ": " + e.Message
}

// Unwrap gives the sentinel, if there is one here, too.
func (e *RemoteError) Unwrap() error { return e.err }

// failure reads what fail wrote. The caller closes the body.
func (t table) failure(server string, resp *http.Response) error {
	e := &RemoteError{Server: server, Status: resp.StatusCode, Code: resp.Header.Get(headerError)}
	// A message that is cut tells enough.
	b, _ := io.ReadAll(io.LimitReader(resp.Body, messageMax))
	e.Message = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, string(b))
	for _, s := range t {
		if e.Code != "" && s.Code == e.Code {
			e.err = s.Err
			break
		}
	}
	return e
}
