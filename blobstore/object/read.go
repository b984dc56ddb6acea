package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
)

// Stat is [blobstore.Store.Stat]. Info.Time is in whole seconds.
func (s *Store) Stat(ctx context.Context, d digest.Digest) (blobstore.Info, error) {
	path, err := blobPath(d)
	if err != nil {
		return blobstore.Info{}, fmt.Errorf("stat blob: %w", err)
	}
	info, err := s.stat(ctx, path)
	if err != nil {
		return blobstore.Info{}, fmt.Errorf("stat blob %s: %w", d, err)
	}
	return blobstore.Info{Digest: d, Size: info.Size(), Time: wholeSeconds(info.ModTime())}, nil
}

// wholeSeconds is what a store says of a time whichever way it is asked.
func wholeSeconds(t time.Time) time.Time { return time.Unix(t.Unix(), 0) }

func (s *Store) stat(asked context.Context, path string) (_ driver.FileInfo, err error) {
	defer s.metrics.observe("stat", &err)()
	ctx, cancel := context.WithTimeoutCause(asked, s.cfg.RequestTimeout, errStalled)
	defer cancel()
	info, err := s.backend.Stat(ctx, path)
	if err != nil {
		return nil, s.explain(asked, err)
	}
	if info.IsDir() {
		return nil, blobstore.ErrNotFound
	}
	return info, nil
}

// Open is [blobstore.Store.Open]. Reading ends with ctx. Where the connection
// breaks it is read on from there; a blob that was removed meanwhile may then end in
// an error.
func (s *Store) Open(ctx context.Context, d digest.Digest) (io.ReadSeekCloser, error) {
	path, err := blobPath(d)
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	info, err := s.stat(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", d, err)
	}
	r := &reader{store: s, ctx: ctx, path: path, size: info.Size()}
	if err := r.connect(ctx); err != nil {
		return nil, fmt.Errorf("open blob %s: %w", d, err)
	}
	return r, nil
}

// Read is [blobstore.Store.Read].
func (s *Store) Read(asked context.Context, d digest.Digest, size int64, p []byte) (err error) {
	path, err := blobPath(d)
	if err != nil {
		return fmt.Errorf("read blob: %w", err)
	}
	defer s.metrics.observe("get", &err)()
	ctx, cancel := context.WithTimeoutCause(asked, s.cfg.RequestTimeout, errStalled)
	defer cancel()
	body, err := s.backend.Reader(ctx, path, 0)
	if err != nil {
		return fmt.Errorf("read blob %s: %w", d, s.explain(asked, err))
	}
	defer func() { _ = body.Close() }() // it was only read
	n, err := io.ReadFull(body, p[:size+1])
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = nil
	case err != nil:
		err = s.explain(asked, err)
	}
	if err == nil && int64(n) != size {
		err = blobstore.ErrDigest
	}
	if err != nil {
		return fmt.Errorf("read blob %s: %w", d, err)
	}
	return nil
}

// Redirect returns an address at which the client of r may fetch d from the object
// store itself for some minutes, or "" when the store gives none.
func (s *Store) Redirect(r *http.Request, d digest.Digest) (string, error) {
	path, err := blobPath(d)
	if err != nil {
		return "", fmt.Errorf("redirect: %w", err)
	}
	to, err := s.backend.RedirectURL(r, path)
	if err != nil {
		return "", fmt.Errorf("redirect: %w", s.explain(r.Context(), err))
	}
	return to, nil
}

// resumesMax is how often in a row a reader connects again without having read
// anything.
const resumesMax = 3

// A reader is one blob being read, by one goroutine.
type reader struct {
	store *Store
	ctx   context.Context //nolint:containedctx // a Read has none, and ends with who asked for the blob
	path  string
	size  int64

	off   int64         // where the next Read reads
	body  io.ReadCloser // nil when not connected
	at    int64         // where body goes on
	watch *progress     // of body
	tries int           // since something was read
}

func (r *reader) connect(asked context.Context) (err error) {
	defer r.store.metrics.observe("get", &err)()
	ctx, p := watch(asked, r.store.cfg.RequestTimeout)
	body, err := r.store.backend.Reader(ctx, r.path, r.off)
	if err != nil {
		p.end()
		return r.store.explain(asked, err)
	}
	p.rest()
	r.body, r.at, r.watch = body, r.off, p
	return nil
}

func (r *reader) disconnect() {
	if r.body != nil {
		_ = r.body.Close() // it was only read
		r.watch.end()
		r.body = nil
	}
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.off < r.size {
		if n, err = r.read(p); n > 0 {
			r.tries = 0
			return n, nil
		}
		if err != nil {
			r.disconnect()
			if r.tries++; r.tries > resumesMax || r.ctx.Err() != nil || errors.Is(err, blobstore.ErrNotFound) {
				return 0, fmt.Errorf("read blob: %w", err)
			}
		}
	}
	return 0, io.EOF
}

func (r *reader) read(p []byte) (int, error) {
	if r.at != r.off {
		r.disconnect()
	}
	if r.body == nil {
		if err := r.connect(r.ctx); err != nil {
			return 0, err
		}
	}
	r.watch.step(r.store.cfg.StallTimeout)
	n, err := r.body.Read(p[:min(int64(len(p)), r.size-r.off)])
	r.watch.rest()
	r.off += int64(n)
	r.at = r.off
	if n > 0 || err == nil {
		return n, nil // an error comes again
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // before all of it came
	}
	return 0, r.store.explain(r.ctx, err)
}

// Seek implements [io.Seeker].
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	r.off = offset // connecting there is left to Read: to the end and back is how the size is asked for
	return offset, nil
}

// Close implements [io.Closer].
func (r *reader) Close() error {
	r.disconnect()
	return nil
}
