package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// Limits. None of them can be configured but the first.
const (
	manifestBytesMax = 4 << 20 // what the spec says clients and registries should expect
	tagsMax          = 46      // of one push: as many as fit a request line of 8 KiB
	pageDefault      = 100     // repositories of a catalog page
	pageMax          = 1000    // entries of any page
	pageBytesMax     = 4 << 20 // of a page of referrers, which clients read like a manifest
)

// An Action is what a caller wants to do.
type Action string

// The actions of the distribution token specification, and the catalog.
const (
	Pull    Action = "pull"
	Push    Action = "push"
	Delete  Action = "delete"
	Catalog Action = "catalog" // see the name in the list of repositories; Repo "" is the list itself
)

// An Access is one thing asked for.
type Access struct {
	Repo   meta.RepoName
	Action Action
}

// An Authorizer decides. It is called before anything is looked up, possibly
// several times in one request, concurrently in several.
type Authorizer interface {
	// Authorize says who the caller is, if it may do everything in access. With
	// none it only says who the caller is, and whether the registry is open to
	// it at all: GET /v2/. A caller's name is the same for the same account, with
	// whatever it proves that it is, and for no other: uploads belong to it.
	//
	// The error is [ErrUnauthorized], as a [*ChallengeError] where there is one,
	// or [ErrDenied], or a [*LimitError], or one of its own, which becomes a 500. On success headers
	// may be set on w; with an error w is left alone. With ErrDenied the caller is told, too.
	Authorize(w http.ResponseWriter, r *http.Request, access ...Access) (Caller, error)
}

// A Caller is whom a request comes from.
type Caller struct {
	Name string // under which is recorded what it does: the actor of a change
	How  string // it proved who it is; for the audit only
}

// anonymous is the actor when there is no Authorizer.
const anonymous = "anonymous"

// Blobs is where the bytes are: a [blobstore.Store] or what means the same. It is
// safe for concurrent use, and its errors are those of [blobstore].
type Blobs interface {
	Stat(ctx context.Context, d digest.Digest) (blobstore.Info, error)
	// Open opens a blob, which the caller closes. An [*os.File] is sent by the kernel.
	Open(ctx context.Context, d digest.Digest) (io.ReadSeekCloser, error)
	Read(ctx context.Context, d digest.Digest, size int64, p []byte) error
	Pin(ctx context.Context, d digest.Digest) (*blobstore.Pin, error)

	Create(scope string, alg digest.Algorithm, size int64) (*blobstore.Upload, error)
	Resume(scope, id string) (*blobstore.Upload, error)
	StatUpload(scope, id string) (size int64, started time.Time, err error)
}

var _ Blobs = (*blobstore.Store)(nil)

// Config says what a registry serves.
type Config struct {
	Meta  *meta.Store
	Blobs Blobs
	// Redirect returns where a client may fetch the bytes of d itself, or "" where
	// it may not. Nil means that all bytes are sent from here.
	Redirect func(r *http.Request, d digest.Digest) (string, error)
	// Cluster is the other nodes; nil on a node alone.
	Cluster Cluster
	// Auth decides who may do what; nil lets everybody do everything.
	Auth Authorizer
	// Audit is told of every push and delete of a manifest, a tag or a blob that was
	// asked for, when it is over; nil is not. It is called concurrently.
	Audit func(r *http.Request, e Event)
	// Log gets what an operator would act on; nil discards it.
	Log *slog.Logger
	// ReadOnly refuses every write and delete with 405 while it returns true; nil is false.
	ReadOnly func() bool
	// WriteState refuses every write, but no delete, while it returns an error, and
	// the error says with what: [blobstore.ErrFull] is 507. Nil means writes are fine.
	WriteState func() error
	// Secret is distribution's HTTP.Secret, the same on every node. Not empty.
	Secret string
	// Metrics count what is done; nil counts for nobody.
	Metrics *Metrics
	// ManifestBytesMax bounds a manifest. 0 means 4 MiB, which is also the most.
	ManifestBytesMax int64
}

// front answers /v2/. It is immutable.
type front struct {
	*namespace
	auth        Authorizer
	audit       func(*http.Request, Event)
	readOnly    func() bool
	writeState  func() error
	manifestMax int64
	app         http.Handler // distribution's
}

