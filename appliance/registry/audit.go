package registry

import (
	"net/http"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// An Object is what was pushed or deleted.
type Object string

// The objects. A tag is set, and deleted, as a manifest's.
const (
	ObjectManifest Object = "manifest"
	ObjectBlob     Object = "blob"
)

// An Event is a push or a delete that is over.
type Event struct {
	Action    Action // Push or Delete
	Object    Object
	Caller    Caller // who asked; the zero value when the Authorizer did not say
	Repo      meta.RepoName
	Reference string        // as it was asked for: a tag or a digest; "" when no valid one was given
	Digest    digest.Digest // "" when it is not known
	Tags      []string      // which the push of a manifest set beside its reference
	Size      int64         // of what was pushed; 0 when it was not
	Source    meta.RepoName // where a blob was mounted from; "" when its bytes were sent
	Status    int           // of the answer: below 400 it is done
}

// begins says whether the answer only told where an upload goes on.
func (e Event) begins() bool {
	return e.Object == ObjectBlob && e.Action == Push && e.Status == http.StatusAccepted
}

// audited says whether a request is to be recorded: one that brings content or takes
// it away. Who may not push an image is told so when its first blob's upload is to
// begin, so that is looked at as well; the chunks in between are not.
func audited(r *http.Request, t target) bool {
	switch t.kind { //nolint:exhaustive // the rest changes nothing
	case kindManifest:
		return r.Method == http.MethodPut || r.Method == http.MethodDelete
	case kindBlob:
		return r.Method == http.MethodDelete
	case kindUploads:
		return r.Method == http.MethodPost
	case kindUpload:
		return r.Method == http.MethodPut
	}
	return false
}

// A witness sees how an answer begins, and is told what only handlers know.
type witness struct {
	http.ResponseWriter
	status int
	caller Caller
	size   int64
	source meta.RepoName
	passed bool // on to another node, which records it and knows who it was
}

// testify tells the witness, if w is one, what a push brought, and from where if its
// bytes were not sent.
func testify(w http.ResponseWriter, size int64, source meta.RepoName) {
	if seen, ok := w.(*witness); ok {
		seen.size, seen.source = size, source
	}
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
	e := Event{
		Action: Push, Object: ObjectBlob, Caller: w.caller, Repo: t.repo, Digest: t.digest, Tags: w.Header()["Oci-Tag"],
		Size: w.size, Source: w.source, Status: w.status,
	}
	switch t.kind {
	case kindManifest:
		e.Object, e.Reference = ObjectManifest, t.ref
	case kindBlob:
		e.Reference = t.digest.String()
	default:
		e.Digest = uploaded(r)
		e.Reference = e.Digest.String()
	}
	if r.Method == http.MethodDelete {
		e.Action = Delete
	}
	if d := w.Header().Get(headDigest); d != "" {
		e.Digest = digest.Digest(d)
	}
	if e.Status == 0 {
		e.Status = statusClientGone
	}
	return e
}

// uploaded is the digest that a request for an upload names, or "".
func uploaded(r *http.Request) digest.Digest {
	q := r.URL.Query()
	for _, s := range []string{q.Get("digest"), q.Get("mount")} {
		if d, err := parseDigest(s); err == nil {
			return d
		}
	}
	return ""
}
