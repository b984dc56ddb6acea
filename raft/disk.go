package raft

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"
	"golang.org/x/sys/unix"
)

// roomMin is how many bytes there must be before a log that found its disk full
// tries again: enough for a batch of ordinary entries.
const roomMin = 1 << 20

// segments is the file system as the log sees it: the guest's own, except that
// setting space aside is a wish. On a disk that has no room for a whole segment
// the log begins one all the same, and goes on to the last byte: deleting is an
// entry, too.
type segments struct {
	*fs.FS
	size int64 // of a segment
}

var _ types.VFS = segments{}

// Create implements types.VFS.
func (s segments) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := s.FS.Create(dir, name, size)
	if !isNoSpace(err) {
		return f, err
	}
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		return nil, err
	}
	return s.FS.Create(dir, name, 0)
}

// OpenWriter implements types.VFS. The wish may come true now.
func (s segments) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if st.Size() < s.size && allocate(f, s.size) != nil {
		err = f.Truncate(st.Size()) // half of it would look like more than there is
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// allocate sets space aside for the first size bytes of f.
func allocate(f *os.File, size int64) error {
	for {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, size); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// room checks that the disk has size bytes left, by setting them aside for a
// moment: only that asks quotas, too.
func room(dir string, size int64) error {
	f, err := os.CreateTemp(dir, "room-*")
	if err == nil {
		err = allocate(f, size)
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) { // else the append will tell
		return fmt.Errorf("look for room in the log directory: %w", err)
	}
	return nil
}

// lockDir takes dir for this process, until the file is closed.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// datasync makes the contents of a file durable whose size does not change.
func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}