// Handler returns the handler for /v2/ and all below it. It holds nothing that
// needs closing.
func Handler(ctx context.Context, cfg Config) (http.Handler, error) {
	if cfg.Meta == nil || cfg.Blobs == nil || cfg.Secret == "" {
		return nil, errors.New("registry: Meta, Blobs and Secret are needed")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics()
	}
	if cfg.ManifestBytesMax == 0 {
		cfg.ManifestBytesMax = manifestBytesMax
	}
	if cfg.ManifestBytesMax < 0 || cfg.ManifestBytesMax > manifestBytesMax {
		return nil, fmt.Errorf("registry: ManifestBytesMax is %d, must be 1 to %d", cfg.ManifestBytesMax, manifestBytesMax)
	}
	h := &front{
		namespace: &namespace{
			meta: cfg.Meta, blobs: cfg.Blobs, redirect: cfg.Redirect, cluster: cfg.Cluster, log: cfg.Log, metrics: cfg.Metrics,
		},
		auth:        cfg.Auth,
		audit:       cfg.Audit,
		readOnly:    cfg.ReadOnly,
		writeState:  cfg.WriteState,
		manifestMax: cfg.ManifestBytesMax,
	}
	var err error
	if h.app, err = newApp(ctx, h.namespace, cfg.Secret); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return h, nil
}

// Header values that never change. A server only reads them, and so must we.
// Keys are canonical, so that headers can be set without looking at them.
//
//nolint:gochecknoglobals // constants, but for Go
var (
	valueVersion = []string{"registry/2.0"}
	valueJSON    = []string{"application/json"}
	valueIndex   = []string{"application/vnd.oci.image.index.v1+json"}
	valueStream  = []string{"application/octet-stream"}
	valueBytes   = []string{"bytes"}
	valueNoSniff = []string{"nosniff"}
	valueZero    = []string{"0"}
	valueTwo     = []string{"2"}
)

const (
	headVersion = "Docker-Distribution-Api-Version"
	headDigest  = "Docker-Content-Digest"
	headUUID    = "Docker-Upload-Uuid"
	headNoSniff = "X-Content-Type-Options"
)

// ServeHTTP counts a request and answers it.
func (h *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t, err := parsePath(r.URL)
	rec := h.metrics.begin(w)
	defer h.metrics.end(rec, r, t.kind)
	h.answer(rec, r, t, err)
}

// answer sends a request to its method and turns an error into an answer.
func (h *front) answer(w http.ResponseWriter, r *http.Request, t target, err error) {
	if err == nil && t.kind == kindUnknown {
		h.app.ServeHTTP(w, r) // without a grant: whatever it makes of it, it may do nothing
		return
	}
	head := w.Header()
	head[headVersion] = valueVersion
	head[headNoSniff] = valueNoSniff // content is what its pusher says, on an origin that also has a console
	if h.audit != nil && err == nil && audited(r, t) {
		seen := &witness{ResponseWriter: w}
		defer func() {
			if e := seen.event(r, t); !e.begins() && !seen.passed {
				h.audit(r, e)
			}
		}()
		w = seen
	}
	if err == nil {
		err = h.serve(w, r, t)
	}
	if err != nil {
		h.fail(w, r, t, err)
	}
}

// serve is the whole surface in one table.
func (h *front) serve(w http.ResponseWriter, r *http.Request, t target) error {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	if t.kind == kindUpload {
		if answered, err := h.elsewhere(w, r, &t); answered || err != nil {
			return err
		}
	}
	switch {
	case t.kind == kindManifest && read:
		return h.getManifest(w, r, t)
	case t.kind == kindManifest && r.Method == http.MethodPut:
		return h.putManifest(w, r, t)
	case t.kind == kindManifest && r.Method == http.MethodDelete:
		return h.deleteManifest(w, r, t)
	case t.kind == kindBlob && r.Method == http.MethodGet:
		return h.getBlob(w, r, t)
	case t.kind == kindBlob && r.Method == http.MethodHead:
		return h.headBlob(w, r, t)
	case t.kind == kindUploads && r.Method == http.MethodPost:
		return h.postUpload(w, r, t)
	case t.kind == kindUpload && r.Method == http.MethodPatch:
		return h.patchUpload(w, r, t)
	case t.kind == kindUpload && r.Method == http.MethodPut:
		return h.putUpload(w, r, t)
	case t.kind == kindUpload && r.Method == http.MethodDelete:
		return h.deleteUpload(w, r, t)
	case t.kind == kindUpload && read:
		return h.getUpload(w, r, t)
	case t.kind == kindReferrers && read:
		return h.getReferrers(w, r, t)
	case t.kind == kindTags && read:
		return h.getTags(w, r, t)
	case t.kind == kindCatalog && read:
		return h.getCatalog(w, r)
	case t.kind == kindBase && read:
		return h.getBase(w, r)
	}
	return h.serveRest(w, r, t)
}

