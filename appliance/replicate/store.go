package replicate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// A Store is the blobs of all nodes, for whoever serves clients: what is not on this
// disk is read from another, and kept where that makes sense. Uploads are this node's.
// It is safe for concurrent use, and its errors are those of [blobstore].
type Store struct{ r *Replicator }

// Store returns the blobs of all nodes.
func (r *Replicator) Store() *Store { return &Store{r} }

// Create is [blobstore.Store.Create].
func (s *Store) Create(scope string, alg digest.Algorithm, size int64) (*blobstore.Upload, error) {
	return s.r.cfg.Bytes.Create(scope, alg, size)
}

// Resume is [blobstore.Store.Resume].
func (s *Store) Resume(scope, id string) (*blobstore.Upload, error) {
	return s.r.cfg.Bytes.Resume(scope, id)
}

// StatUpload is [blobstore.Store.StatUpload].
func (s *Store) StatUpload(scope, id string) (size int64, started time.Time, err error) {
	return s.r.cfg.Bytes.StatUpload(scope, id)
}

// Stat looks a blob up. One that only nodes hold which have not been heard of for long
// is [blobstore.ErrNotFound]: a push heals it.
func (s *Store) Stat(ctx context.Context, d digest.Digest) (blobstore.Info, error) {
	info, err := s.r.cfg.Bytes.Stat(ctx, d)
	if !s.elsewhere(err) {
		return info, err
	}
	c, found, other := s.find(d)
	if other != nil {
		return blobstore.Info{}, other
	}
	near := func(id meta.NodeID) bool { return id != s.r.cfg.Self() && !s.r.cfg.Condition(id).Away }
	if !found || !slices.ContainsFunc(c.Holders, near) {
		return blobstore.Info{}, err
	}
	return blobstore.Info{Digest: d, Size: c.Size, Time: c.Created}, nil
}

// Pin keeps a blob on this disk, or returns a pin of nothing if others hold it: then
// the metadata alone decides what becomes of it.
func (s *Store) Pin(ctx context.Context, d digest.Digest) (*blobstore.Pin, error) {
	pin, err := s.r.cfg.Bytes.Pin(ctx, d)
	if !s.elsewhere(err) {
		return pin, err
	}
	if _, err := s.Stat(ctx, d); err != nil {
		return nil, err
	}
	return blobstore.NewPin(func() {}), nil
}

// Open opens a blob for reading: the file, or what another node sends while it is being
// kept here. It returns when the first bytes can be read. Readers of the same blob
// share one transfer. Bytes that turn out to be wrong end too soon, with an error.
func (s *Store) Open(ctx context.Context, d digest.Digest) (io.ReadSeekCloser, error) {
	f, err := s.r.cfg.Bytes.Open(ctx, d)
	if !s.elsewhere(err) {
		return f, err
	}
	c, err := s.holders(d, err)
	if err != nil {
		return nil, err
	}
	return s.r.openAway(ctx, c, 0)
}

// OpenOnce is Open for who reads a blob through and never again, as a backup does:
// what is not on this disk is not kept there either.
func (s *Store) OpenOnce(ctx context.Context, d digest.Digest) (io.ReadSeekCloser, error) {
	f, err := s.r.cfg.Bytes.Open(ctx, d)
	if !s.elsewhere(err) {
		return f, err
	}
	c, err := s.holders(d, err)
	if err != nil {
		return nil, err
	}
	return s.r.openStream(ctx, c, 0)
}

// Read reads a small blob, as [blobstore.Store.Read] does. Bytes of another node are
// compared with d before it returns.
func (s *Store) Read(ctx context.Context, d digest.Digest, size int64, p []byte) error {
	err := s.r.cfg.Bytes.Read(ctx, d, size, p)
	if !s.elsewhere(err) {
		return err
	}
	c, err := s.holders(d, err)
	if err != nil {
		return err
	}
	if c.Size != size {
		return fmt.Errorf("read blob %s: %w", d, blobstore.ErrDigest)
	}
	f, err := s.r.openAway(ctx, c, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	if _, err := io.ReadFull(f, p[:size]); err != nil {
		return fmt.Errorf("read blob %s: %w", d, err)
	}
	return nil
}

// elsewhere says whether an error means that other nodes are to be asked.
func (s *Store) elsewhere(err error) bool {
	return err != nil && errors.Is(err, blobstore.ErrNotFound) && !s.r.alone()
}

// find says who holds d.
func (s *Store) find(d digest.Digest) (c meta.BlobCopies, found bool, err error) {
	copies, err := s.r.cfg.Meta.Copies(d)
	if err != nil || len(copies) == 0 {
		return c, false, err
	}
	if slices.Contains(copies[0].Holders, s.r.cfg.Self()) {
		s.r.scans.lose(d) // it should have been found here
	}
	return copies[0], true, nil
}

// holders is find for whoever wants to read. absent is what this disk said.
func (s *Store) holders(d digest.Digest, absent error) (meta.BlobCopies, error) {
	c, found, err := s.find(d)
	if err == nil && (!found || len(c.Holders) == 0 || len(c.Holders) == 1 && c.Holders[0] == s.r.cfg.Self()) {
		err = absent
	}
	return c, err
}

// triesMax is how often a reader who has seen nothing yet begins anew.
const triesMax = 3

// openAway opens what other nodes hold.
func (r *Replicator) openAway(ctx context.Context, c meta.BlobCopies, tries int) (io.ReadSeekCloser, error) {
	v := r.look()
	at := v.at(v.self)
	if at < 0 || !v.places[at].takes(c.Size) {
		return r.openStream(ctx, c, 0)
	}
	tr := r.transfers.follow(c, slices.Contains(v.wanted(c), v.self))
	if tr == nil {
		return nil, fmt.Errorf("open blob %s: %w", c.Digest, errStopped)
	}
	f := &follower{tr: tr, done: ctx.Done(), cause: ctx.Err}
	f.instead = func(err error, off int64) (io.ReadSeekCloser, error) {
		return r.instead(ctx, c, err, off, tries)
	}
	if err := f.await(); err != nil {
		_ = f.Close() // nothing was read
		return nil, fmt.Errorf("open blob %s: %w", c.Digest, err)
	}
	return f, nil
}

// instead opens the blob anew for a reader at off whose transfer ended with err, or
// returns err.
func (r *Replicator) instead(
	ctx context.Context, c meta.BlobCopies, err error, off int64, tries int,
) (f io.ReadSeekCloser, _ error) {
	cause := err
	switch {
	case errors.Is(err, errHere):
		f, err = r.cfg.Bytes.Open(ctx, c.Digest)
	case errors.Is(err, errFar), errors.Is(err, blobstore.ErrFull):
		f, err = r.openStream(ctx, c, off)
	case off == 0 && tries < triesMax && (errors.Is(err, errWrong) || errors.Is(err, errAbandoned)):
		f, err = r.openAway(ctx, c, tries+1)
	default:
		return nil, cause
	}
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
