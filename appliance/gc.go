package appliance

import (
	"context"
	"time"

	"skerry.dev/skerry/meta"
)

// collectLoop collects garbage now and then until ctx ends, on the node that leads.
func (a *Appliance) collectLoop(ctx context.Context) error {
	first := func(c Config) time.Duration { return c.CollectFirst }
	pause := first
	for a.every(ctx, pause) {
		if pause = first; !a.leading() {
			continue // and looks again: it may lead by then
		}
		silent := a.renewElsewhere(ctx)
		if a.promised(silent) {
			a.log.InfoContext(ctx, "garbage is not collected while nodes are away that may have promised blobs to clients",
				"away", names(silent), "longest", a.config().Grace)
			continue
		}
		pause = func(c Config) time.Duration { return c.CollectEvery }
		if _, err := a.collectHere(ctx, false); err != nil {
			a.log.WarnContext(ctx, "garbage collection stopped", "err", err)
		}
	}
	return nil
}

// collect is a collection that an operator asks for, on whichever node.
func (a *Appliance) collect(ctx context.Context, dryRun bool) (meta.CollectReport, error) {
	if !dryRun {
		if silent := a.renewElsewhere(ctx); a.promised(silent) {
			a.log.WarnContext(ctx, "garbage is collected without nodes that may have promised blobs to clients: "+
				"those have to push them again", "away", names(silent))
		}
	}
	return a.collectHere(ctx, dryRun)
}

// collectHere lets the metadata decide what nothing refers to, and unlinks it.
// An error stops it (I3): what was not decided stays.
func (a *Appliance) collectHere(ctx context.Context, dryRun bool) (report meta.CollectReport, err error) {
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
	a.sweepElsewhere(ctx)
	return report, a.sweep(ctx)
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
