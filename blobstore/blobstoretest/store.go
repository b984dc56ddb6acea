package blobstoretest

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
)

// A Store is what [Run] tests. The methods mean what those of
// [blobstore.Store] mean, and return its errors.
type Store interface {
	Stat(ctx context.Context, d digest.Digest) (blobstore.Info, error)
	Open(ctx context.Context, d digest.Digest) (io.ReadSeekCloser, error)
	Read(ctx context.Context, d digest.Digest, size int64, p []byte) error
	All(ctx context.Context) iter.Seq2[blobstore.Info, error]

	Create(scope string, alg digest.Algorithm, size int64) (*blobstore.Upload, error)
	Resume(scope, id string) (*blobstore.Upload, error)
	StatUpload(scope, id string) (size int64, started time.Time, err error)
	PurgeUploads(ctx context.Context, before time.Time) (n int, bytes int64, err error)

	Pin(ctx context.Context, d digest.Digest) (*blobstore.Pin, error)
	Remove(ctx context.Context, d digest.Digest, live func() (bool, error)) (freed int64, err error)
	Verify(ctx context.Context, d digest.Digest, rate *blobstore.Rate) error
	Quarantined(ctx context.Context) ([]blobstore.Info, error)
}

var _ Store = (*blobstore.Store)(nil)
