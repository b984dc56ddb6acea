package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// Agreement is this node's part in agreeing on commands: of raft.Node what never
// asks further.
type Agreement interface {
	ProposeHere(ctx context.Context, command []byte) (index uint64, answer []byte, err error)
	ReadIndexHere(ctx context.Context) (index uint64, err error)
}

// Config is what a node answers with. All but Errors, Join and Member are
// required.
type Config struct {
	Agreement Agreement

	// CommandMax is the size in bytes of the largest command; 0 means 16 MiB.
	CommandMax int64

	// Status tells how this node is.
	Status func(ctx context.Context) Status

	// Blob opens bytes of this node; the handler closes them. An absent one is an
	// error in Errors.
	Blob func(ctx context.Context, d digest.Digest) (io.ReadSeekCloser, error)

	// Want has digests fetched that another node wants here. It does not wait.
	Want func(ctx context.Context, from string, digests []digest.Digest) error

	// Renew renews the leases of what this node told clients of.
	Renew func(ctx context.Context) error

	// Sweep has condemned blobs unlinked. It does not wait.
	Sweep func()

	// Public answers clients' requests that other nodes pass on; [AskerOf] tells
	// whose they are.
	Public http.Handler

	// Join, if not nil, is how nodes become members.
	Join Joins

	// Client passes the requests of nodes that join on to the leader. Required
	// with Join.
	Client *Client

	// Member, if not nil, refuses a server that is not a member any more, with a
	// reason for that node.
	Member func(server string) error

	// Errors are those that keep their identity between nodes.
	Errors []Sentinel

	Log *slog.Logger
}

// Handler answers other nodes. It is to be served by [Server].
func Handler(cfg Config) http.Handler {
	if cfg.CommandMax == 0 {
		cfg.CommandMax = commandMax
	}
	h := &handler{cfg: cfg, errors: newTable(cfg.Errors), joining: make(chan struct{}, joiningAtOnce)}
	return http.HandlerFunc(h.serve)
}

type handler struct {
	cfg     Config
	errors  table
	joining chan struct{} // what fits is how many join at once
	refused gate
}

// serve sends each request to its call.
func (h *handler) serve(w http.ResponseWriter, r *http.Request) {
	id := identityOf(r)
	err := h.admit(w, id, r)
	if err == nil {
		err = h.call(w, r, id)
	}
	if err == nil {
		return
	}
	if id.protocol != protocolJoin { // joining has lines of its own
		h.cfg.Log.DebugContext(r.Context(), "request of a node failed", "server", id.server,
			"method", r.Method, "path", r.URL.Path, "err", err)
	}
	h.errors.fail(w, err)
}

// admit refuses who is no member, and who joins everything but that.
func (h *handler) admit(w http.ResponseWriter, id identity, r *http.Request) error {
	switch {
	case id.protocol == protocolJoin && r.URL.Path == pathJoin:
		w.Header().Set("Connection", "close") // once is enough
		return nil
	case id.protocol != protocolPeer || id.server == "":
		w.Header().Set("Connection", "close")
		return fmt.Errorf("%w: who joins may ask for that alone", ErrNotMember)
	case h.cfg.Member == nil:
		return nil
	}
	if err := h.cfg.Member(id.server); err != nil {
		w.Header().Set("Connection", "close")
		if h.refused.open(time.Now()) {
			h.cfg.Log.WarnContext(r.Context(), "node refused", "server", id.server, "remote", r.RemoteAddr, "err", err)
		}
		return fmt.Errorf("%w: %w", ErrNotMember, err)
	}
	return nil
}

func (h *handler) call(w http.ResponseWriter, r *http.Request, id identity) error {
	path := r.URL.Path
	if rest, ok := strings.CutPrefix(path, pathPublic); ok && strings.HasPrefix(rest, "/") {
		return h.public(w, r, id)
	}
	call, method := h.blob, http.MethodGet
	switch {
	case path == pathCommands:
		call, method = h.command, http.MethodPost
	case path == pathReadIndex:
		call, method = h.readIndex, http.MethodPost
	case path == pathStatus:
		call = h.status
	case path == pathWant:
		call, method = h.want, http.MethodPost
	case path == pathRenew:
		call, method = h.renew, http.MethodPost
	case path == pathSweep:
		call, method = h.sweep, http.MethodPost
	case path == pathJoin:
		call, method = h.join, http.MethodPost
	case !strings.HasPrefix(path, pathBlobs):
		return fmt.Errorf("%w: %.200q", ErrUnknownCall, path)
	}
	if r.Method != method && (method != http.MethodGet || r.Method != http.MethodHead) {
		return fmt.Errorf("%w: method %.20q of %s", ErrUnknownCall, r.Method, path)
	}
	return call(w, r)
}

// readBody reads a whole body of at most so many bytes. One that was cut on the
// way is an error: what it says must not happen.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	if r.ContentLength > most {
		w.Header().Set("Connection", "close")
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, r.ContentLength, most)
	}
	if p, ok := r.Body.(*pacedReader); ok && most <= smallMax {
		p.end = time.Now().Add(stallMax)
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, fmt.Errorf("%w: at most %d bytes", ErrTooLarge, most)
	case errors.Is(err, ErrStalled):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: read body: %w", ErrRequest, err)
	}
	return b, nil
}

// A gate opens once in a while, for a line in the log that strangers cause. The
// zero value is open.
type gate struct{ next atomic.Int64 }

func (g *gate) open(now time.Time) bool {
	next := g.next.Load()
	return now.UnixNano() >= next && g.next.CompareAndSwap(next, now.Add(refusedLogWait).UnixNano())
}
