package blobstore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// A Rate is a budget of bytes per second that any number of Verify calls
// share. A nil Rate is no bound.
type Rate struct{ limiter *rate.Limiter }

// NewRate returns a budget; 0 or less means no bound.
func NewRate(bytesPerSecond int64) *Rate {
	if bytesPerSecond <= 0 {
		return nil
	}
	// One buffer may always be taken at once, however small the budget is.
	return &Rate{rate.NewLimiter(rate.Limit(bytesPerSecond), len(buffer{}))}
}

// Wait returns when n more bytes, at most 256 KiB, may be read. r may be nil.
func (r *Rate) Wait(ctx context.Context, n int) error {
	if r == nil {
		return ctx.Err()
	}
	return r.limiter.WaitN(ctx, n)
}

// Verify reads d from the disk, not from the page cache where that can be
// avoided, and hashes it. Bytes that are not d, or that the disk cannot read
// any more, are moved to quarantine: [ErrDigest]. A blob that is replaced
// meanwhile is left alone; [ErrNotFound] when there is none.
//
// r bounds the bytes read per second and may be nil.
func (s *Store) Verify(ctx context.Context, d digest.Digest, r *Rate) error {
	b, err := parseDigest(d)
	if err != nil {
		return fmt.Errorf("verify blob: %w", err)
	}
	f, err := s.os.open(b.path(), unix.O_RDONLY)
	if err != nil {
		return fmt.Errorf("verify blob %s: %w", d, asNotFound(err))
	}
	defer func() { _ = f.Close() }() // only read
	bad, err := s.rehash(ctx, f, b, r)
	if err != nil {
		return fmt.Errorf("verify blob %s: %w", d, err)
	}
	if bad == nil {
		return nil
	}
	moved, err := s.quarantine(f, b)
	if err != nil {
		return fmt.Errorf("verify blob %s: %w: quarantine: %w", d, bad, err)
	}
	if !moved {
		return nil
	}
	s.metrics.quarantined.Inc()
	s.log.ErrorContext(ctx, "blob quarantined", "digest", d, "err", bad)
	return fmt.Errorf("verify blob %s: %w", d, bad)
}

// rehash tells what is wrong with f, or that it could not find out.
func (s *Store) rehash(ctx context.Context, f *os.File, b blobName, r *Rate) (bad, err error) {
	buf := s.buffers.Get().(*buffer)
	defer s.buffers.Put(buf)
	// What is cached says nothing about the disk. And what is read here must
	// not drive out what clients are reading.
	uncache(f, 0, 0)
	h := b.alg.Hash()
	var off, dropped int64
	for {
		n, err := f.ReadAt(buf[:], off)
		_, _ = h.Write(buf[:n]) // never fails
		s.metrics.verified.Add(float64(n))
		off += int64(n)
		if end := err != nil; end || off-dropped >= uncacheEvery {
			uncache(f, dropped, off-dropped)
			dropped = off
		}
		switch {
		case errors.Is(err, io.EOF):
			return compare(h.Sum(nil), b), nil
		case damaged(err):
			return fmt.Errorf("%w: %w", ErrDigest, err), nil
		case err != nil:
			return nil, err
		}
		if err := r.Wait(ctx, n); err != nil {
			return nil, err
		}
	}
}

// uncacheEvery so many bytes the page cache is told that they are not needed:
// often enough to keep it small, seldom enough to cost nothing.
const uncacheEvery = 8 << 20

// uncache drops n bytes of f, 0 meaning all, from the page cache: a wish,
// which may be ignored.
func uncache(f *os.File, off, n int64) { _ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED) }

func compare(sum []byte, b blobName) error {
	var want [64]byte
	n, err := hex.Decode(want[:], []byte(b.hex))
	if err != nil {
		panic("blobstore: a blobName is not hexadecimal: " + b.hex)
	}
	if !bytes.Equal(sum, want[:n]) {
		return fmt.Errorf("%w: the bytes are %s", ErrDigest, digest.NewDigestFromBytes(b.alg, sum))
	}
	return nil
}

// damaged tells an error by which a file system admits that it lost bytes: of
// the medium, or of its own checksums.
func damaged(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.EUCLEAN) || errors.Is(err, unix.EBADMSG)
}
