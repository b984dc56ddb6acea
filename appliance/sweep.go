package appliance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

const (
	// sweepBatch is how many blobs are unlinked between two entries in the log.
	sweepBatch = 256
	// sweepEvery is how often a node looks for trash that it was not told of, sweepAgain
	// the pause after a look that failed.
	sweepEvery = 10 * time.Minute
	sweepAgain = 5 * time.Second
	// confirmMax is how long the first sweep of a process waits for the others.
	confirmMax = 5 * time.Second
)

// sweepLoop unlinks what was condemned, by whichever node, until ctx ends: what waited
// for this one while it was down, then what it is told of, and now and then the rest.
func (a *Appliance) sweepLoop(ctx context.Context) error {
	for {
		pause := sweepEvery
		if err := a.sweep(ctx); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "sweep stopped", "err", err)
			pause = sweepAgain
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-a.sweepSoon:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// caughtUp makes sure, once in a process, that the metadata here has all that this node
// said before it went down: else it would take for trash what it linked last.
func (a *Appliance) caughtUp(ctx context.Context) error {
	if a.confirmed.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, confirmMax)
	defer cancel()
	if err := a.node.ReadIndex(ctx); err != nil {
		return fmt.Errorf("ask what was agreed: %w", err)
	}
	a.confirmed.Store(true)
	return nil
}

// sweep unlinks condemned blobs. Between the decision and the unlink the same
// bytes may have been pushed again: the blob store asks once more, with the
// blob locked, and leaves what an upload holds for the next sweep.
func (a *Appliance) sweep(ctx context.Context) error {
	if !a.sweeping.TryRLock() {
		return nil // a backup reads the blobs; the next sweep comes
	}
	defer a.sweeping.RUnlock()
	if err := a.caughtUp(ctx); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	var after uint64
	for {
		items, err := a.meta.Trash(a.meta.Self(), after, sweepBatch)
		if err != nil || len(items) == 0 {
			return err
		}
		after = items[len(items)-1].ID
		gone, err := a.unlink(ctx, items)
		if len(gone) > 0 {
			err = errors.Join(err, a.meta.Swept(ctx, a.meta.Self(), gone))
		}
		if err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
	}
}

func (a *Appliance) unlink(ctx context.Context, items []meta.TrashItem) (gone []uint64, err error) {
	for _, item := range items {
		freed, err := a.blobs.Remove(ctx, item.Digest, func() (bool, error) { return a.keeps(item.Digest) })
		switch {
		case errors.Is(err, blobstore.ErrPinned):
		case err != nil:
			return gone, err
		default:
			a.metrics.freed(freed)
			gone = append(gone, item.ID)
		}
	}
	return gone, nil
}

// keeps says whether the bytes of d are to stay: this node holds the blob or, in
// a bucket, which all nodes share, any node does.
func (a *Appliance) keeps(d digest.Digest) (bool, error) {
	if a.bucket != nil {
		return a.meta.Known(d)
	}
	return a.meta.HeldBy(a.meta.Self(), d)
}
