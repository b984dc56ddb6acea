package replicate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

var (
	// errHere ends a transfer whose blob came by another way: it can be opened.
	errHere = errors.New("replicate: blob is here")
	// errWrong ends a transfer whose bytes were not the blob.
	errWrong = errors.New("replicate: wrong blob")
	// errAbandoned ends a transfer that nobody reads any more, of a blob that does not
	// belong here.
	errAbandoned = errors.New("replicate: nobody reads the blob any more")
	// ErrNoSource says that no node that holds a blob can be read from now. It is
	// [blobstore.ErrUnavailable].
	ErrNoSource = fmt.Errorf("replicate: no holder can be read from: %w", blobstore.ErrUnavailable)
)

// errStopped is what readers get when the node stops.
var errStopped = fmt.Errorf("replicate: this node stops: %w", blobstore.ErrUnavailable)

const (
	// scope is whose uploads these are: no repository's, for none has such a name.
	scope = "/peers"
	// chunk is copied at once.
	chunk = 256 << 10
	// roundsMax is how often all holders of a blob are asked without one byte coming,
	// roundPause how long it takes until they are asked again.
	roundsMax  = 3
	roundPause = 200 * time.Millisecond
)

// fetchLoop starts transfers as there is room for them, and returns when all have
// ended.
func (r *Replicator) fetchLoop(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	defer r.transfers.close(errStopped)
	for {
		for tr, l := r.transfers.next(); tr != nil; tr, l = r.transfers.next() {
			running.Go(func() { // waited for above; ctx ends it
				defer r.transfers.done(tr, l)
				r.fetch(ctx, tr)
			})
		}
		if r.transfers.drained() {
			r.scans.soon.set()
		}
		select {
		case <-ctx.Done():
			return
		case <-r.transfers.work:
		}
	}
}

// fetch runs a transfer to its end, whatever that is.
func (r *Replicator) fetch(ctx context.Context, tr *transfer) {
	d := tr.copies.Digest
	pin, err := r.receive(ctx, tr)
	if err != nil {
		r.transfers.forget(tr) // first: who begins anew must not find this one again
	}
	tr.end(err)
	switch {
	case err == nil:
		r.metrics.fetched.Inc()
		r.metrics.fetchedBytes.Add(float64(tr.copies.Size))
		r.announced.add(ctx, d, pin, tr.urgent.Load())
	case errors.Is(err, errHere):
		r.announced.add(ctx, d, pin, tr.urgent.Load())
	case errors.Is(err, errAbandoned):
	case errors.Is(err, errWrong):
		// Who reads it has wrong bytes, and does not get the rest. Others shall not have
		// to wait for the next scan. Each try finds a liar, so it ends.
		r.refetch(d)
	case ctx.Err() == nil:
		r.metrics.failures.Inc()
		r.log.WarnContext(ctx, "blob not fetched", "digest", d, "err", err)
		r.scans.failed.set()
	}
}

// refetch queues d again, after wrong bytes.
func (r *Replicator) refetch(d digest.Digest) {
	all, err := r.cfg.Meta.Copies(d)
	if v := r.look(); err == nil && len(all) > 0 && v.keeper() {
		r.transfers.want(all[0], classPush)
	}
}

// receive stages the blob and publishes it when it is what it should be. The pin is
// to be released when the metadata knows.
func (r *Replicator) receive(ctx context.Context, tr *transfer) (*blobstore.Pin, error) {
	c := tr.copies
	if r.transfers.abandoned(tr) {
		return nil, errAbandoned
	}
	if pin, err := r.here(ctx, c); err == nil {
		return pin, errHere
	}
	u, err := r.cfg.Bytes.Create(scope, c.Digest.Algorithm(), c.Size)
	if err != nil {
		return nil, fmt.Errorf("stage blob: %w", err)
	}
	defer func() { _ = u.Cancel() }() // nothing is lost: what was committed is no upload any more
	file, err := u.Follow()
	if err != nil {
		return nil, fmt.Errorf("stage blob: %w", err)
	}
	tr.begin(file, file.Close)
	from, err := r.pull(ctx, tr, u)
	if err != nil {
		return nil, err
	}
	if err := u.Check(c.Digest); err != nil {
		r.blame(ctx, from, c.Digest, err)
		return nil, fmt.Errorf("%w: %w", errWrong, err)
	}
	tr.verified()
	// A crash up to here leaves an upload that is purged some day, and after Commit a
	// blob that no record names, which the next start finds.
	return u.Commit(ctx, c.Digest)
}

// here pins the blob if it is on this disk, with its size.
func (r *Replicator) here(ctx context.Context, c meta.BlobCopies) (*blobstore.Pin, error) {
	pin, err := r.cfg.Bytes.Pin(ctx, c.Digest)
	if err != nil {
		return nil, err
	}
	info, err := r.cfg.Bytes.Stat(ctx, c.Digest)
	if err == nil && info.Size != c.Size {
		err = blobstore.ErrDigest // what is fetched replaces it
	}
	if err != nil {
		pin.Release()
		return nil, err
	}
	return pin, nil
}

