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
	Stat(d digest.Digest) (blobstore.Info, error)
	Open(d digest.Digest) (io.ReadSeekCloser, error)
	Read(d digest.Digest, size int64, p []byte) error
	All() iter.Seq2[blobstore.Info, error]

	Create(scope string, alg digest.Algorithm, size int64) (Upload, error)
	Resume(scope, id string) (Upload, error)
	StatUpload(scope, id string) (size int64, started time.Time, err error)
	PurgeUploads(ctx context.Context, before time.Time) (n int, bytes int64, err error)

	Pin(d digest.Digest) (Pin, error)
	Remove(d digest.Digest, live func() (bool, error)) (freed int64, err error)
	Verify(ctx context.Context, d digest.Digest, rate *blobstore.Rate) error
	Quarantined() ([]blobstore.Info, error)
}

// An Upload is a blob being received, as [blobstore.Upload] is.
type Upload interface {
	io.Writer
	io.ReaderFrom
	io.Closer
	ID() string
	Size() int64
	StartedAt() time.Time
	Use(alg digest.Algorithm) error
	Expect(n int64) error
	Commit(d digest.Digest) (Pin, error)
	Cancel() error
}

// A Pin keeps a blob from being removed.
type Pin interface{ Release() }

// Local makes a [Store] of the local implementation.
func Local(s *blobstore.Store) Store { return local{s} }

type local struct{ *blobstore.Store }

func (l local) Open(d digest.Digest) (io.ReadSeekCloser, error) {
	f, err := l.Store.Open(d)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (l local) Create(scope string, alg digest.Algorithm, size int64) (Upload, error) {
	return wrap(l.Store.Create(scope, alg, size))
}

func (l local) Resume(scope, id string) (Upload, error) { return wrap(l.Store.Resume(scope, id)) }

func (l local) Pin(d digest.Digest) (Pin, error) { return pinned(l.Store.Pin(d)) }

type upload struct{ *blobstore.Upload }

func wrap(u *blobstore.Upload, err error) (Upload, error) {
	if err != nil {
		return nil, err
	}
	return upload{u}, nil
}

func (u upload) Commit(d digest.Digest) (Pin, error) { return pinned(u.Upload.Commit(d)) }

func pinned(p *blobstore.Pin, err error) (Pin, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}
