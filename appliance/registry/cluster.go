package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// confirmTimeout is how long a read waits to be sure that it is not stale (I5).
const confirmTimeout = 250 * time.Millisecond

// A Cluster is what a registry of several nodes asks of the others. It is safe for
// concurrent use.
type Cluster interface {
	// Confirm returns when the metadata here has all that was acknowledged, by any
	// node, before the call. With an error it may not have, and reads say so.
	Confirm(ctx context.Context) error
	// Linked is told of a blob that this node took and that is known now: copies of it
	// can be made. It does not block.
	Linked(d digest.Digest, size int64)
	// Unsettled takes a pin over: its blob was linked, or was not, or will be. Link
	// does it again. The bytes stay until that is known.
	Unsettled(pin *blobstore.Pin, link func(context.Context) error)
	// Spread returns when those of the blobs that are known have the copies that the
	// policy wants. [ErrCopies] when they do not get them in time.
	Spread(ctx context.Context, blobs []digest.Digest) error
	// Forward passes a request on to the node whose uploads have that name, and its
	// answer back. [meta.ErrNotFound] when there is none, or it cannot be reached: the
	// upload has to be begun again.
	Forward(w http.ResponseWriter, r *http.Request, node string) error
	// Node is the name of this node's uploads: letters and digits, no two nodes' the
	// same, and always the same for one node.
	Node() string
}

// ErrCopies says that a blob did not get the copies in time that it must have.
var ErrCopies = errors.New("registry: not enough copies")

// valueStale is the Warning of an answer that nobody confirmed (RFC 9111 §5.5, 110).
//
//nolint:gochecknoglobals // a constant, but for Go
var valueStale = []string{`110 skerry "Response is Stale: this node cannot ask the others"`}

// confirm makes sure that what is read next is not stale, or says that it may be.
func (n *namespace) confirm(w http.ResponseWriter, r *http.Request) {
	if n.cluster == nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), confirmTimeout)
	defer cancel()
	if err := n.cluster.Confirm(ctx); err != nil {
		w.Header()["Warning"] = valueStale
		n.metrics.readStale.Inc()
	}
}

// missed says whether a look for what has a digest should be repeated: it found
// nothing, which others may know better. What it finds is right without them.
func (n *namespace) missed(w http.ResponseWriter, r *http.Request, err error) bool {
	if n.cluster == nil || !errors.Is(err, meta.ErrNotFound) && !errors.Is(err, meta.ErrRepositoryUnknown) {
		return false
	}
	n.confirm(w, r)
	return true
}

// linked tells the others of a blob that was pushed here.
func (n *namespace) linked(d digest.Digest, size int64) {
	if n.cluster != nil {
		n.cluster.Linked(d, size)
	}
}

// spread waits for the copies of what a manifest refers to.
func (n *namespace) spread(ctx context.Context, blobs []digest.Digest) error {
	if n.cluster == nil || len(blobs) == 0 {
		return nil
	}
	return n.cluster.Spread(ctx, blobs)
}

// uploadName is what clients call the upload that this node knows by id.
func (n *namespace) uploadName(id string) string {
	if n.cluster == nil {
		return id
	}
	return n.cluster.Node() + "." + id
}

// elsewhere answers a request about an upload that another node has. Else it takes
// the node out of t's upload. The other node decides itself about what the request
// may do.
func (h *front) elsewhere(w http.ResponseWriter, r *http.Request, t *target) (answered bool, err error) {
	node, id, named := strings.Cut(t.upload, ".")
	switch {
	case !named: // begun when this node was alone
		return false, nil
	case h.cluster == nil:
		return false, unknown(*t)
	case node == h.cluster.Node():
		t.upload = id
		return false, nil
	}
	err = h.cluster.Forward(w, r, node)
	if seen, ok := w.(*witness); ok {
		seen.passed = err == nil
	}
	return true, err
}
