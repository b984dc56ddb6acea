package blobstore

import (
	"errors"
	"fmt"
	"io/fs"
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
	flush(f *os.File) // begin writing what sync will wait for
	sync(f *os.File) error
	mkdir(name string) error // no error when it exists
	rename(from, to string) error
	remove(name string) error
	syncDir(name string) error
}

// publish gives the bytes of f, the file called from, the name b, and pins b.
// The caller has checked that they are b.
//
// On an error the upload can be committed again, unless spent is true. Then
// either it has its new name, which may not outlive a power cut, or the disk
// dropped bytes that it had accepted: another sync would succeed, and lie.
func (s *Store) publish(f *os.File, from string, b blobName) (pin *Pin, spent bool, err error) {
	point.At("upload.written")
	if err := s.disk.sync(f); err != nil {
		return nil, true, err
	}
	// A crash here leaves a complete upload under its old name.
	point.At("blob.synced")
	if err := s.shards.make(s.disk, b); err != nil {
		return nil, false, err
	}
	pin, err = s.pins.add(b, func() error { return s.disk.rename(from, b.path()) })
	if err != nil {
		return nil, false, err
	}
	// A crash here leaves the blob or the upload, whole, as the directories
	// were written or not. Nobody was told that the blob is there.
	point.At("blob.renamed")
	if err := s.disk.syncDir(b.shard()); err != nil {
		pin.Release()
		return nil, true, err
	}
	point.At("blob.published")
	return pin, false, nil
}

// discardLocked takes the name b away for good: the directory is synced,
// because a blob that came back after a power cut would be one that no sweep
// looks for. It is synced even if the name is gone already, which may be the
// work of a process that was killed before it synced. The caller holds b's
// lock.
func (s *Store) discardLocked(b blobName) error {
	if err := s.disk.remove(b.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A crash here may bring the blob back, whole; the sweep, which was not
	// told that it went, removes it again.
	point.At("blob.removed")
	if err := s.disk.syncDir(b.shard()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// quarantineLocked moves b aside for good. The caller holds b's lock. A crash
// before the directories are synced may leave the bytes where they were; the
// next Verify finds them again.
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

// osDisk is the disk under a directory, whose path is absolute.
type osDisk struct{ dir string }

func (d osDisk) path(name string) string { return d.dir + "/" + name }

func (d osDisk) create(name string) (*os.File, error) {
	return d.open(name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR)
}

// open is for reading too: it changes nothing unless flags say so. What it
// spares of os.OpenFile is the attempt to poll a file.
func (d osDisk) open(name string, flags int) (*os.File, error) {
	fd, err := d.openFD(name, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.path(name)), nil
}

func (d osDisk) openFD(name string, flags int) (fd int, err error) {
	name = d.path(name)
	err = uninterrupted(func() (err error) {
		fd, err = unix.Open(name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
		return err
	})
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

// read reads the file from its beginning until p is full or the file ends, which
// a disk's file does where a read falls short.
func (d osDisk) read(name string, p []byte) (n int, err error) {
	fd, err := d.openFD(name, unix.O_RDONLY)
	if err != nil {
		return 0, err
	}
	err = uninterrupted(func() (err error) {
		n, err = unix.Pread(fd, p, 0)
		return err
	})
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return 0, &os.PathError{Op: "read", Path: d.path(name), Err: err}
	}
	return n, nil
}

// allocate sets n bytes from off aside without changing the size of f. File
// systems that cannot are left alone: writing will tell.
func (osDisk) allocate(f *os.File, off, n int64) error {
	err := uninterrupted(func() error {
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
	if err == nil || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return &os.PathError{Op: "allocate", Path: f.Name(), Err: err}
}

func (osDisk) write(f *os.File, p []byte, off int64) (int, error) { return f.WriteAt(p, off) }

func (osDisk) truncate(f *os.File, size int64) error { return f.Truncate(size) }

// flush is a wish: whether it came true, sync will tell.
func (osDisk) flush(f *os.File) {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}

// sync waits for the bytes and the size of f, not for its times.
func (osDisk) sync(f *os.File) error {
	if err := uninterrupted(func() error { return unix.Fdatasync(int(f.Fd())) }); err != nil {
		return &os.PathError{Op: "sync", Path: f.Name(), Err: err}
	}
	return nil
}

func (d osDisk) mkdir(name string) error {
	if err := os.Mkdir(d.path(name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// rename replaces to. Unlike os.Rename it does not look at it first.
func (d osDisk) rename(from, to string) error {
	if err := uninterrupted(func() error { return unix.Rename(d.path(from), d.path(to)) }); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

func (d osDisk) remove(name string) error {
	if err := uninterrupted(func() error { return unix.Unlink(d.path(name)) }); err != nil {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

func (d osDisk) syncDir(name string) error {
	fd, err := d.openFD(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	err = uninterrupted(func() error { return unix.Fsync(fd) })
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return &os.PathError{Op: "sync", Path: d.path(name), Err: err}
	}
	return nil
}

// uninterrupted repeats a system call that a signal broke off.
func uninterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR { //nolint:errorlint // a bare errno, and hot
			return err
		}
	}
}

// asFull makes an error of a full disk, of an exhausted quota, or of a size that
// no file may have, an [ErrFull].
func asFull(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
