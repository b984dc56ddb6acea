package replicate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// Reconcile compares what the metadata says this node holds with what its disk has,
// by names and sizes: bytes are what a scrub reads. What is missing is told, and
// fetched again. What is there without a record, left by a crash, gets one.
func (r *Replicator) Reconcile(ctx context.Context) error {
	if err := r.findLost(ctx); err != nil {
		return fmt.Errorf("look for lost blobs: %w", err)
	}
	if err := r.adopt(ctx); err != nil {
		return fmt.Errorf("look for blobs without a record: %w", err)
	}
	return nil
}

func (r *Replicator) findLost(ctx context.Context) error {
	self := r.cfg.Self()
	for after := uint64(0); ; {
		page, err := r.cfg.Meta.CopiesAfter(after, scanPage)
		if err != nil || len(page) == 0 {
			return err
		}
		after = page[len(page)-1].ID
		var lost []digest.Digest
		for _, c := range page {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !slices.Contains(c.Holders, self) {
				continue
			}
			there, err := r.whole(ctx, c)
			if err != nil {
				return err
			}
			if !there {
				lost = append(lost, c.Digest)
			}
		}
		if err := r.Lost(ctx, lost); err != nil {
			return err
		}
	}
}

// whole says whether c is on this disk, by its size.
func (r *Replicator) whole(ctx context.Context, c meta.BlobCopies) (bool, error) {
	info, err := r.cfg.Bytes.Stat(ctx, c.Digest)
	if errors.Is(err, blobstore.ErrNotFound) {
		return false, nil
	}
	return err == nil && info.Size == c.Size, err
}

// Lost says that this node does not have the (right) bytes of ds, though it should: a
// scrub, or a look at the disk, found so. They are fetched again from others.
func (r *Replicator) Lost(ctx context.Context, ds []digest.Digest) error {
	if len(ds) == 0 || r.alone() {
		return nil // alone, nobody else could have them
	}
	if _, err := r.cfg.Meta.DropHolder(ctx, r.cfg.Self(), ds, meta.Lost{}); err != nil {
		return fmt.Errorf("tell of lost blobs: %w", err)
	}
	copies, err := r.cfg.Meta.Copies(ds...)
	if err != nil {
		return fmt.Errorf("look for other copies: %w", err)
	}
	r.metrics.lost.Add(float64(len(copies)))
	v := r.look()
	for _, c := range copies {
		// A push may have brought it back since it was looked for.
		if pin, err := r.here(ctx, c); err == nil {
			r.announced.add(ctx, c.Digest, pin, true)
			continue
		}
		if len(c.Holders) == 0 {
			r.log.ErrorContext(ctx, "the last copy of a blob is lost: push or restore it again", "digest", c.Digest)
			continue
		}
		r.log.WarnContext(ctx, "a copy of a blob is lost", "digest", c.Digest, "copies", len(c.Holders))
		if v.takes(c) && slices.Contains(v.wanted(c), v.self) {
			r.transfers.want(c, classRepair)
		}
	}
	return nil
}

// adopt records what is on the disk and known, but not known to be here.
func (r *Replicator) adopt(ctx context.Context) error {
	if !r.look().keeper() {
		return nil
	}
	self := r.cfg.Self()
	var found []digest.Digest
	record := func() error {
		copies, err := r.cfg.Meta.Copies(found...)
		found = found[:0]
		for _, c := range copies {
			if slices.Contains(c.Holders, self) {
				continue
			}
			if pin, err := r.here(ctx, c); err == nil {
				r.announced.add(ctx, c.Digest, pin, false)
			}
		}
		return err
	}
	for info, err := range r.cfg.Bytes.All(ctx) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if found = append(found, info.Digest); len(found) == scanPage {
			if err := record(); err != nil {
				return err
			}
		}
	}
	return record()
}
