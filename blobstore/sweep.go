package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// PurgeUploads removes uploads that nobody wrote to since before, and tells
// how many and how many bytes had been received. An upload that is held is
// left alone.
func (s *Store) PurgeUploads(ctx context.Context, before time.Time) (n int, bytes int64, err error) {
	names, err := s.names(uploadsDir)
	if err != nil {
		return 0, 0, fmt.Errorf("purge uploads: %w", err)
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return n, bytes, fmt.Errorf("purge uploads: %w", err)
		}
		key, alg, ok := parseUploadFile(name)
		if !ok {
			continue // not ours: nothing here is removed on a guess
		}
		size, purged, err := s.purge(key, key.path(alg), before)
		if err != nil {
			return n, bytes, fmt.Errorf("purge upload %s: %w", key.id(), err)
		}
		if purged {
			n++
			bytes += size
			s.metrics.abandoned.Inc()
		}
	}
	return n, bytes, nil
}

// purge removes one upload if it is old and nobody holds it. It takes hold
// itself meanwhile, so that nobody resumes what is about to vanish.
func (s *Store) purge(key uploadKey, file string, before time.Time) (size int64, purged bool, err error) {
	if _, old, err := s.isOld(file, before); !old {
		return 0, false, err
	}
	state, known, err := s.sessions.hold(key)
	if errors.Is(err, ErrBusy) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	size, old, err := s.isOld(file, before) // still, now that nobody can write?
	if old {
		err = s.disk.remove(file)
	}
	switch {
	case old && err == nil, !known:
		s.sessions.forget(state)
		if state.file != nil {
			_ = state.file.Close() // of bytes that nobody wants
		}
	default:
		if spare := s.sessions.letGo(state); spare != nil {
			_ = spare.Close() // of bytes that are not promised
		}
	}
	return size, old && err == nil, err
}

// isOld tells whether a file was last written to before. One that is gone was
// not.
func (s *Store) isOld(file string, before time.Time) (size int64, old bool, err error) {
	st, err := s.stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	return st.Size, err == nil && modified(st).Before(before), err
}

func modified(st unix.Stat_t) time.Time { return time.Unix(st.Mtim.Unix()) }
