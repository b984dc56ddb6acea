package registry

import (
	"net/http"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// An Event is a push or a delete that is over. Who did it is the Authorizer's to
// tell from the request.
type Event struct {
	Action    Action // Push or Delete
	Repo      meta.RepoName
	Reference string        // as it was asked for: a tag or a digest
	Digest    digest.Digest // of what was pushed; "" when it was not, or is the reference
	Status    int           // of the answer: below 400 it is done
}

// audited says whether a request is to be recorded: it changes what others pull.
// Blobs that are pushed are not that until a manifest refers to them.
func audited(r *http.Request, t target) bool {
	switch t.kind { //nolint:exhaustive // the rest changes nothing
	case kindManifest:
		return r.Method == http.MethodPut || r.Method == http.MethodDelete
	case kindBlob:
		return r.Method == http.MethodDelete
	}
	return false
}

// A witness sees how an answer begins.
type witness struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *witness) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find what it wraps.
func (w *witness) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *witness) event(r *http.Request, t target) Event {
	e := Event{Action: Push, Repo: t.repo, Reference: t.ref, Status: w.status}
	if e.Reference == "" {
		e.Reference = t.digest.String()
	}
	if r.Method == http.MethodDelete {
		e.Action = Delete
	}
	if d := digest.Digest(w.Header().Get(headDigest)); d.String() != e.Reference {
		e.Digest = d
	}
	if e.Status == 0 {
		e.Status = statusClientGone
	}
	return e
}
