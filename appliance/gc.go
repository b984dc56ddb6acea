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

// sweepBatch is how many blobs are unlinked between two entries in the log.
const sweepBatch = 256

// collectLoop collects garbage now and then until ctx ends. What an earlier
// process condemned and did not unlink is swept at once.
func (a *Appliance) collectLoop(ctx context.Context) error {
	if err := a.sweep(ctx); err != nil {
		a.log.WarnContext(ctx, "sweep stopped", "err", err)
	}
	pause := func(c Config) time.Duration { return c.CollectFirst }
	for a.every(ctx, pause) {
		pause = func(c Config) time.Duration { return c.CollectEvery }
		if _, err := a.collect(ctx, false); err != nil {
			a.log.WarnContext(ctx, "garbage collection stopped", "err", err)
		}
	}
	return nil
}

// collect lets the metadata decide what nothing refers to, and unlinks it.
// An error stops it (I3): what was not decided stays.
func (a *Appliance) collect(ctx context.Context, dryRun bool) (report meta.CollectReport, err error) {
	a.collecting.Lock()
	defer a.collecting.Unlock()
	defer a.metrics.gc.ended(dryRun, time.Now(), &err)
	report, err = a.meta.Collect(ctx, meta.Collect{DryRun: dryRun})
	if err != nil || dryRun {
		return report, err
	}
	a.metrics.waitingBytes.Set(float64(report.WaitingBytes))
	a.log.InfoContext(ctx, "garbage collected", "blobs", report.Blobs, "bytes", report.Bytes,
		"manifests", report.Manifests, "kept", report.Kept, "waiting", report.Waiting)
	return report, a.sweep(ctx)
}

// sweep unlinks condemned blobs. Between the decision and the unlink the same
// bytes may have been pushed again: the blob store asks once more, with the
// blob locked, and leaves what an upload holds for the next sweep.
func (a *Appliance) sweep(ctx context.Context) error {
	if !a.sweeping.TryRLock() {
		return nil // a backup reads the blobs; the next sweep comes
	}
	defer a.sweeping.RUnlock()
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

// purgeLoop drops uploads that nobody continues, and damaged bytes that nobody
// came to look at.
func (a *Appliance) purgeLoop(ctx context.Context) error {
	for every(ctx, time.Hour) {
		n, bytes, err := a.blobs.PurgeUploads(ctx, time.Now().Add(-a.config().UploadTTL))
		a.purged(ctx, "abandoned uploads", n, bytes, err)
		n, bytes, err = a.blobs.PurgeQuarantine(ctx, time.Now().Add(-a.config().ScrubPeriod))
		a.purged(ctx, "quarantined blobs", n, bytes, err)
	}
	return nil
}

func (a *Appliance) purged(ctx context.Context, what string, n int, bytes int64, err error) {
	if err != nil {
		a.log.WarnContext(ctx, "purge stopped", "of", what, "err", err)
	}
	if n > 0 {
		a.log.InfoContext(ctx, "purged", "what", what, "files", n, "bytes", bytes)
	}
}

// every waits d and reports whether there is a next round.
func every(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
