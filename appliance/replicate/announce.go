package replicate

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

const (
	// announceMax is how many blobs may be here without the metadata knowing it;
	// fetching waits for room.
	announceMax = 1024
	// announceLinger is how long a blob that nobody waits for waits for company, so
	// that they share an entry of the log.
	announceLinger = 50 * time.Millisecond
	// announceAgain is the pause after an entry that was not agreed upon.
	announceAgain = time.Second
)

// announcements are blobs that are on the disk, pinned, and not yet recorded.
type announcements struct {
	some signal // there is one
	now  signal // there is one that somebody waits for
	room chan struct{}

	mu      sync.Mutex
	pending map[digest.Digest]*blobstore.Pin
}

func (a *announcements) init() {
	a.some, a.now = newSignal(), newSignal()
	a.room = make(chan struct{}, announceMax)
	a.pending = make(map[digest.Digest]*blobstore.Pin)
}

// add takes over pin. It waits while there are too many already. When ctx ends, the
// blob stays unrecorded, and the next start finds it.
func (a *announcements) add(ctx context.Context, d digest.Digest, pin *blobstore.Pin, urgent bool) {
	select {
	case a.room <- struct{}{}:
	case <-ctx.Done():
		pin.Release()
		return
	}
	a.mu.Lock()
	old := a.pending[d]
	a.pending[d] = pin
	a.mu.Unlock()
	if old != nil {
		old.Release()
		<-a.room
	}
	a.some.set()
	if urgent {
		a.now.set()
	}
}

func (a *announcements) take() map[digest.Digest]*blobstore.Pin {
	a.mu.Lock()
	defer a.mu.Unlock()
	batch := a.pending
	a.pending = make(map[digest.Digest]*blobstore.Pin)
	return batch
}

// announceLoop records what was fetched.
func (r *Replicator) announceLoop(ctx context.Context) {
	a := &r.announced
	for {
		select {
		case <-ctx.Done():
			return // pins end with the process
		case <-a.some:
		}
		linger := time.NewTimer(announceLinger)
		select {
		case <-a.now:
		case <-linger.C:
		case <-ctx.Done():
		}
		linger.Stop()
		batch := a.take()
		for err := r.record(ctx, batch); err != nil; err = r.record(ctx, batch) {
			r.log.WarnContext(ctx, "fetched blobs are not recorded yet", "blobs", len(batch), "err", err)
			if !pause(ctx, announceAgain) {
				return
			}
		}
		for range batch {
			<-a.room
		}
	}
}

// record makes this node a holder of the blobs in batch, and lets go of them.
func (r *Replicator) record(ctx context.Context, batch map[digest.Digest]*blobstore.Pin) error {
	var ds []digest.Digest
	self := r.cfg.Self()
	for d := range batch {
		if held, err := r.cfg.Meta.HeldBy(self, d); err != nil {
			return err
		} else if !held {
			ds = append(ds, d)
		}
	}
	var unknown *meta.UnknownError
	if len(ds) > 0 {
		err := r.cfg.Meta.AddHolder(ctx, self, ds)
		if err != nil && !errors.As(err, &unknown) && !errors.Is(err, meta.ErrNode) {
			return err
		}
	}
	for _, pin := range batch {
		pin.Release()
	}
	if unknown != nil {
		for _, d := range unknown.Digests {
			_ = r.unlink(ctx, d) // it was condemned while it was on its way
		}
	}
	return nil
}

// unlink removes the bytes of d unless the metadata says that they are to be here. It
// logs an error that it returns; [blobstore.ErrPinned] is none.
func (r *Replicator) unlink(ctx context.Context, d digest.Digest) error {
	_, err := r.cfg.Bytes.Remove(ctx, d, func() (bool, error) { return r.cfg.Meta.HeldBy(r.cfg.Self(), d) })
	if err != nil && !errors.Is(err, blobstore.ErrPinned) {
		r.log.WarnContext(ctx, "blob not unlinked", "digest", d, "err", err)
	}
	return err
}
