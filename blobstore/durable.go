package blobstore

import (
	"errors"
	"fmt"
	"os"
	"path"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"skerry.dev/skerry/test/crash/point"
)

// A disk is every operation by which this package changes what is stored.
// Names are relative to the store's directory. Nothing outlives a power cut
// but what was synced: bytes by sync, names by syncDir of their directory.
//
// There is one, osDisk. It is an interface so that a test can write down the
// operations and look at each instant the power could fail.
type disk interface {
	create(name string) (*os.File, error) // a new, empty file for reading and writing
	allocate(f *os.File, off, n int64) error
	write(f *os.File, p []byte, off int64) (int, error)
	truncate(f *os.File, size int64) error
	sync(f *os.File) error
	mkdir(name string) error // no error when it exists
	rename(from, to string) error
	remove(name string) error
	syncDir(name string) error
}

// publish gives the bytes of f, the file called from, the name b, and pins b.
// The caller has checked that they are b.
//
// On an error up to the rename the file is still called from. If lost is true
// as well, the disk may have dropped bytes that it had accepted: a second sync
// would succeed and lie, so the file must not be published ever.
func (s *Store) publish(f *os.File, from string, b blobName) (pin *Pin, lost bool, err error) {
	point.At("upload.written")
	if err := s.disk.sync(f); err != nil {
		return nil, true, err
	}
	// A crash here leaves a complete upload under its old name: it can be
	// resumed and committed again.
	point.At("blob.synced")
	if err := s.shards.make(s.disk, b); err != nil {
		return nil, false, err
	}
	pin, err = s.pins.add(b, func() error { return s.disk.rename(from, b.path()) })
	if err != nil {
		return nil, false, err
	}
	// A crash here leaves the blob, whole, or the upload, as the directory was
	// written or not. Nobody was told that the blob is there.
	point.At("blob.renamed")
	if err := s.disk.syncDir(b.shard()); err != nil {
		pin.Release()
		return nil, false, err
	}
	point.At("blob.published")
	return pin, false, nil
}

// discard takes the name b away for good: the directory is synced, because a
// blob that comes back after a power cut is one that no sweep looks for.
// The caller holds b's lock.
func (s *Store) discardLocked(b blobName) error {
	if err := s.disk.remove(b.path()); err != nil {
		return err
	}
	// A crash here may bring the blob back, whole; the sweep, which was not
	// told that it went, removes it again.
	point.At("blob.removed")
	return s.disk.syncDir(b.shard())
}

// quarantineLocked moves b aside. The caller holds b's lock. The new name is
// synced first: a crash leaves the bytes under one name or both, never none.
func (s *Store) quarantineLocked(b blobName, at time.Time) error {
	if err := s.disk.rename(b.path(), b.quarantinePath(at)); err != nil {
		return err
	}
	point.At("blob.quarantined")
	return errors.Join(s.disk.syncDir(quarantineDir), s.disk.syncDir(b.shard()))
}

// shards remembers which directories of blobs are known to outlive a power
// cut. They are made when first needed.
type shards struct {
	mu    sync.Mutex      // held while a directory is made, so that nobody uses it before it is synced
	ready map[string]bool // guarded by mu
}

// make sees to it that the shard of b exists durably. The first use of a shard
// by a process syncs its parent even if the shard is there: whoever made it
// may have been killed before syncing.
func (s *shards) make(d disk, b blobName) error {
	shard := b.shard()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready[shard] {
		return nil
	}
	alg := path.Dir(shard)
	if !s.ready[alg] {
		if err := makeDir(d, alg); err != nil {
			return err
		}
		s.ready[alg] = true
	}
	if err := makeDir(d, shard); err != nil {
		return err
	}
	s.ready[shard] = true
	return nil
}

// makeDir makes a directory, or finds it, and syncs its parent.
func makeDir(d disk, name string) error {
	if err := d.mkdir(name); err != nil {
		return err
	}
	return d.syncDir(path.Dir(name))
}

// osDisk is the disk under an open directory.
type osDisk struct {
	root *os.File
	fd   int // of root
}

func (d osDisk) create(name string) (*os.File, error) {
	return d.open(name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR)
}

// open is for reading too; it alone makes no change unless flags say so.
func (d osDisk) open(name string, flags int) (*os.File, error) {
	for {
		fd, err := unix.Openat(d.fd, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case !errors.Is(err, unix.EINTR):
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// allocate sets n bytes from off aside without changing the size of f. File
// systems that cannot are left alone: writing will tell.
func (osDisk) allocate(f *os.File, off, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, n)
		switch {
		case err == nil, errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return nil
		case !errors.Is(err, unix.EINTR):
			return &os.PathError{Op: "allocate", Path: f.Name(), Err: err}
		}
	}
}

func (osDisk) write(f *os.File, p []byte, off int64) (int, error) { return f.WriteAt(p, off) }

func (osDisk) truncate(f *os.File, size int64) error { return f.Truncate(size) }

// sync waits for the bytes and the size of f, not for its times.
func (osDisk) sync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EINTR):
			return &os.PathError{Op: "sync", Path: f.Name(), Err: err}
		}
	}
}

func (d osDisk) mkdir(name string) error {
	if err := unix.Mkdirat(d.fd, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	return nil
}

// rename replaces to. Unlike os.Rename it does not look at it first.
func (d osDisk) rename(from, to string) error {
	if err := unix.Renameat(d.fd, from, d.fd, to); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

func (d osDisk) remove(name string) error {
	if err := unix.Unlinkat(d.fd, name, 0); err != nil {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

func (d osDisk) syncDir(name string) error {
	f, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// asFull makes an error of a full disk or an exhausted quota an [ErrFull].
func asFull(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
