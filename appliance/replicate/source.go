package replicate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// errLie says that a node's answer cannot be the blob.
var errLie = errors.New("replicate: wrong bytes")

// stallBytes is the least that a transfer has to make in Config.Stall.
const stallBytes = 64 << 10

// A body is a blob that a node sends.
type body struct {
	io.Reader
	node   meta.Node
	cancel context.CancelFunc
	close  func() error
}

func (b *body) Close() error {
	b.cancel()
	return b.close()
}

// An answer is what a node said when it was asked for a blob.
type answer struct {
	body *body
	node meta.Node
	err  error
}

// ask opens the bytes of c from offset on at the first of nodes that answers. The
// next is asked when one fails, or when it does not answer within Config.Hedge; at
// most two are waited for. tried is how many were asked.
func (r *Replicator) ask(
	ctx context.Context, nodes []meta.Node, c meta.BlobCopies, offset int64,
) (b *body, tried int, err error) {
	answers := make(chan answer, len(nodes)) // nobody who answers late has to wait for us
	cancels := make([]context.CancelFunc, 0, len(nodes))
	waiting := 0
	next := func() {
		one, cancel := context.WithCancel(ctx)
		cancels = append(cancels, cancel)
		n := nodes[tried]
		tried++
		waiting++
		// It ends with its request, which is cancelled when another has answered.
		go func() { answers <- r.askOne(one, cancel, n, c, offset) }()
	}
	defer func() {
		for i, cancel := range cancels {
			if b == nil || nodes[i].ID != b.node.ID {
				cancel()
			}
		}
		go drop(answers, waiting) // ends with the requests, which were cancelled
	}()
	next()
	hedge := time.NewTimer(r.cfg.Hedge)
	defer hedge.Stop()
	var errs []error
	for {
		select {
		case <-ctx.Done():
			return nil, tried, ctx.Err()
		case <-hedge.C:
			if tried < len(nodes) && waiting < 2 {
				r.metrics.hedged.Inc()
				next()
			}
		case a := <-answers:
			waiting--
			if a.err == nil {
				return a.body, tried, nil
			}
			errs = append(errs, a.err)
			if tried < len(nodes) {
				next()
				hedge.Reset(r.cfg.Hedge)
			} else if waiting == 0 {
				return nil, tried, errors.Join(errs...)
			}
		}
	}
}

// drop closes what n late answers bring.
func drop(answers <-chan answer, n int) {
	for range n {
		if a := <-answers; a.err == nil {
			_ = a.body.Close() // of bytes that nobody reads
		}
	}
}

func (r *Replicator) askOne(
	ctx context.Context, cancel context.CancelFunc, n meta.Node, c meta.BlobCopies, offset int64,
) answer {
	late := time.AfterFunc(r.cfg.Stall, cancel)
	raw, size, err := r.cfg.Peers.Blob(ctx, n, c.Digest, offset)
	silent := !late.Stop()
	if err == nil && size != c.Size {
		err = errors.Join(fmt.Errorf("%d bytes instead of %d: %w", size, c.Size, errLie), raw.Close())
		r.caught(ctx, n, c.Digest, err)
	}
	if err != nil {
		// A node that lost a race did not fail, and one without the blob is well.
		if silent || ctx.Err() == nil && !errors.Is(err, blobstore.ErrNotFound) {
			r.trust.fails.note(n.ID)
		}
		cancel()
		return answer{node: n, err: fmt.Errorf("fetch from %s: %w", n.Name, err)}
	}
	return answer{node: n, body: &body{
		Reader: r.guard(raw, cancel, c.Size-offset), node: n, cancel: cancel, close: raw.Close,
	}}
}

// caught notes and reports that n sent what is not d.
func (r *Replicator) caught(ctx context.Context, n meta.Node, d digest.Digest, err error) {
	r.trust.lieFound(n.ID, d)
	r.metrics.lies.Inc()
	r.log.ErrorContext(ctx, "a node sent wrong bytes; scrub it", "node", n.Name, "digest", d, "err", err)
}

// A guarded body is cancelled when reading it makes no progress, and is not longer
// than it should be.
type guarded struct {
	from   io.Reader
	cancel context.CancelFunc
	stall  time.Duration
	left   int64 // bytes that may follow

	timer *time.Timer
	spent time.Duration // waiting, since the last stallBytes were complete
	since int64         // bytes in that time
}

func (r *Replicator) guard(from io.Reader, cancel context.CancelFunc, n int64) *guarded {
	g := &guarded{from: from, cancel: cancel, stall: r.cfg.Stall, left: n}
	g.timer = time.AfterFunc(g.stall, cancel)
	g.timer.Stop()
	return g
}

// Read reads. Only the time in here counts: who reads slowly has no slow source.
func (g *guarded) Read(p []byte) (n int, err error) {
	begun := time.Now()
	g.timer.Reset(max(g.stall-g.spent, 1))
	n, err = g.from.Read(p)
	g.timer.Stop()
	g.spent += time.Since(begun)
	if g.since += int64(n); g.since >= stallBytes {
		g.spent, g.since = 0, 0
	}
	if g.left -= int64(n); g.left < 0 {
		return n, fmt.Errorf("more bytes than announced: %w", errLie)
	}
	return n, err
}