// serveRest leaves DELETE of a blob to distribution, which does it well, and says 405
// to methods that a route does not have.
func (h *front) serveRest(w http.ResponseWriter, r *http.Request, t target) error {
	if t.kind == kindBlob && r.Method == http.MethodDelete {
		actor, err := h.allowDelete(w, r, t.repo)
		if err != nil {
			return err
		}
		delete(w.Header(), headVersion) // App adds its own
		h.app.ServeHTTP(w, r.WithContext(withGrant(r.Context(), grant{actor: actor})))
		return nil
	}
	if t.repo != "" {
		if _, err := h.allow(w, r, Access{t.repo, Pull}); err != nil {
			return err
		}
	}
	w.Header()["Allow"] = []string{methods(t.kind)}
	if r.Method == http.MethodOptions {
		w.Header()["Content-Length"] = valueZero
		return nil
	}
	return &fault{
		status: http.StatusMethodNotAllowed, code: codeUnsupported,
		message: "this path does not have the method; Allow says which",
	}
}

// methods are what a route has.
func methods(k kind) string {
	switch k {
	case kindManifest:
		return "DELETE, GET, HEAD, OPTIONS, PUT"
	case kindBlob:
		return "DELETE, GET, HEAD, OPTIONS"
	case kindUpload:
		return "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"
	case kindUploads:
		return "OPTIONS, POST"
	case kindUnknown, kindBase, kindCatalog, kindTags, kindReferrers:
	}
	return "GET, HEAD, OPTIONS"
}

// getBase is how clients ask whether this is a registry, and who they are.
func (h *front) getBase(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.allow(w, r); err != nil {
		return err
	}
	head := w.Header()
	head["Content-Type"] = valueJSON
	head["Content-Length"] = valueTwo
	if r.Method == http.MethodHead {
		return nil
	}
	_, _ = io.WriteString(w, "{}") // who went away misses nothing
	return nil
}

// allow asks for everything in access at once.
func (h *front) allow(w http.ResponseWriter, r *http.Request, access ...Access) (actor string, err error) {
	if h.auth == nil {
		return anonymous, nil
	}
	caller, err := h.auth.Authorize(w, r, access...)
	if seen, ok := w.(*witness); ok {
		seen.caller = caller
	}
	if err != nil {
		return "", err
	}
	return caller.Name, nil
}

// allowPush asks for what clients ask their tokens for when they push.
func (h *front) allowPush(w http.ResponseWriter, r *http.Request, repo meta.RepoName) (actor string, err error) {
	actor, err = h.allow(w, r, Access{repo, Pull}, Access{repo, Push})
	if err != nil {
		return "", err
	}
	return actor, h.writable()
}

// writable refuses a write that the registry's state forbids.
func (h *front) writable() error {
	if err := h.changeable(); err != nil {
		return err
	}
	if h.writeState == nil {
		return nil
	}
	return h.writeState()
}

// changeable refuses any change while the registry is read-only.
func (h *front) changeable() error {
	if h.readOnly == nil || !h.readOnly() {
		return nil
	}
	return &fault{
		status: http.StatusMethodNotAllowed, code: codeUnsupported,
		message: "the registry is read-only: pulling works, pushing and deleting do not, until an administrator ends it",
	}
}

// allowDelete leaves writeState alone: on a full disk deleting is the way out.
func (h *front) allowDelete(w http.ResponseWriter, r *http.Request, repo meta.RepoName) (actor string, err error) {
	actor, err = h.allow(w, r, Access{repo, Delete})
	if err != nil {
		return "", err
	}
	return actor, h.changeable()
}
