package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
)

// A Pin keeps a blob from [Store.Remove]. It lives in memory only: after a
// restart nothing is pinned, and nobody is waiting for a commit either.
type Pin struct {
	release  func()
	released atomic.Bool
}

// NewPin is for other stores than this package's: a pin whose first Release
// calls release.
func NewPin(release func()) *Pin { return &Pin{release: release} }

// Release lets the blob go. It may be called more than once, and on nil.
func (p *Pin) Release() {
	if p == nil || p.released.Swap(true) {
		return
	}
	p.release()
}

// Pin keeps an existing blob, for a mount or a push that found it here. It
// returns [ErrNotFound] when there is no such blob.
func (s *Store) Pin(_ context.Context, d digest.Digest) (*Pin, error) {
	b, err := parseDigest(d)
	if err != nil {
		return nil, fmt.Errorf("pin blob: %w", err)
	}
	pin, err := s.pins.add(b, func() error {
		_, err := s.stat(b.path())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pin blob %s: %w", d, asNotFound(err))
	}
	return pin, nil
}

// Remove unlinks d durably, unless it is pinned, which is [ErrPinned], or live
// says that it is known after all, which is no error and frees nothing.
//
// live is called with the digest's lock held, so that no commit or pin can
// come between its answer and the unlink; it must not call this store. An
// error of live keeps the blob. A missing blob is no error.
func (s *Store) Remove(
	_ context.Context, d digest.Digest, live func() (bool, error),
) (freed int64, err error) {
	b, err := parseDigest(d)
	if err != nil {
		return 0, fmt.Errorf("remove blob: %w", err)
	}
	l := s.pins.lock(b)
	defer l.mu.Unlock()
	if l.count[b] > 0 {
		return 0, fmt.Errorf("remove blob %s: %w", d, ErrPinned)
	}
	switch known, err := live(); {
	case err != nil:
		return 0, fmt.Errorf("remove blob %s: is it live: %w", d, err)
	case known:
		return 0, nil
	}
	st, err := s.stat(b.path())
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = s.discardLocked(b)
	}
	if err != nil {
		return 0, fmt.Errorf("remove blob %s: %w", d, err)
	}
	return st.Size, nil // 0 of what was not there
}

// pins counts who needs which blob, and is the lock of each blob's name:
// whoever gives a name or takes it away holds it.
type pins [256]stripe

// A stripe is the lock of the blobs whose digests begin with the same byte.
type stripe struct {
	mu    sync.Mutex       // held across one rename, or Remove's question and unlink
	count map[blobName]int // guarded by mu; only blobs that are pinned
}

// lock locks b and its neighbours; the caller unlocks.
func (p *pins) lock(b blobName) *stripe {
	i, err := strconv.ParseUint(b.hex[:2], 16, 8)
	if err != nil {
		panic("blobstore: a blobName is not hexadecimal: " + b.hex)
	}
	l := &p[i]
	l.mu.Lock()
	return l
}

// add pins b if then, called with the lock held, has no objection.
func (p *pins) add(b blobName, then func() error) (*Pin, error) {
	l := p.lock(b)
	defer l.mu.Unlock()
	if err := then(); err != nil {
		return nil, err
	}
	if l.count == nil {
		l.count = make(map[blobName]int)
	}
	l.count[b]++
	return NewPin(func() { p.release(b) }), nil
}

func (p *pins) release(b blobName) {
	l := p.lock(b)
	defer l.mu.Unlock()
	if l.count[b]--; l.count[b] == 0 {
		delete(l.count, b)
	}
}
