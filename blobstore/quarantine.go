package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// quarantine moves b aside if its name still means the file f.
func (s *Store) quarantine(f *os.File, b blobName) (moved bool, err error) {
	l := s.pins.lock(b)
	defer l.mu.Unlock()
	now, err := s.stat(b.path())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var read unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &read); err != nil {
		return false, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if now.Dev != read.Dev || now.Ino != read.Ino {
		return false, nil
	}
	return true, s.quarantineLocked(b, time.Now())
}

// Quarantined lists what Verify put aside, oldest first. One digest may appear
// more than once. Info.Time is when it was put aside.
func (s *Store) Quarantined(context.Context) ([]Info, error) {
	var infos []Info
	for q, err := range s.quarantined() {
		if err != nil {
			return nil, fmt.Errorf("list quarantine: %w", err)
		}
		infos = append(infos, q.Info)
	}
	return infos, nil
}

// PurgeQuarantine removes what was put aside before, and tells how many files
// and bytes that were. Nothing else ever does.
func (s *Store) PurgeQuarantine(ctx context.Context, before time.Time) (n int, bytes int64, err error) {
	for q, err := range s.quarantined() {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && q.Time.Before(before) {
			if err = s.disk.remove(q.file); err == nil {
				n++
				bytes += q.Size
			}
		}
		if err != nil {
			return n, bytes, fmt.Errorf("purge quarantine: %w", err)
		}
	}
	return n, bytes, nil
}

type quarantinedBlob struct {
	Info
	file string
}

// quarantined walks over quarantine/, passing over what is not ours.
func (s *Store) quarantined() iter.Seq2[quarantinedBlob, error] {
	return func(yield func(quarantinedBlob, error) bool) {
		names, err := s.names(quarantineDir)
		if err != nil && !yield(quarantinedBlob{}, err) {
			return
		}
		for _, name := range names {
			d, at, ok := parseQuarantined(name)
			if !ok {
				continue
			}
			q := quarantinedBlob{Info: Info{Digest: d, Time: at}, file: quarantineDir + "/" + name}
			st, err := s.stat(q.file)
			if errors.Is(err, fs.ErrNotExist) {
				continue // purged meanwhile
			}
			q.Size = st.Size
			if !yield(q, err) {
				return
			}
		}
	}
}
