package object

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/distribution/distribution/v3/registry/storage/driver"

	"skerry.dev/skerry/blobstore"
)

// All is [blobstore.Store.All]. A page of names at a time is in memory with S3; the
// drivers of GCS and Azure keep the names of all blobs, and ask for each.
func (s *Store) All(ctx context.Context) iter.Seq2[blobstore.Info, error] {
	return func(yield func(blobstore.Info, error) bool) {
		for o, err := range s.walk(ctx, blobsDir) {
			var info blobstore.Info
			if err == nil {
				info, err = blobInfo(o)
			}
			if err != nil {
				err = fmt.Errorf("list blobs: %w", err)
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

func blobInfo(o driver.FileInfo) (blobstore.Info, error) {
	d, ok := parseBlobPath(o.Path())
	if !ok {
		return blobstore.Info{}, fmt.Errorf("%s is not a blob", o.Path())
	}
	return blobstore.Info{Digest: d, Size: o.Size(), Time: wholeSeconds(o.ModTime())}, nil
}

// walk lists the objects below dir in the order of their names. An error of the
// store ends it.
func (s *Store) walk(asked context.Context, dir string) iter.Seq2[driver.FileInfo, error] {
	return func(yield func(driver.FileInfo, error) bool) {
		err := s.list(asked, dir, func(o driver.FileInfo) bool { return yield(o, nil) })
		if err != nil {
			yield(nil, err)
		}
	}
}

// list calls each with every object below dir until it has had enough, which is no
// error.
func (s *Store) list(asked context.Context, dir string, each func(driver.FileInfo) bool) (err error) {
	defer s.metrics.observe("list", &err)()
	ctx, p := watch(asked, s.cfg.StallTimeout)
	defer p.end()
	enough := false
	err = s.backend.Walk(ctx, dir, func(o driver.FileInfo) error {
		if o.IsDir() {
			return nil
		}
		p.rest()
		enough = enough || !each(o)
		p.step(s.cfg.StallTimeout)
		if enough {
			return driver.ErrFilledBuffer
		}
		return nil
	})
	if enough || missing(err) {
		return nil
	}
	if err = s.explain(asked, err); errors.Is(err, blobstore.ErrNotFound) {
		return nil
	}
	return err
}
