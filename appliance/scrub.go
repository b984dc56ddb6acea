package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// scrub reads every blob on this disk and compares it with its name (I6). Bad
// bytes go to quarantine; files that nothing knows, left by a push that never
// finished, are removed.
func (a *Appliance) scrub(
	ctx context.Context, q api.ScrubRequest, progress func(api.ScrubReport),
) (api.ScrubReport, error) {
	var told time.Time
	return a.scrubAfter(ctx, "", q, func(report api.ScrubReport, _ digest.Digest) {
		if now := time.Now(); now.Sub(told) > time.Second/2 {
			told = now
			progress(report)
		}
	})
}

// scrubAfter is scrub of what follows a digest. It tells of each blob.
func (a *Appliance) scrubAfter(
	ctx context.Context, after digest.Digest, q api.ScrubRequest, progress func(api.ScrubReport, digest.Digest),
) (report api.ScrubReport, err error) {
	defer a.metrics.scrub.ended(false, time.Now(), &err)
	if err := a.expected(ctx, func(b meta.Blob, present bool) {
		report.TotalBlobs++
		report.TotalBytes += b.Size
		if !present {
			report.Missing = append(report.Missing, b.Digest)
		}
	}); err != nil {
		return report, err
	}
	a.lost(ctx, report.Missing...)
	rate := blobstore.NewRate(q.BytesPerSecond)
	for info, err := range a.blobs.All(ctx) {
		if err != nil {
			return report, fmt.Errorf("list blobs: %w", err)
		}
		if info.Digest <= after {
			continue
		}
		if err := a.scrubOne(ctx, info, rate, &report); err != nil {
			return report, err
		}
		progress(report, info.Digest)
	}
	a.metrics.missingBlobs.Set(float64(len(report.Missing)))
	a.log.InfoContext(ctx, "scrubbed", "blobs", report.Blobs, "bytes", report.Bytes,
		"damaged", len(report.Damaged), "missing", len(report.Missing), "orphans", report.Orphans)
	return report, nil
}

func (a *Appliance) scrubOne(
	ctx context.Context, b blobstore.Info, rate *blobstore.Rate, report *api.ScrubReport,
) error {
	keep, err := a.keeps(b.Digest)
	if err != nil {
		return err
	}
	if !keep {
		return a.removeOrphan(ctx, b, report)
	}
	err = a.blobs.Verify(ctx, b.Digest, rate)
	switch {
	case errors.Is(err, blobstore.ErrNotFound): // collected meanwhile
		return nil
	case errors.Is(err, blobstore.ErrDigest):
		a.log.ErrorContext(ctx, "blob is damaged", "digest", b.Digest, "remedy", a.remedy())
		report.Damaged = append(report.Damaged, b.Digest)
		a.lost(ctx, b.Digest)
	case err != nil:
		return err
	}
	report.Blobs++
	report.Bytes += b.Size
	return nil
}

// lost says that this node has not the right bytes of these blobs, so that they are
// fetched from others.
func (a *Appliance) lost(ctx context.Context, ds ...digest.Digest) {
	if a.cluster.copies == nil || len(ds) == 0 {
		return
	}
	for chunk := range slices.Chunk(ds, lostBatch) {
		if err := a.cluster.copies.Lost(ctx, chunk); err != nil {
			// Whoever wants to read them finds out, and so does the next scrub.
			a.log.WarnContext(ctx, "that blobs are lost is not told", "blobs", len(chunk), "err", err)
		}
	}
}

// lostBatch is how many lost blobs are told of at once.
const lostBatch = 256

// remedy is what to do about damage.
func (a *Appliance) remedy() string {
	if a.cluster.copies == nil || len(a.others()) == 0 {
		return "push or restore it again"
	}
	return "it is fetched from another node that has it"
}

func (a *Appliance) removeOrphan(ctx context.Context, b blobstore.Info, report *api.ScrubReport) error {
	if time.Since(b.Time) < a.cfg.OrphanAge || a.caughtUp(ctx) != nil {
		return nil
	}
	if !a.sweeping.TryRLock() {
		return nil // a backup reads what was known when it began; the next scrub comes
	}
	defer a.sweeping.RUnlock()
	_, err := a.blobs.Remove(ctx, b.Digest, func() (bool, error) { return a.keeps(b.Digest) })
	if errors.Is(err, blobstore.ErrPinned) {
		return nil
	}
	if err == nil {
		report.Orphans++
	}
	return err
}

// expected calls f with each blob that the metadata says is on this disk. One
// that is collected meanwhile may be left out.
func (a *Appliance) expected(ctx context.Context, f func(b meta.Blob, present bool)) (err error) {
	snap, err := a.db.Snapshot()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	for b, err := range snap.Blobs(a.meta.Self()) {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		present, known, err := a.present(ctx, b)
		if err != nil {
			return err
		}
		if present || known {
			f(b, present)
		}
	}
	return nil
}

// present looks for a blob on the disk, and if it is not there, whether it is
// still known: the snapshot that b comes from is older than what is collected.
// Between the two looks it may also be collected and pushed again.
func (a *Appliance) present(ctx context.Context, b meta.Blob) (present, known bool, err error) {
	for range 2 {
		info, err := a.blobs.Stat(ctx, b.Digest)
		if err == nil {
			return info.Size == b.Size, true, nil
		}
		if !errors.Is(err, blobstore.ErrNotFound) {
			return false, false, err
		}
		if known, err = a.keeps(b.Digest); err != nil || !known {
			return false, known, err
		}
	}
	return false, true, nil
}

// check walks the invariants of the metadata, and whether each blob that it
// knows is on the disk with its size.
func (a *Appliance) check(ctx context.Context, found func(meta.Problem)) error {
	for p, err := range a.db.Check(ctx) {
		if err != nil {
			return err
		}
		found(p)
	}
	return a.expected(ctx, func(b meta.Blob, present bool) {
		if !present {
			found(meta.Problem{
				Invariant: "I1", Where: "blob " + b.Digest.String(),
				What: fmt.Sprintf("%d bytes should be stored and are not: push or restore the blob again", b.Size),
			})
		}
	})
}

// Check is what check does, for a data directory that no process uses.
func Check(
	ctx context.Context, data string, storage Storage, log *slog.Logger, found func(meta.Problem),
) (err error) {
	if _, err := os.Stat(filepath.Join(data, metaName)); err != nil {
		return fmt.Errorf("no data to check: %w", err)
	}
	a, err := openStores(ctx, Config{
		Data: data, Storage: storage,
		DiskSoft: 100, DiskHigh: 100, DiskCritical: 100, // a full disk is no reason not to look
	}, log, true)
	if err != nil {
		return err
	}
	return errors.Join(a.check(ctx, found), a.Close())
}
