package meta

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
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
	n, err := s.tx.WriteTo(w) // reads the file, not the map: what cannot be read is an error already
	if err != nil {
		return n, fmt.Errorf("copy database: %w", err)
	}
	return n, nil
}

// blobsAtOnce is how many blobs are read before they are yielded.
const blobsAtOnce = 256

// Blobs yields every blob that node n held at the snapshot, in the order in which
// they became known. It ends at the first error; pages that the disk cannot read
// are [ErrDamaged].
func (s *Snapshot) Blobs(n NodeID) iter.Seq2[Blob, error] { return s.blobs(n) }

// AllBlobs yields, like Blobs, every blob that was known at the snapshot, whoever
// held it, and if nobody did.
func (s *Snapshot) AllBlobs() iter.Seq2[Blob, error] { return s.blobs(anyNode) }

// anyNode is no node.
const anyNode NodeID = 0

func (s *Snapshot) blobs(n NodeID) iter.Seq2[Blob, error] {
	return func(yield func(Blob, error) bool) {
		for last, more := id(0), true; more; {
			var blobs []Blob
			err := guarded(s.h.name, func() (err error) { // without what the caller does with them
				blobs, last, more, err = heldBlobs(&txn{Tx: s.tx}, n, last, blobsAtOnce)
				return err
			})
			for _, b := range blobs {
				if !yield(b, nil) {
					return
				}
			}
			if err != nil {
				yield(Blob{}, err)
				return
			}
		}
	}
}

// heldBlobs reads n blobs with ids above after, and returns those that the node,
// or anyNode, holds, the last id read, and whether there may be more.
func heldBlobs(tx *txn, node NodeID, after id, n int) (held []Blob, last id, more bool, err error) {
	last = after
	var m members
	alive, err := m.alive(tx, node)
	if err != nil {
		return nil, last, false, err
	}
	for k, v := range following(bucket(tx, bucketBlobs), nil, keyID(after)) {
		if n--; n < 0 {
			return held, last, true, nil
		}
		i, ok := parseID(k)
		rec, err := unpackBlob(v)
		if err != nil || !ok {
			return held, last, false, fmt.Errorf("blob %x: %w", k, errors.Join(ErrCorrupt, err))
		}
		last = i
		if node == anyNode || alive && slices.Contains(rec.holders, node) {
			held = append(held, rec.blob())
		}
	}
	return held, last, false, nil
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
