package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"skerry.dev/skerry/meta"
)

// Prefix is where Skerry's own operations are served.
const Prefix = "/apis/skerry.dev/v1"

const (
	backupPath  = Prefix + "/backup"
	bodyMax     = 1 << 20 // bytes of a request
	contentJSON = "application/json"
	contentTar  = "application/x-tar"
)

// Config says what is served, and to whom.
type Config struct {
	Operator Operator
	// Admit returns who sends the request. Its error is answered as it is: it
	// wraps [ErrUnauthorized] or [ErrForbidden].
	Admit func(r *http.Request) (actor string, err error)
	// Audit is told of every operation that changed something or was to, and of
	// backups, when it is over; and of what Admit has forbidden, with no actor.
	Audit func(r *http.Request, actor string, err error)
	Log   *slog.Logger
}

type handler struct {
	Config
}

// An operation answers one kind of request, of a caller that was let in.
type operation func(w http.ResponseWriter, r *http.Request, actor string) error

// Handler serves the control API under /apis/, and core objects under /api/.
func Handler(cfg Config) http.Handler {
	h := handler{cfg}
	op := cfg.Operator
	mux := http.NewServeMux()
	on := func(pattern string, f operation) {
		mux.Handle(pattern, h.admitted(f))
	}

	on("GET "+Prefix+"/status", answer(func(r *http.Request, _ string, _ struct{}) (Status, error) {
		return op.Status(r.Context())
	}))
	on("POST "+Prefix+"/collect", answer(func(r *http.Request, _ string, q CollectRequest) (meta.CollectReport, error) {
		return op.Collect(r.Context(), q.DryRun)
	}))
	on("POST "+Prefix+"/prune", answer(func(r *http.Request, actor string, q PruneRequest) (meta.PruneReport, error) {
		return op.Prune(r.Context(), q, actor)
	}))
	on("GET "+Prefix+"/history", answer(func(r *http.Request, _ string, _ struct{}) ([]meta.TagEvent, error) {
		repo, tag, err := namesIn(r)
		if err != nil {
			return nil, err
		}
		return op.History(r.Context(), repo, tag)
	}))
	on("GET "+Prefix+"/deleted", answer(func(r *http.Request, _ string, _ struct{}) ([]meta.Deleted, error) {
		repo, err := meta.ParseRepoName(r.URL.Query().Get("repository"))
		if err != nil {
			return nil, err
		}
		return op.Deleted(r.Context(), repo)
	}))
	on("POST "+Prefix+"/undelete", answer(func(r *http.Request, actor string, q UndeleteRequest) (struct{}, error) {
		return struct{}{}, op.Undelete(r.Context(), q, actor)
	}))
	on("GET "+Prefix+"/tagrules", answer(func(r *http.Request, _ string, _ struct{}) ([]meta.TagRule, error) {
		return op.TagRules(r.Context())
	}))
	on("PUT "+Prefix+"/tagrules", answer(func(r *http.Request, actor string, q []meta.TagRule) (struct{}, error) {
		return struct{}{}, op.SetTagRules(r.Context(), q, actor)
	}))
	on("POST "+Prefix+"/reload", answer(func(r *http.Request, _ string, _ struct{}) (ReloadReport, error) {
		return op.Reload(r.Context())
	}))
	access(op, on)
	clustered(op, on)
	on("POST "+Prefix+"/scrub", h.scrub)
	on("POST "+Prefix+"/check", h.check)
	on("GET "+backupPath, h.backup)
	objects(op, on)
	for _, rest := range []string{"/apis/", "/api/"} {
		on(rest, func(http.ResponseWriter, *http.Request, string) error { return errNoSuchOperation })
	}
	return mux
}

func namesIn(r *http.Request) (meta.RepoName, meta.Tag, error) {
	q := r.URL.Query()
	repo, err := meta.ParseRepoName(q.Get("repository"))
	if err != nil {
		return "", "", err
	}
	tag, err := meta.ParseTag(q.Get("tag"))
	return repo, tag, err
}

