package blobstore

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Pressure says how near the disk is to being full.
type Pressure int

// The states, each beginning at its watermark.
const (
	Normal   Pressure = iota
	Soft              // evict what can be fetched again
	High              // refuse uploads
	Critical          // refuse all writes but deletes
)

func (p Pressure) String() string {
	switch p {
	case Normal:
		return "normal"
	case Soft:
		return "soft"
	case High:
		return "high"
	case Critical:
		return "critical"
	}
	return fmt.Sprintf("Pressure(%d)", int(p))
}

// Usage is how full the file system under Config.Dir is. What the super-user
// alone may use is left out of every figure.
type Usage struct {
	Total   int64 // bytes
	Free    int64 // bytes that may be written now
	Reserve int64 // bytes the ballast holds now; they are not in Free
	// State counts the ballast as used even while it is given up, so that
	// giving it up does not look like room for more uploads.
	State Pressure
}

// Usage asks the file system; one system call.
func (s *Store) Usage() (Usage, error) {
	u, err := s.usage()
	if err != nil {
		return Usage{}, fmt.Errorf("disk usage: %w", err)
	}
	return u, nil
}

func (s *Store) usage() (Usage, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(s.os.fd, &st); err != nil {
		return Usage{}, os.NewSyscallError("statfs", err)
	}
	unit := st.Frsize
	free := int64(st.Bavail) * unit
	u := Usage{
		Total:   int64(st.Blocks-st.Bfree)*unit + free,
		Free:    free,
		Reserve: s.ballast.held.Load(),
	}
	u.State = s.pressure(u, 0)
	return u, nil
}

// pressure is the state when the ballast is held and n bytes more are written.
func (s *Store) pressure(u Usage, n int64) Pressure {
	used := u.Total - u.Free + s.ballast.want.Load() - u.Reserve + n
	switch above := func(mark int) bool { return used > 0 && used >= u.Total/100*int64(mark) }; {
	case above(s.cfg.Critical):
		return Critical
	case above(s.cfg.High):
		return High
	case above(s.cfg.Soft):
		return Soft
	}
	return Normal
}

// admit refuses an upload of size bytes, -1 when nobody knows, that the disk
// should not take: from the high watermark on, or when it would make the disk
// critical.
func (s *Store) admit(size int64) error {
	u, err := s.usage()
	if err != nil {
		return err
	}
	if u.State < High && s.pressure(u, max(size, 0)) < Critical {
		return nil
	}
	why := fmt.Sprintf("uploads stop at %d %%", s.cfg.High)
	if u.State < High {
		why = fmt.Sprintf("%d bytes more would pass %d %%", size, s.cfg.Critical)
	}
	return fmt.Errorf("%w: %d of %d MiB used, %s: delete images and collect garbage, or enlarge the disk",
		ErrFull, (u.Total-u.Free)>>20, u.Total>>20, why)
}

// Relieve gives up the ballast when the disk is Critical, so that deletes have
// something to write to, and takes it back when the disk is below High with it.
// Call it now and then, and at once when a write hit [ErrFull].
func (s *Store) Relieve() error {
	s.ballast.mu.Lock()
	defer s.ballast.mu.Unlock()
	u, err := s.usage()
	if err != nil {
		return fmt.Errorf("relieve disk: %w", err)
	}
	want, held := s.ballast.want.Load(), u.Reserve
	switch {
	case u.State == Critical && held > 0:
		err = s.dropBallastLocked()
		s.log.Warn("disk critical: reserve given up", "reserve_bytes", held, "free_bytes", u.Free+held, "err", err)
	case u.State < High && held < want:
		err = s.takeBallastLocked(want)
		if errors.Is(err, ErrFull) {
			err = nil // somebody else was faster; next time
		}
	}
	if err != nil {
		return fmt.Errorf("relieve disk: %w", err)
	}
	return nil
}
