package blobstore

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// A faulty disk fails one kind of operation.
type faulty struct {
	osDisk
	fails string
	err   error
}

func (d *faulty) fault(kind string, or func() error) error {
	if d.fails == kind {
		return d.err
	}
	return or()
}

func (d *faulty) sync(f *os.File) error {
	return d.fault("sync", func() error { return d.osDisk.sync(f) })
}

func (d *faulty) rename(from, to string) error {
	return d.fault("rename", func() error { return d.osDisk.rename(from, to) })
}

func (d *faulty) remove(name string) error {
	return d.fault("remove", func() error { return d.osDisk.remove(name) })
}

func (d *faulty) syncDir(name string) error {
	return d.fault("syncdir", func() error { return d.osDisk.syncDir(name) })
}

// write, when it fails, has taken half and left more in the file.
func (d *faulty) write(f *os.File, p []byte, off int64) (n int, err error) {
	n, err = d.osDisk.write(f, p, off)
	if d.fails == "write" {
		return n / 2, d.err
	}
	return n, err
}

func (d *faulty) allocate(f *os.File, off, n int64) error {
	return d.fault("allocate", func() error { return d.osDisk.allocate(f, off, n) })
}

func openFaulty(t *testing.T) (*Store, *faulty) {
	t.Helper()
	d := &faulty{osDisk: osDisk{dir: t.TempDir()}}
	cfg := Config{Dir: d.dir, Reserve: -1, Soft: 100, High: 100, Critical: 100}
	if err := cfg.setDefaults(); err != nil {
		t.Fatal(err)
	}
	s, err := open(cfg, d.osDisk, d)
	if err != nil {
		t.Fatal(err)
	}
	return s, d
}

// After a failed sync the kernel calls the lost pages clean: the next sync
// would succeed over bytes that are not on the disk.
func TestUploadWhoseSyncFailedIsNeverPublished(t *testing.T) {
	for _, fails := range []error{unix.EIO, unix.ENOSPC, unix.EDQUOT} {
		s, disk := openFaulty(t)
		u := create(t, s)
		write(t, u, first)
		d := digest.FromBytes(first)
		disk.fails, disk.err = "sync", fails
		_, err := u.Commit(t.Context(), d)
		if full := !errors.Is(fails, unix.EIO); !errors.Is(err, fails) || errors.Is(err, ErrFull) != full {
			t.Errorf("commit: %v, want %v", err, fails)
		}
		disk.fails = ""
		if _, err := u.Commit(t.Context(), d); !errors.Is(err, os.ErrClosed) {
			t.Errorf("commit once more: %v, want that the upload is closed", err)
		}
		if _, err := s.Resume("r", u.ID()); !errors.Is(err, ErrNotFound) {
			t.Errorf("resume: %v, want ErrNotFound", err)
		}
		if _, err := s.Stat(t.Context(), d); !errors.Is(err, ErrNotFound) {
			t.Errorf("stat: %v, want ErrNotFound", err)
		}
		pushTo(t, s, first, digest.SHA256)
	}
}

// The name was given, but nobody may rely on it; nor may anybody write on to
// what is now a blob.
func TestPublicationThatWasNotSyncedIsNotAcknowledged(t *testing.T) {
	s, disk := openFaulty(t)
	pushTo(t, s, first, digest.SHA256) // makes the shard
	u := create(t, s)
	write(t, u, first)
	d := digest.FromBytes(first)
	disk.fails, disk.err = "syncdir", unix.EIO
	if _, err := u.Commit(t.Context(), d); !errors.Is(err, unix.EIO) {
		t.Errorf("commit: %v, want EIO", err)
	}
	if _, err := s.Resume("r", u.ID()); !errors.Is(err, ErrNotFound) {
		t.Errorf("resume: %v, want ErrNotFound", err)
	}
	if _, err := s.Remove(t.Context(), d, func() (bool, error) { return false, nil }); !errors.Is(err, unix.EIO) {
		t.Errorf("remove: %v, want EIO, not that it is pinned", err)
	}
}

