package object

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/distribution/distribution/v3/registry/storage/driver"

	"skerry.dev/skerry/blobstore"
)

// errStalled is why a request was broken off that made no progress.
var errStalled = errors.New("the object store does not answer")

// explain makes an error of the driver's one of [blobstore]. asked is the context of
// whoever asked: when that has ended it was not the store's fault.
func (s *Store) explain(asked context.Context, err error) error {
	var missing driver.PathNotFoundError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &missing):
		return blobstore.ErrNotFound
	case asked.Err() != nil:
		return context.Cause(asked)
	}
	code, text := s.backend.status(bare(err))
	kind := blobstore.ErrUnavailable
	switch {
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
	case code == http.StatusInsufficientStorage:
		kind = blobstore.ErrFull
	case code >= 300 && code < 500:
		kind = blobstore.ErrRefused
	}
	return fmt.Errorf("%w: %s %s: %s", kind, s.cfg.Kind, s.cfg.Bucket, text)
}

// bare takes off what distribution's drivers wrap their errors in, which hides what
// is inside from [errors.As].
func bare(err error) error {
	var wrapped driver.Error
	if errors.As(err, &wrapped) && wrapped.Detail != nil {
		return wrapped.Detail
	}
	return err
}

// missing reports whether err says that there is no such object.
func missing(err error) bool { return errors.As(err, new(driver.PathNotFoundError)) }
