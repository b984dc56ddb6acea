package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/appliance/registry"
)

// auditMessage is the message of every audit record.
const auditMessage = "audit"

// auditNameMax is how much of a name that nobody has is recorded, in bytes.
const auditNameMax = 255

// An audit records who did what: pushes, deletes, logins that were refused, and
// what administrators do.
type audit struct {
	log  *slog.Logger
	file *auditFile // nil: records go to the ordinary log
}

// openAudit opens the file at path for records in JSON lines; without a path they
// go to log.
func openAudit(path string, log *slog.Logger) (*audit, error) {
	if path == "" {
		return &audit{log: log}, nil
	}
	f := &auditFile{path: path, log: log}
	if err := f.reopen(); err != nil {
		return nil, err
	}
	return &audit{log: slog.New(slog.NewJSONHandler(f, nil)), file: f}, nil
}

// reopen opens the audit file anew, after logrotate has renamed it. On an error
// records go on into the file that is open.
func (a *audit) reopen() error {
	if a.file == nil {
		return nil
	}
	return a.file.reopen()
}

func (a *audit) close() error {
	if a.file == nil {
		return nil
	}
	return a.file.close()
}

func (a *audit) loginFailed(ctx context.Context, f auth.Failure) {
	result := "failed"
	if errors.As(f.Err, new(*auth.LimitError)) {
		result = "refused" // until it passes again nothing more is recorded
	}
	a.log.WarnContext(ctx, auditMessage, "act", "login", "who", f.Name[:min(len(f.Name), auditNameMax)], "from", f.Address,
		"how", f.Method, "result", result, "err", f.Err)
}

// registryEvent records a push or a delete. Who did not come in did nothing, and
// loginFailed tells of it. Who came in was found out when the request began: a token
// may have ended while a large blob was sent.
func (a *Appliance) registryEvent(r *http.Request, e registry.Event) {
	if e.Status == http.StatusUnauthorized || e.Status == http.StatusTooManyRequests {
		return
	}
	log := a.audit.log.With("act", e.Action, "who", e.Caller.Name, "from", r.RemoteAddr, "how", e.Caller.How,
		"object", e.Object, "repo", e.Repo, "reference", e.Reference, "digest", e.Digest)
	if e.Status == http.StatusCreated {
		log = log.With("size", e.Size)
	}
	if len(e.Tags) > 0 {
		log = log.With("tags", e.Tags)
	}
	if e.Source != "" {
		log = log.With("source", e.Source)
	}
	log.InfoContext(r.Context(), auditMessage, "result", resultOf(e.Status), "status", e.Status)
}

func resultOf(status int) string {
	switch {
	case status < http.StatusBadRequest:
		return "done"
	case status == http.StatusForbidden:
		return "denied"
	}
	return "failed"
}

// controlEvent records what was asked of the control API over the network.
func (a *Appliance) controlEvent(r *http.Request, actor string, err error) {
	how := auth.MethodNone
	if p, err := a.authority.Authenticate(r); err == nil {
		actor, how = p.String(), p.Method
	}
	a.audit.admin(r, actor, r.RemoteAddr, how, err)
}

// localEvent records what was asked through the socket.
func (a *Appliance) localEvent(r *http.Request, actor string, err error) {
	a.audit.admin(r, actor, "socket", "owner", err)
}

func (a *audit) admin(r *http.Request, who, from string, how auth.Method, err error) {
	log := a.log.With("act", "admin", "who", who, "from", from, "how", how, "what", r.Method+" "+r.URL.RequestURI())
	switch {
	case errors.Is(err, api.ErrForbidden):
		log.InfoContext(r.Context(), auditMessage, "result", "denied")
	case err != nil:
		log.InfoContext(r.Context(), auditMessage, "result", "failed", "err", err)
	default:
		log.InfoContext(r.Context(), auditMessage, "result", "done")
	}
}

// An auditFile is a file that is appended to, and can be opened anew.
type auditFile struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex // guards what follows
	f       *os.File
	failing bool
}

// Write implements [io.Writer]: one record, in one write. That records are lost is
// said once, when it begins.
func (f *auditFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.f.Write(p)
	if err != nil && !f.failing {
		f.log.Error("audit records are lost: the file cannot be written", "file", f.path, "err", err)
	}
	f.failing = err != nil
	return n, err
}

func (f *auditFile) reopen() error {
	next, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f != nil {
		_ = f.f.Close() // every record was written when it was made
	}
	f.f = next
	return nil
}

func (f *auditFile) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.f.Close()
}
