package meta

import (
	"fmt"
	"io"
	"sync"

	"go.etcd.io/bbolt"
)

// A Snapshot is the database at one index, unchanging. Its methods may be used concurrently, but not
// with Close.
type Snapshot struct {
	Index    uint64
	Position []byte
	Size     int64 // bytes that WriteTo writes

	tx   *bbolt.Tx
	h    *handle
	once sync.Once
}

// Snapshot opens one consistent copy of the database, taken in one read transaction. The caller
// closes it; until then freed pages are not reused and the file grows with every change.
func (db *DB) Snapshot() (*Snapshot, error) {
	db.writing.Lock()
	defer db.writing.Unlock()
	h, err := db.hold()
	if err != nil {
		return nil, err
	}
	// With the freelist in it the copy opens at once wherever it goes. Without space, or with writing
	// stopped, the copy is as true, only slower to open.
	db.marks.Lock()
	m := db.applied
	db.marks.Unlock()
	if err := db.commitFreelist(h, m); err != nil {
		db.log.Warn("snapshot is taken without a freelist", "err", err)
	}
	tx, err := h.bolt.Begin(false)
	if err != nil {
		h.release()
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	return &Snapshot{Index: m.index, Position: m.position, Size: tx.Size(), tx: tx, h: h}, nil
}

// WriteTo writes the pages of the snapshot: a valid database file of Size bytes, which Install takes.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	n, err := s.tx.WriteTo(w)
	if err != nil {
		return n, fmt.Errorf("copy database: %w", err)
	}
	return n, nil
}

// Close ends the snapshot. Further calls do nothing.
func (s *Snapshot) Close() error {
	var err error
	s.once.Do(func() {
		err = s.tx.Rollback()
		s.h.release()
	})
	return err
}
