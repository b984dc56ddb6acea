package raft

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"
)

// segments is the file system as the log sees it: the guest's own, except that
// a segment whose space could not be set aside leaves no file behind. The log
// would take that file for its tail, and grow it without reserve.
type segments struct{ *fs.FS }

var _ types.VFS = segments{}

// Create implements types.VFS.
func (s segments) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := s.FS.Create(dir, name, size)
	if err != nil && !errors.Is(err, os.ErrExist) {
		_ = os.Remove(filepath.Join(dir, name))
	}
	return f, err
}

// room checks that the disk has size bytes for one more segment, by setting
// them aside for a moment: only that asks quotas, too.
func room(dir string, size int64) error {
	f, err := os.CreateTemp(dir, "room-*")
	if err != nil {
		return fmt.Errorf("look for room in the log directory: %w", err)
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	err = syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.EINTR) {
		return nil // cannot be known: the append will tell
	}
	if err != nil {
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
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// datasync makes the contents of a file durable whose size does not change.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
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
