package object

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
)

// Pin is [blobstore.Store.Pin].
func (s *Store) Pin(ctx context.Context, d digest.Digest) (*blobstore.Pin, error) {
	path, err := blobPath(d)
	if err != nil {
		return nil, fmt.Errorf("pin blob: %w", err)
	}
	pin := s.names.pin(d)
	if _, err := s.stat(ctx, path); err != nil {
		pin.Release()
		return nil, fmt.Errorf("pin blob %s: %w", d, err)
	}
	return pin, nil
}

// Remove is [blobstore.Store.Remove].
func (s *Store) Remove(
	ctx context.Context, d digest.Digest, live func() (bool, error),
) (freed int64, err error) {
	path, err := blobPath(d)
	if err != nil {
		return 0, fmt.Errorf("remove blob: %w", err)
	}
	if !s.names.take(d, false) {
		return 0, fmt.Errorf("remove blob %s: %w", d, blobstore.ErrPinned)
	}
	defer s.names.give(d)
	switch known, err := live(); {
	case err != nil:
		return 0, fmt.Errorf("remove blob %s: is it live: %w", d, err)
	case known:
		return 0, nil
	}
	if freed, err = s.remove(ctx, path); err != nil {
		return 0, fmt.Errorf("remove blob %s: %w", d, err)
	}
	return freed, nil
}

func (s *Store) remove(ctx context.Context, path string) (freed int64, err error) {
	if err := s.own(ctx); err != nil {
		return 0, err
	}
	info, err := s.stat(ctx, path)
	if errors.Is(err, blobstore.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), s.delete(ctx, path)
}

// delete removes one object; that it was not there is no error.
func (s *Store) delete(asked context.Context, path string) (err error) {
	defer s.metrics.observe("delete", &err)()
	ctx, cancel := context.WithTimeoutCause(asked, s.cfg.RequestTimeout, errStalled)
	defer cancel()
	if err := s.backend.Delete(ctx, path); !missing(err) {
		return s.explain(asked, err)
	}
	return nil
}
