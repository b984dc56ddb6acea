package replicate

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// A stream reads a blob from other nodes without keeping it: on a witness, on a full
// disk, or far ahead of a transfer. One goroutine uses it.
type stream struct {
	copies meta.BlobCopies
	open   func(off int64) (*body, error)
	wrong  func(from []meta.Node, err error)

	body   *body
	off    int64 // of the reader
	at     int64 // of body
	hash   hash.Hash
	hashed int64       // bytes from the beginning that were read in order
	from   []meta.Node // who sent them
	fails  int         // since the last byte
	closed bool
}

// openStream opens c at off. It returns when a node has answered.
func (r *Replicator) openStream(ctx context.Context, c meta.BlobCopies, off int64) (io.ReadSeekCloser, error) {
	s := &stream{copies: c, off: off, hash: c.Digest.Algorithm().Hash()}
	s.open = func(off int64) (*body, error) {
		nodes, err := r.holders(c, nil)
		if err != nil {
			return nil, err
		}
		if len(nodes) == 0 {
			return nil, ErrNoSource
		}
		b, _, err := r.ask(ctx, nodes, c, off)
		if err != nil {
			err = errors.Join(ErrNoSource, err)
		}
		return b, err
	}
	s.wrong = func(from []meta.Node, err error) { r.blame(ctx, from, c.Digest, err) }
	r.metrics.streamed.Inc()
	if c.Size == 0 {
		return s, nil
	}
	if err := s.connect(); err != nil {
		return nil, fmt.Errorf("open blob %s: %w", c.Digest, err)
	}
	return s, nil
}

// connect makes body stand at off.
func (s *stream) connect() (err error) {
	if s.body != nil && s.at == s.off {
		return nil
	}
	s.hangUp()
	if s.body, err = s.open(s.off); err != nil {
		s.body = nil
		return err
	}
	s.at = s.off
	return nil
}

func (s *stream) hangUp() {
	if s.body != nil {
		_ = s.body.Close() // what counts was read
		s.body = nil
	}
}

// Read reads. Where a holder fails it goes on with another. What was read in order
// from the beginning is compared with the digest before its last piece is handed out.
func (s *stream) Read(p []byte) (int, error) {
	for {
		switch {
		case s.closed:
			return 0, os.ErrClosed
		case s.off >= s.copies.Size:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		}
		if err := s.connect(); err != nil {
			return 0, err
		}
		n, err := s.body.Read(p[:min(int64(len(p)), s.copies.Size-s.off)])
		if n > 0 {
			s.fails = 0
			if err := s.took(p[:n]); err != nil {
				return 0, err
			}
			return n, nil
		}
		if err != nil {
			s.hangUp()
			if s.fails++; s.fails > roundsMax {
				return 0, fmt.Errorf("read blob %s: %w", s.copies.Digest, errors.Join(ErrNoSource, err))
			}
		}
	}
}

// took counts what was read. On an error nothing of it may be used.
func (s *stream) took(p []byte) error {
	if s.off == s.hashed {
		_, _ = s.hash.Write(p) // never fails
		s.hashed += int64(len(p))
		s.from = withNode(s.from, s.body.node)
	}
	s.off += int64(len(p))
	s.at = s.off
	if s.off < s.copies.Size || s.hashed < s.copies.Size {
		return nil
	}
	got := digest.NewDigest(s.copies.Digest.Algorithm(), s.hash)
	if got == s.copies.Digest {
		return nil
	}
	err := fmt.Errorf("%w: the bytes are %s", errWrong, got)
	s.wrong(s.from, err)
	return err
}

// Seek moves to another offset.
func (s *stream) Seek(offset int64, whence int) (int64, error) {
	off, err := seek(s.off, s.copies.Size, offset, whence)
	if err == nil {
		s.off = off
	}
	return off, err
}

// Close ends the stream.
func (s *stream) Close() error {
	if s.closed {
		return os.ErrClosed
	}
	s.closed = true
	s.hangUp()
	return nil
}
