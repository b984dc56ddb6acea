package meta

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Checkpoint makes everything applied durable. If position is not nil and index is not behind what is
// applied, both are stored first: entries that are no commands move the log on without an Apply.
//
// It blocks Apply for one small transaction, not while the disk syncs. ErrFull leaves the last
// checkpoint in force and may be tried again; ErrStale is final.
func (db *DB) Checkpoint(index uint64, position []byte) (err error) {
	db.saving.Lock()
	defer db.saving.Unlock()
	h := db.current.Load() // only holders of saving replace it
	if h == nil {
		return ErrClosed
	}
	begun := time.Now()
	m, written, err := db.freeze(h, index, position)
	if err == nil && written == 0 {
		return nil
	}
	defer func() { db.metrics.checkpointed(begun, err) }()
	if err != nil {
		return err
	}
	db.seam.at("checkpoint.pinned")
	if err := db.save(h, m); err != nil {
		db.dirty.Add(written)
		return err
	}
	db.setDurable(m)
	return nil
}

// freeze commits a transaction that carries the freelist, so that the next start need not search the
// file for free pages, and pins it. From then on no page of that state is written again, whatever is
// applied. It returns how many bytes await the sync, 0 if there is nothing new and nothing was done.
func (db *DB) freeze(h *handle, index uint64, position []byte) (m mark, written int64, err error) {
	db.writing.Lock()
	defer db.writing.Unlock()
	db.marks.Lock()
	m = db.applied
	db.marks.Unlock()
	moved := position != nil && index >= m.index && (index > m.index || !bytes.Equal(position, m.position))
	if moved {
		m = mark{index: index, position: bytes.Clone(position)}
	}
	if !moved && db.dirty.Load() == 0 {
		return m, 0, nil
	}
	if err := db.commitFreelist(h, m); err != nil {
		return m, 0, err
	}
	db.setApplied(m)
	if err := h.pin(); err != nil {
		return m, 0, fmt.Errorf("pin checkpoint: %w", err)
	}
	return m, db.dirty.Swap(0), nil
}

// commitFreelist stores m in a transaction that writes the freelist. The caller holds writing, so no
// other transaction sees the option.
func (db *DB) commitFreelist(h *handle, m mark) error {
	h.bolt.NoFreelistSync = false
	defer func() { h.bolt.NoFreelistSync = true }()
	return db.updateOn(h, db.freelistRoom(h), func(tx *bbolt.Tx) error { return putMark(tx, m) })
}

// save makes the newest pin of h the durable state.
//
// Until the rename a crash finds the old CURRENT, whose pages an older pin still guards; after it, the
// new one, whose pages are synced. So the older pins go only when the rename is durable. An error of
// the sync or the rename leaves that open for ever (the system may forget pages it could not write),
// hence [ErrStale] and no further write.
func (db *DB) save(h *handle, m mark) error {
	metas, free, err := h.frozen()
	if err != nil {
		h.unpinNewest()
		return fmt.Errorf("read checkpoint: %w", err)
	}
	if err := h.sync(); err != nil {
		return db.stop(fmt.Errorf("sync database: %w", err))
	}
	db.seam.at("checkpoint.synced")
	c := current{name: h.name, pageSize: len(metas) / 2, index: m.index, metas: metas}
	if err := c.writeTemp(db.cfg.Dir); err != nil {
		h.unpinNewest()
		return full(fmt.Errorf("write %s: %w", currentName, err))
	}
	db.seam.at("checkpoint.current-written")
	if err := c.publish(db.cfg.Dir); err != nil {
		return db.stop(fmt.Errorf("publish %s: %w", currentName, err))
	}
	db.seam.at("checkpoint.renamed")
	h.unpin(len(h.pins) - db.seam.kept())
	c.reserveTemp(db.cfg.Dir, db.seam.extend)
	db.writing.Lock()
	h.free = max(0, free-db.dirty.Load())
	db.writing.Unlock()
	return nil
}

// frozen returns the meta pages of the newest pin, and how many bytes are free in it.
func (h *handle) frozen() (metas []byte, free int64, err error) {
	if metas, err = metasOf(h.pins[len(h.pins)-1]); err != nil {
		return nil, 0, err
	}
	m, err := readMeta(metas)
	if err != nil {
		return nil, 0, err
	}
	_, pages, err := findFreelist(h.file, m)
	return metas, pages * m.pageSize, err
}

// pin opens a reader on the newest state and keeps it. The caller excludes writers.
func (h *handle) pin() error {
	tx, err := h.bolt.Begin(false)
	if err != nil {
		return err
	}
	h.pins = append(h.pins, tx)
	return nil
}

// unpinNewest drops the pin of a checkpoint that did not come about.
func (h *handle) unpinNewest() {
	last := len(h.pins) - 1
	_ = h.pins[last].Rollback()
	h.pins = h.pins[:last]
}

// update runs fn in one write transaction on the current file. The caller holds writing.
func (db *DB) update(need int64, fn func(*bbolt.Tx) error) error {
	h := db.current.Load() // only holders of writing replace it
	if h == nil {
		return ErrClosed
	}
	return db.updateOn(h, need, fn)
}

// updateOn runs fn in one write transaction that may need so many bytes of new pages. It changes
// everything or nothing. The caller holds writing.
func (db *DB) updateOn(h *handle, need int64, fn func(*bbolt.Tx) error) (err error) {
	if db.stale != nil {
		return db.stale
	}
	tx, err := h.bolt.Begin(true)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	faults := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(faults)
		if p := recover(); p != nil {
			_ = tx.Rollback()
			err = mustDamage(h.name, p)
			db.stale = err // the file is no longer trusted with writes
		}
	}()
	if err := h.reserve(tx.Size(), need, db.seam.extend); err != nil {
		_ = tx.Rollback()
		return err
	}
	if err := fn(tx); err != nil {
		_ = tx.Rollback()
		return err
	}
	if err := h.reserve(tx.Size(), roomOf(tx, need), db.seam.extend); err != nil {
		_ = tx.Rollback()
		return err
	}
	if err := tx.Commit(); err != nil {
		return full(fmt.Errorf("commit transaction: %w", err))
	}
	h.readers.outdate() // whoever reads from now on sees this
	stats := tx.Stats()
	written := stats.GetPageAlloc()
	db.dirty.Add(written + pageSize) // and the meta page
	h.free = max(0, h.free-written)  // or it came from the end: the next checkpoint counts
	return nil
}

// stop ends writing for good: err left it open what is on the disk.
func (db *DB) stop(err error) error {
	db.writing.Lock()
	defer db.writing.Unlock()
	db.stale = fmt.Errorf("%w: %w", ErrStale, err)
	return db.stale
}

// full makes errors that say the disk is full ErrFull.
func full(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG),
		errors.Is(err, bolterrors.ErrMaxSizeReached):
		return fmt.Errorf("%w: %w", ErrFull, err)
	default:
		return err
	}
}
