package blobstore

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// reserveFile is the ballast: blocks that belong to nobody, so that there is
// something to give up when the disk is full.
const reserveFile = "reserve"

type ballast struct {
	mu   sync.Mutex   // held while the file is made or removed
	want atomic.Int64 // bytes; set in Open
	held atomic.Int64 // bytes the file occupies; written with mu held
}

// openBallast finds out how large the ballast shall be and what there is of
// it. A disk too full for it is no error: deletes must be possible.
func (s *Store) openBallast() error {
	if s.cfg.LeaveReserve {
		return nil
	}
	m, err := s.measure()
	if err != nil {
		return err
	}
	want := reserveSize(s.cfg.Reserve, m.Total)
	st, err := s.stat(reserveFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && st.Size != want {
		// Another size was configured, or making it was interrupted.
		if err := s.disk.remove(reserveFile); err != nil {
			return err
		}
		st.Size = 0
	}
	s.ballast.held.Store(st.Size)
	s.ballast.want.Store(want)
	return s.Relieve()
}

// reserveSize is the size of the ballast on a disk of total bytes.
func reserveSize(configured, total int64) int64 {
	switch {
	case configured < 0:
		return 0
	case configured > 0:
		return configured
	}
	return min(min(max(total/50, 16<<20), 256<<20), total/20)
}

// takeBallastLocked makes the file. Its size is given last: a file of another
// size is one whose making was interrupted, and [Open] removes it.
func (s *Store) takeBallastLocked(size int64) (err error) {
	f, err := s.disk.create(reserveFile)
	if err != nil {
		return asFull(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := s.fillBallast(f, size); err != nil {
		return errors.Join(fmt.Errorf("reserve %d bytes: %w", size, asFull(err)), s.disk.remove(reserveFile))
	}
	s.ballast.held.Store(size)
	return nil
}

// fillBallast makes f occupy size bytes, by writing them if the file system
// cannot set them aside: noise, because zeros might be compressed to nothing.
func (s *Store) fillBallast(f *os.File, size int64) error {
	if err := s.disk.allocate(f, 0, size); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if st.Blocks*512 >= size {
		return s.disk.truncate(f, size)
	}
	b := s.buffers.Get().(*buffer)
	defer s.buffers.Put(b)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b[:]) // never fails
	for off := int64(0); off < size; off += int64(len(b)) {
		if _, err := s.disk.write(f, b[:min(int64(len(b)), size-off)], off); err != nil {
			return err
		}
	}
	return s.disk.sync(f)
}

// dropBallastLocked gives the blocks back to the file system.
func (s *Store) dropBallastLocked() error {
	if err := s.disk.remove(reserveFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.ballast.held.Store(0)
	return s.disk.syncDir(".")
}
