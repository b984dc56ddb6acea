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
	// State is the worse one of bytes and, where the file system has a fixed
	// number, inodes. It counts the ballast as used even while it is given up,
	// so that giving it up does not look like room for more uploads.
	State Pressure
}

// Usage asks the file system; one system call.
func (s *Store) Usage() (Usage, error) {
	m, err := s.measure()
	if err != nil {
		return Usage{}, fmt.Errorf("disk usage: %w", err)
	}
	return m.Usage, nil
}

// A measurement is a Usage and what its State was judged by.
type measurement struct {
	Usage
	want          int64 // bytes the ballast should hold
	files, inodes int64 // in use; there are. 0 when the file system makes them as needed
}

func (s *Store) measure() (measurement, error) {
	var st unix.Statfs_t
	if err := uninterrupted(func() error { return unix.Statfs(s.os.dir, &st) }); err != nil {
		return measurement{}, &os.PathError{Op: "statfs", Path: s.os.dir, Err: err}
	}
	free := int64(st.Bavail) * st.Frsize
	m := measurement{
		Usage: Usage{
			Total:   int64(st.Blocks-st.Bfree)*st.Frsize + free,
			Free:    free,
			Reserve: s.ballast.held.Load(),
		},
		want:   s.ballast.want.Load(),
		files:  int64(st.Files - st.Ffree),
		inodes: int64(st.Files),
	}
	m.State = m.with(0, s.cfg)
	return m, nil
}

// used counts the ballast whether it is held or not.
func (m measurement) used() int64 { return m.Total - m.Free + m.want - m.Reserve }

// with is the state when n bytes more are written.
func (m measurement) with(n int64, c Config) Pressure {
	above := func(mark int) bool {
		return m.Total > 0 && percent(m.used(), m.Total)+percent(n, m.Total) >= float64(mark) ||
			m.inodes > 0 && percent(m.files, m.inodes) >= float64(mark)
	}
	switch {
	case above(c.Critical):
		return Critical
	case above(c.High):
		return High
	case above(c.Soft):
		return Soft
	}
	return Normal
}

func percent(part, whole int64) float64 { return 100 * float64(part) / float64(whole) }

// admit refuses an upload of size bytes, -1 when nobody knows, that the disk
// should not take: from the high watermark on, or when it would make the disk
// critical.
func (s *Store) admit(size int64) error {
	m, err := s.measure()
	if err != nil {
		return err
	}
	if m.State < High && m.with(max(size, 0), s.cfg) < Critical {
		return nil
	}
	why := fmt.Sprintf("uploads stop at %d %%", s.cfg.High)
	if m.State < High {
		why = fmt.Sprintf("%d bytes more would pass %d %%", size, s.cfg.Critical)
	}
	files := ""
	if m.inodes > 0 && percent(m.files, m.inodes) >= float64(s.cfg.High) {
		files = fmt.Sprintf(" and %d of %d inodes", m.files, m.inodes)
	}
	return fmt.Errorf("%w: %d of %d MiB%s used, %s: delete images and collect garbage, or enlarge the disk",
		ErrFull, m.used()>>20, m.Total>>20, files, why)
}

// Relieve gives up the ballast when the disk is [Critical], so that deletes
// have something to write to, and takes it back when the disk is below [High]
// with it. Call it now and then, and at once when a write hit [ErrFull].
func (s *Store) Relieve() error {
	s.ballast.mu.Lock()
	defer s.ballast.mu.Unlock()
	m, err := s.measure()
	if err != nil {
		return fmt.Errorf("relieve disk: %w", err)
	}
	switch {
	case m.State == Critical && m.Reserve > 0:
		if err := s.dropBallastLocked(); err != nil {
			return fmt.Errorf("relieve disk: give the reserve up: %w", err)
		}
		s.log.Warn("disk critical, reserve given up", "reserve_bytes", m.Reserve, "free_bytes", m.Free)
	case m.State < High && m.Reserve < m.want:
		err := s.takeBallastLocked(m.want)
		if errors.Is(err, ErrFull) {
			return nil // somebody else filled the disk meanwhile: next time
		}
		if err != nil {
			return fmt.Errorf("relieve disk: take the reserve back: %w", err)
		}
		s.log.Info("reserve set aside", "reserve_bytes", m.want)
	}
	return nil
}