func TestCommitThatCouldNotRenameCanBeTriedAgain(t *testing.T) {
	s, disk := openFaulty(t)
	u := create(t, s)
	write(t, u, first)
	d := digest.FromBytes(first)
	for _, kind := range []string{"syncdir", "rename"} {
		disk.fails, disk.err = kind, unix.ENOSPC
		if _, err := u.Commit(t.Context(), d); !errors.Is(err, ErrFull) {
			t.Errorf("commit: %v, want ErrFull", err)
		}
		closeIt(t, u)
		var err error
		if u, err = s.Resume("r", u.ID()); err != nil {
			t.Fatal(err)
		}
	}
	disk.fails = ""
	if _, err := u.Commit(t.Context(), d); err != nil {
		t.Error(err)
	}
}

func TestUploadWithoutRoomLeavesNothing(t *testing.T) {
	s, disk := openFaulty(t)
	for _, full := range []error{unix.ENOSPC, unix.EDQUOT} {
		disk.fails, disk.err = "allocate", full
		if _, err := s.Create("r", "", 5<<20); !errors.Is(err, ErrFull) {
			t.Errorf("create: %v, want ErrFull", err)
		}
	}
	if left, err := s.names(uploadsDir); len(left) != 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWhatAFailedWriteLeftIsNotPublished(t *testing.T) {
	s, disk := openFaulty(t)
	u := create(t, s)
	disk.fails, disk.err = "write", unix.ENOSPC
	n, err := u.Write(third)
	if n != len(third)/2 || u.Size() != int64(n) || !errors.Is(err, ErrFull) {
		t.Fatalf("write: %d, %v", n, err)
	}
	disk.fails = ""
	d := digest.FromBytes(third[:n])
	if _, err := u.Commit(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if info, err := s.Stat(t.Context(), d); err != nil || info.Size != int64(n) {
		t.Errorf("stat: %+v, %v; want %d bytes", info, err, n)
	}
	if err := s.Verify(t.Context(), d, nil); err != nil {
		t.Error(err)
	}
}

// The memory of a process cannot be read at address 0: the same error as that
// of a bad sector.
func TestUnreadableBytesAreBad(t *testing.T) {
	f, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, _ := openFaulty(t)
	b, err := parseDigest(digest.FromString("x"))
	if err != nil {
		t.Fatal(err)
	}
	bad, err := s.rehash(t.Context(), f, b, nil)
	if !errors.Is(bad, ErrDigest) || !errors.Is(bad, unix.EIO) || err != nil {
		t.Errorf("rehash: %v, %v; want ErrDigest and EIO", bad, err)
	}
}

func TestLostBytesAreToldFromOtherErrors(t *testing.T) {
	for err, want := range map[error]bool{
		unix.EIO: true, unix.EUCLEAN: true, unix.EBADMSG: true,
		unix.ENOMEM: false, unix.EACCES: false, unix.ESTALE: false, nil: false,
	} {
		if err != nil {
			err = &os.PathError{Op: "read", Err: err}
		}
		if damaged(err) != want {
			t.Errorf("damaged(%v) = %v", err, !want)
		}
	}
}

// A slow disk does something while it renames.
type slow struct {
	osDisk
	renamed func()
}

func (d slow) rename(from, to string) error {
	err := d.osDisk.rename(from, to)
	d.renamed()
	return err
}

func TestBlobIsPinnedFromTheMomentItHasItsName(t *testing.T) {
	s, disk := openFaulty(t)
	d := digest.FromBytes(first)
	removed := make(chan error, 1)
	s.disk = slow{disk.osDisk, func() {
		go func() { // joined below
			_, err := s.Remove(t.Context(), d, func() (bool, error) { return false, nil })
			removed <- err
		}()
		// A removal takes a millisecond when nothing holds it up.
		select {
		case err := <-removed:
			removed <- err
		case <-time.After(100 * time.Millisecond):
		}
	}}
	u := create(t, s)
	write(t, u, first)
	pin, err := u.Commit(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-removed; !errors.Is(err, ErrPinned) {
		t.Errorf("removal during the commit: %v, want ErrPinned", err)
	}
	if _, err := s.Stat(t.Context(), d); err != nil {
		t.Errorf("committed, and: %v", err)
	}
	pin.Release()
}