// blame notes who sent wrong bytes, if that is one, or else that the next try is to
// come from one.
func (r *Replicator) blame(ctx context.Context, from []meta.Node, d digest.Digest, err error) {
	if len(from) == 1 {
		r.caught(ctx, from[0], d, err)
		return
	}
	r.trust.mixed.note(d)
	r.log.WarnContext(ctx, "wrong bytes from one of several nodes", "digest", d, "nodes", names(from), "err", err)
}

func withNode(nodes []meta.Node, n meta.Node) []meta.Node {
	if slices.ContainsFunc(nodes, func(o meta.Node) bool { return o.ID == n.ID }) {
		return nodes
	}
	return append(nodes, n)
}

func names(nodes []meta.Node) []string {
	all := make([]string, len(nodes))
	for i, n := range nodes {
		all[i] = n.Name
	}
	return all
}

// pull appends what holders send, from one after the other, until u is whole or
// nobody sends anything any more. from are those who sent some of it.
func (r *Replicator) pull(ctx context.Context, tr *transfer, u *blobstore.Upload) (from []meta.Node, err error) {
	errs := []error{ErrNoSource}
	for round := 0; round < roundsMax && u.Size() < tr.copies.Size; round++ {
		if round > 0 && !pause(ctx, roundPause<<(2*(round-1))) {
			return from, ctx.Err()
		}
		nodes, err := r.holders(tr.copies, from)
		if err != nil {
			return from, err
		}
		for len(nodes) > 0 {
			sent, err := r.pullOne(ctx, tr, u, nodes)
			if sent.bytes > 0 {
				from = withNode(from, sent.by)
			}
			switch {
			case err == nil:
				return from, nil
			case ctx.Err() != nil, errors.Is(err, blobstore.ErrFull), errors.Is(err, errAbandoned):
				return from, err
			}
			errs = append(errs, err)
			if nodes = nodes[sent.asked:]; sent.bytes >= stallBytes {
				round, nodes, errs = -1, nil, errs[:1] // it goes on, only not so
			}
		}
	}
	if u.Size() < tr.copies.Size {
		return from, errors.Join(errs...)
	}
	return from, nil
}

// holders are the nodes to ask, as of now, after those in from have sent some of it.
func (r *Replicator) holders(c meta.BlobCopies, from []meta.Node) ([]meta.Node, error) {
	now, err := r.cfg.Meta.Copies(c.Digest)
	if err != nil || len(now) == 0 {
		return nil, err
	}
	nodes := r.sources(r.look(), now[0])
	if len(nodes) == 0 || !r.trust.mixed.since(c.Digest, lieAvoid) {
		return nodes, nil
	}
	if len(from) > 0 {
		return from[:1], nil
	}
	return nodes[:1], nil
}

// A sent is how a request for a blob went.
type sent struct {
	by    meta.Node
	bytes int64
	asked int // nodes, until one answered
}

// pullOne appends what the first of nodes that answers sends. err is nil when u is
// whole.
func (r *Replicator) pullOne(
	ctx context.Context, tr *transfer, u *blobstore.Upload, nodes []meta.Node,
) (s sent, err error) {
	b, asked, err := r.ask(ctx, nodes, tr.copies, u.Size())
	if s.asked = asked; err != nil {
		return s, err
	}
	defer func() { _ = b.Close() }() // what counts was read
	s.by = b.node
	s.bytes, err = r.copy(ctx, tr, u, b)
	switch {
	case err == nil && u.Size() == tr.copies.Size:
		return s, nil
	case err == nil:
		err = io.ErrUnexpectedEOF
	case errors.Is(err, errLie):
		r.caught(ctx, b.node, tr.copies.Digest, err)
	}
	if ctx.Err() == nil && !errors.Is(err, blobstore.ErrFull) && !errors.Is(err, errAbandoned) {
		r.trust.fails.note(b.node.ID)
	}
	return s, fmt.Errorf("fetch from %s: %w", b.node.Name, err)
}

// copy appends b to u, and shows it to readers.
func (r *Replicator) copy(ctx context.Context, tr *transfer, u *blobstore.Upload, b *body) (n int64, err error) {
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	for {
		got, readErr := b.Read(buf[:])
		if errors.Is(readErr, errLie) {
			return n, readErr
		}
		if got > 0 {
			wrote, err := u.Write(buf[:got])
			n += int64(wrote)
			tr.grow(u.Size())
			if err != nil {
				return n, err
			}
		}
		if readErr == io.EOF { //nolint:errorlint // io.Reader: the end is this very value
			return n, nil
		}
		if readErr != nil {
			return n, readErr
		}
		if r.transfers.abandoned(tr) {
			return n, errAbandoned
		}
		if !tr.urgent.Load() {
			if err := r.rate.Wait(ctx, got); err != nil {
				return n, err
			}
		}
	}
}

// chunks carry blobs from connections to the disk.
//
//nolint:gochecknoglobals // a pool has no state that anybody could see
var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// pause waits d, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
