package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
)

// publish is the [blobstore.Publisher] of the staging store.
func (s *Store) publish(
	ctx context.Context, d digest.Digest, from io.ReaderAt, size int64,
) (_ *blobstore.Pin, err error) {
	path, err := blobPath(d)
	if err != nil {
		return nil, err
	}
	if s.cfg.Kind == S3 && size > partsMax*s.cfg.ChunkBytes {
		return nil, fmt.Errorf("%w: %d bytes are more than %d pieces of %d: make the pieces larger (storage-chunk-mib)",
			blobstore.ErrRefused, size, partsMax, s.cfg.ChunkBytes)
	}
	select {
	case s.puts <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-s.puts }()
	defer s.metrics.observe("put", &err)()
	if err := s.own(ctx); err != nil {
		return nil, err
	}
	pin := s.names.pin(d)
	if err := s.put(ctx, path, from, size); err != nil {
		pin.Release()
		return nil, err
	}
	return pin, nil
}

// retries are the pauses after which a small blob is sent once more: a connection that
// the store has just closed is no reason to fail a push, which clients do not repeat.
//
//nolint:gochecknoglobals // a constant, but for Go
var retries = [...]time.Duration{50 * time.Millisecond, 500 * time.Millisecond}

// put returns when the object store has all of the blob under its name, and says so
// when it is asked.
func (s *Store) put(ctx context.Context, path string, from io.ReaderAt, size int64) error {
	r := io.NewSectionReader(from, 0, size)
	if size <= wholeBytes {
		if err := s.putWhole(ctx, path, r, size); err != nil {
			return err
		}
	} else if err := s.putPieces(ctx, path, r); err != nil {
		return err
	}
	// A crash here leaves the blob, whole, known to nobody, and the upload.
	info, err := s.stat(ctx, path)
	if err != nil {
		return fmt.Errorf("look for what was stored: %w", err)
	}
	if info.Size() != size {
		return fmt.Errorf("%w: %d bytes were sent and %d are there", blobstore.ErrUnavailable, size, info.Size())
	}
	return nil
}

func (s *Store) putWhole(asked context.Context, path string, r io.Reader, size int64) error {
	content := make([]byte, size)
	if _, err := io.ReadFull(r, content); err != nil {
		return fmt.Errorf("read upload: %w", err)
	}
	for _, pause := range retries {
		again, err := s.tryWhole(asked, path, content)
		if !again {
			return err
		}
		select {
		case <-time.After(pause):
		case <-asked.Done():
			return context.Cause(asked)
		}
	}
	_, err := s.tryWhole(asked, path, content)
	return err
}

// tryWhole reports whether it may help to send the same once more. A store that did not
// answer in time had its time.
func (s *Store) tryWhole(asked context.Context, path string, content []byte) (again bool, err error) {
	ctx, p := watch(asked, s.cfg.StallTimeout)
	defer p.end()
	err = s.explain(asked, s.backend.PutContent(ctx, path, content))
	return errors.Is(err, blobstore.ErrUnavailable) && ctx.Err() == nil, err
}

// putPieces sends a blob in pieces that become visible at once: where the store
// cannot do that, under another name first. What is left of a failure is dropped,
// or, if that fails too, remembered.
func (s *Store) putPieces(asked context.Context, path string, r io.Reader) (err error) {
	to := path
	if !s.backend.atomic {
		to = uploadsDir + "/" + uuid.NewString()
	}
	if s.backend.abandoned {
		done, noted := s.pending.begin(path)
		if noted != nil {
			return noted
		}
		defer func() { done(!errors.As(err, new(*leftover))) }()
	}
	ctx, p := watch(asked, s.cfg.StallTimeout)
	defer p.end()
	w, err := s.backend.Writer(ctx, to, false)
	if err != nil {
		return s.explain(asked, err)
	}
	if err := s.copy(w, r, p); err != nil {
		return s.giveUp(asked, w, to, s.explain(asked, err))
	}
	p.step(s.cfg.FinishTimeout)
	if err := w.Commit(ctx); err != nil {
		return s.giveUp(asked, w, to, s.explain(asked, err))
	}
	if to == path {
		return nil
	}
	p.step(s.cfg.FinishTimeout)
	return s.explain(asked, s.backend.Move(ctx, to, path))
}

// copy sends r, and marks each piece that was taken.
func (s *Store) copy(w io.Writer, r io.Reader, p *progress) error {
	buf := s.buffers.Get().(*buffer)
	defer s.buffers.Put(buf)
	for {
		n, rerr := r.Read(buf[:])
		if n > 0 {
			p.step(s.cfg.StallTimeout)
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(rerr, io.EOF) {
			return nil
		}
		if rerr != nil {
			return rerr
		}
	}
}

// giveUp drops what was sent of a blob, also when whoever asked has gone, and
// returns why.
func (s *Store) giveUp(asked context.Context, w driver.FileWriter, to string, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(asked), s.cfg.RequestTimeout)
	defer cancel()
	if err := w.Cancel(ctx); err != nil && !missing(err) {
		s.log.DebugContext(ctx, "what was sent of a blob is left behind", "path", to, "err", err)
		return &leftover{why}
	}
	return why
}

// A leftover is an error after which pieces of a blob may be left in the store.
type leftover struct{ error }

func (l *leftover) Unwrap() error { return l.error }