// Admitted serves next, which is no operation of the API, to callers that
// cfg.Admit lets in.
func Admitted(cfg Config, next http.Handler) http.Handler {
	return handler{cfg}.admitted(func(w http.ResponseWriter, r *http.Request, _ string) error {
		next.ServeHTTP(w, r)
		return nil
	})
}

// admitted runs f for callers that Admit lets in, and turns errors into answers.
func (h handler) admitted(f operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor, err := h.Admit(r)
		audited := errors.Is(err, ErrForbidden)
		if err == nil {
			err = f(w, r, actor)
			audited = r.Method != http.MethodGet || r.URL.Path == backupPath
		}
		if audited {
			h.Audit(r, actor, err)
		}
		if err != nil {
			h.fail(w, r, err)
		}
	})
}

// answer makes a handler of a function from one JSON value to another.
func answer[Q, A any](f func(*http.Request, string, Q) (A, error)) operation {
	return func(w http.ResponseWriter, r *http.Request, actor string) error {
		var q Q
		if r.Method != http.MethodGet {
			if err := readJSON(r, &q); err != nil {
				return err
			}
		}
		a, err := f(r, actor, q)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", contentJSON)
		return json.NewEncoder(w).Encode(a)
	}
}

// readJSON reads a body strictly. An empty body is the zero value.
func readJSON(r *http.Request, v any) error {
	body, err := readBody(r)
	if err != nil || len(body) == 0 {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", errBadRequest, err)
	}
	return nil
}

func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, bodyMax+1))
	if err != nil {
		return nil, fmt.Errorf("%w: read body: %w", errBadRequest, err)
	}
	if len(body) > bodyMax {
		return nil, fmt.Errorf("%w: body is over %d bytes", errBadRequest, bodyMax)
	}
	return body, nil
}

func (h handler) scrub(w http.ResponseWriter, r *http.Request, _ string) error {
	var q ScrubRequest
	if err := readJSON(r, &q); err != nil {
		return err
	}
	return h.stream(w, r, func(ctx context.Context, send func(event)) error {
		report, err := h.Operator.Scrub(ctx, q, func(p ScrubReport) { send(event{Scrub: &p}) })
		if err == nil {
			send(event{Scrub: &report})
		}
		return err
	})
}

func (h handler) check(w http.ResponseWriter, r *http.Request, _ string) error {
	return h.stream(w, r, func(ctx context.Context, send func(event)) error {
		return h.Operator.Check(ctx, func(p meta.Problem) { send(event{Problem: &p}) })
	})
}

// stream answers with events as they come. The status is 200 before the
// outcome is known; the last line tells it.
func (h handler) stream(w http.ResponseWriter, r *http.Request, f func(context.Context, func(event)) error) error {
	w.Header().Set("Content-Type", "application/jsonl")
	enc, flush := json.NewEncoder(w), http.NewResponseController(w)
	send := func(e event) {
		_ = enc.Encode(e) // a caller that went away ends the operation through its context
		_ = flush.Flush()
	}
	if err := f(r.Context(), send); err != nil {
		if r.Context().Err() == nil {
			send(event{Failure: failure(err)})
		}
		return nil
	}
	send(event{Done: true})
	return nil
}

// backup streams the archive. A failure half-way breaks the connection, so
// that nobody takes the torn archive for a whole one.
func (h handler) backup(w http.ResponseWriter, r *http.Request, _ string) error {
	w.Header().Set("Content-Type", contentTar)
	out := &counted{w: w}
	err := h.Operator.Backup(r.Context(), out)
	if err == nil || out.n == 0 {
		return err
	}
	if !errors.Is(err, context.Canceled) {
		h.Log.ErrorContext(r.Context(), "backup broke off", "err", err)
	}
	panic(http.ErrAbortHandler)
}

// counted knows whether anything was written.
type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
