package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
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

// All walks over every blob, in the order of algorithm and digest. It reads
// directories and no blob, and is for scrub and check: what a request needs
// must never depend on how many blobs there are. A blob that comes or goes
// meanwhile may be missed. An error does not end the walk.
func (s *Store) All() iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for b, err := range s.blobs() {
			if err != nil {
				if !yield(Info{}, fmt.Errorf("list blobs: %w", err)) {
					return
				}
				continue
			}
			st, err := s.stat(b.path())
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed meanwhile
			}
			info := Info{Digest: b.digest(), Size: st.Size, Time: published(st)}
			if err != nil {
				info, err = Info{Digest: b.digest()}, fmt.Errorf("list blobs: %w", err)
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

// blobs walks over the names under blobs/, one shard in memory at a time.
func (s *Store) blobs() iter.Seq2[blobName, error] {
	return func(yield func(blobName, error) bool) {
		for dir, err := range s.shardDirs() {
			var names []string
			if err == nil {
				names, err = s.names(dir.shard())
			}
			if err != nil && !yield(blobName{}, err) {
				return
			}
			for _, name := range names {
				b, err := parseDigest(digest.Digest(string(dir.alg) + ":" + name))
				if err == nil && b.shard() != dir.shard() {
					err = errors.New("in the wrong directory")
				}
				if err != nil {
					err = fmt.Errorf("%s/%s: %w", dir.shard(), name, err)
				}
				if !yield(b, err) {
					return
				}
			}
		}
	}
}

// shardDirs walks over the directories blobs are in. The hex of what it yields
// is only the shard.
func (s *Store) shardDirs() iter.Seq2[blobName, error] {
	return func(yield func(blobName, error) bool) {
		algs, err := s.names(blobsDir)
		if err != nil && !yield(blobName{}, err) {
			return
		}
		for _, alg := range algs {
			dirs, err := s.names(blobsDir + "/" + alg)
			if err != nil && !yield(blobName{}, err) {
				return
			}
			for _, dir := range dirs {
				var err error
				if len(dir) != 2 || !isHex(dir) || !digest.Algorithm(alg).Available() {
					err = fmt.Errorf("%s/%s/%s: not a directory of blobs", blobsDir, alg, dir)
				}
				if !yield(blobName{alg: digest.Algorithm(alg), hex: dir}, err) {
					return
				}
			}
		}
	}
}

// names lists a directory, sorted.
func (s *Store) names(dir string) ([]string, error) {
	f, err := s.os.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, &os.PathError{Op: "list", Path: dir, Err: err}
	}
	return names, nil
}
