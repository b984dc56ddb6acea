package replicate

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

const (
	// hintsMax is how many hints wait to be sent, and how many to be understood. What
	// is beyond is left to barriers and scans.
	hintsMax = 4096
	// hintBatch is how many digests one hint names.
	hintBatch = 512
	// hintTimeout is how long a node may take to hear a hint.
	hintTimeout = 5 * time.Second
	// hintPatience is how long a hint waits here for the metadata to know the blob:
	// it may travel faster than the log.
	hintPatience = 10 * time.Second
)

// ErrBusy says that there are too many hints at once.
var ErrBusy = errors.New("replicate: too many hints at once")

// outbox are hints on their way to other nodes. One at a time is on its way to each.
type outbox struct {
	wake signal

	mu      sync.Mutex
	linked  map[digest.Digest]bool // blobs that came from a client
	pending map[meta.NodeID]map[digest.Digest]bool
	busy    map[meta.NodeID]bool
	size    int // digests in pending
}

func (o *outbox) init() {
	o.wake = newSignal()
	o.linked = make(map[digest.Digest]bool)
	o.pending = make(map[meta.NodeID]map[digest.Digest]bool)
	o.busy = make(map[meta.NodeID]bool)
}

// put says that node is to hear of d.
func (o *outbox) put(node meta.NodeID, d digest.Digest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pending[node][d] || o.size >= hintsMax {
		return
	}
	if o.pending[node] == nil {
		o.pending[node] = make(map[digest.Digest]bool)
	}
	o.pending[node][d] = true
	o.size++
	o.wake.set()
}

// next takes what one node is to hear, if there is any that hears nothing just now.
func (o *outbox) next() (node meta.NodeID, ds []digest.Digest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for node, set := range o.pending {
		if o.busy[node] {
			continue
		}
		for d := range set {
			if len(ds) < hintBatch {
				ds = append(ds, d)
				delete(set, d)
			}
		}
		o.size -= len(ds)
		if len(set) == 0 {
			delete(o.pending, node)
		}
		o.busy[node] = true
		return node, ds
	}
	return 0, nil
}

func (o *outbox) done(node meta.NodeID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.busy, node)
	o.wake.set()
}

// takeLinked takes the blobs that came from clients.
func (o *outbox) takeLinked() (ds []digest.Digest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for d := range o.linked {
		ds = append(ds, d)
	}
	clear(o.linked)
	return ds
}

// Linked says that a client has just pushed d here: the nodes that are to have copies
// fetch them at once, while the client sends its next blob. It returns immediately.
func (r *Replicator) Linked(d digest.Digest) {
	if r.alone() {
		return
	}
	r.scans.company()
	r.scans.took.Store(true)
	o := &r.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.linked) < hintsMax {
		o.linked[d] = true
		o.wake.set()
	}
}

// sendLoop sends hints.
func (r *Replicator) sendLoop(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		r.spread(ctx)
		for node, ds := r.outbox.next(); len(ds) > 0; node, ds = r.outbox.next() {
			running.Go(func() { // waited for above, and bounded by its timeout
				defer r.outbox.done(node)
				r.send(ctx, node, ds)
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-r.outbox.wake:
		}
	}
}

// spread finds out who is to hear of what came from clients.
func (r *Replicator) spread(ctx context.Context) {
	ds := r.outbox.takeLinked()
	if len(ds) == 0 {
		return
	}
	copies, err := r.cfg.Meta.Copies(ds...)
	if err != nil {
		r.log.WarnContext(ctx, "copies are not asked for at once", "blobs", len(ds), "err", err)
		return
	}
	v := r.look()
	for _, c := range copies {
		r.hint(c, v.missing(c))
	}
}

// hint makes nodes hear of c, this one too.
func (r *Replicator) hint(c meta.BlobCopies, nodes []meta.NodeID) {
	for _, id := range nodes {
		if id == r.cfg.Self() {
			r.transfers.want(c, classPush)
		} else {
			r.outbox.put(id, c.Digest)
		}
	}
}

func (r *Replicator) send(ctx context.Context, id meta.NodeID, ds []digest.Digest) {
	for _, n := range r.cfg.Meta.Nodes() {
		if n.ID != id || n.Gone() {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, hintTimeout)
		defer cancel()
		if err := r.cfg.Peers.Want(ctx, n, ds); err != nil && !errors.Is(err, context.Canceled) {
			r.trust.fails.note(id) // whoever waits for the copies turns to another
			r.log.DebugContext(ctx, "hint not heard", "node", n.Name, "blobs", len(ds), "err", err)
		}
	}
}

// inbox are hints from other nodes.
type inbox struct {
	wake signal

	mu      sync.Mutex
	pending map[digest.Digest]time.Time // until when the hint is good
}

func (i *inbox) init() {
	i.wake = newSignal()
	i.pending = make(map[digest.Digest]time.Time)
}

// Hint is what [Peers.Want] of another node comes to here: what of ds is missing is
// fetched at once. It returns immediately. [ErrBusy].
func (r *Replicator) Hint(ds []digest.Digest) error {
	r.scans.company()
	i := &r.inbox
	i.mu.Lock()
	defer i.mu.Unlock()
	until := time.Now().Add(hintPatience)
	for _, d := range ds {
		if len(i.pending) >= hintsMax {
			return ErrBusy
		}
		i.pending[d] = until
	}
	i.wake.set()
	return nil
}

// receiveLoop turns hints into transfers.
func (r *Replicator) receiveLoop(ctx context.Context) {
	for {
		changed := r.cfg.Meta.Changed()
		if !r.understand(ctx) {
			changed = nil // nobody waits: the log need not tell
		}
		select {
		case <-ctx.Done():
			return
		case <-r.inbox.wake:
		case <-changed:
		}
	}
}

// understand queues what is known by now. It reports whether hints are left that are
// not understood yet; those that are too old are forgotten when something changes.
func (r *Replicator) understand(ctx context.Context) (left bool) {
	i := &r.inbox
	i.mu.Lock()
	ds := make([]digest.Digest, 0, len(i.pending))
	for d, until := range i.pending {
		if time.Now().After(until) {
			delete(i.pending, d)
			continue
		}
		ds = append(ds, d)
	}
	i.mu.Unlock()
	if len(ds) == 0 {
		return false
	}
	copies, err := r.cfg.Meta.Copies(ds...)
	if err != nil {
		r.log.WarnContext(ctx, "hints are not understood", "blobs", len(ds), "err", err)
		return true
	}
	v := r.look()
	for _, c := range copies {
		if v.takes(c) {
			r.transfers.want(c, classPush)
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, c := range copies {
		delete(i.pending, c.Digest)
	}
	return len(i.pending) > 0
}
