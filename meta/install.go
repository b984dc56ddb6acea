package meta

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// Install replaces the whole state by the database file at path, as a [Snapshot] wrote it. The file
// must be on the same file system; in Dir itself, give it a name that ends in ".tmp". Once Install
// has succeeded it is gone from path.
//
// Before Install returns, a crash leaves either the old state or the new. Reads go on meanwhile, those
// that had begun with the old state; Apply waits for the one step between. A file that cannot be used
// is ErrDamaged, and nothing has changed.
func (db *DB) Install(path string) error {
	c, err := inspect(path)
	if err != nil {
		return fmt.Errorf("install %s: %w", path, err)
	}
	db.saving.Lock()
	defer db.saving.Unlock()
	old := db.current.Load() // only holders of saving replace it
	if old == nil {
		return ErrClosed
	}
	c.name = nextName(old.name)
	file := filepath.Join(db.cfg.Dir, c.name)
	if err := os.Rename(path, file); err != nil {
		return fmt.Errorf("install database: %w", err)
	}
	// A crash until CURRENT is renamed leaves a file that nothing names: the next start removes it.
	db.seam.at("install.received")
	h, m, err := db.openHandle(c)
	if err != nil {
		return errors.Join(err, os.Remove(file))
	}
	nodes, err := h.loadNodes()
	if err != nil {
		return errors.Join(damage("%s: %v", h.name, err), db.discard(h))
	}
	if err := db.replace(h, c, m, nodes); err != nil {
		return err
	}
	db.seam.at("install.opened")
	old.unpin(len(old.pins))
	old.retire() // its last reader closes it
	if err := os.Remove(filepath.Join(db.cfg.Dir, old.name)); err != nil {
		db.log.Warn("replaced database file stays until the next start", "file", old.name, "err", err)
	}
	return nil
}

// replace makes h, which is opened at c and stands at m, current: on the disk by the rename of
// CURRENT, then in memory. After an error before the rename h is gone and nothing has changed; after
// one of the rename nothing more is written, and the next start follows what CURRENT says.
func (db *DB) replace(h *handle, c current, m mark, nodes []Node) error {
	db.writing.Lock()
	defer db.writing.Unlock()
	if db.stale != nil {
		return errors.Join(db.stale, db.discard(h))
	}
	err := syncDir(db.cfg.Dir) // the file's entry, before CURRENT names it
	if err == nil {
		err = c.writeTemp(db.cfg.Dir)
	}
	if err != nil {
		return full(errors.Join(fmt.Errorf("write %s: %w", currentName, err), db.discard(h)))
	}
	if err := c.publish(db.cfg.Dir); err != nil {
		h.abandon()
		db.stale = fmt.Errorf("%w: publish %s: %w", ErrStale, currentName, err)
		return db.stale
	}
	c.reserveTemp(db.cfg.Dir, db.seam.extend)
	db.seam.at("install.renamed")
	db.setApplied(m)
	db.setDurable(m)
	db.dirty.Store(0)
	db.current.Store(h)
	db.access.Add(1)
	db.resources.Add(1)
	db.nodes.Store(&nodes)
	db.changed()
	return nil
}

// discard closes and removes the file of h, which never became current.
func (db *DB) discard(h *handle) error {
	h.abandon()
	return os.Remove(filepath.Join(db.cfg.Dir, h.name))
}

// nextName names the database file after the one called name.
func nextName(name string) string {
	n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(name, filePrefix), fileSuffix))
	return fileName(n + 1)
}

// inspect reads all of a database file, without changing it, and returns what CURRENT has to say of
// it except its name. It takes a second per GB: what is installed came over a network or from a tape.
func inspect(path string) (c current, err error) {
	faults := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(faults)
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	if _, err := os.Stat(path); err != nil {
		return c, err
	}
	b, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: time.Second, NoStatistics: true})
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	err = b.View(func(tx *bbolt.Tx) error {
		if err := whole(path, tx.Size()); err != nil {
			return err
		}
		if err := walk(tx); err != nil {
			return err
		}
		m, err := getMark(tx)
		if err != nil {
			return err
		}
		c.index = m.index
		c.metas, err = metasOf(tx)
		return err
	})
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	c.pageSize = len(c.metas) / 2
	return c, nil
}

// whole checks that the file at path has size bytes: reading a mapped page behind its end is a fault.
func whole(path string, size int64) error {
	info, err := os.Stat(path)
	if err == nil && info.Size() < size {
		err = fmt.Errorf("file has %d bytes of %d", info.Size(), size)
	}
	return err
}

// walk visits every key of every bucket and checks their order.
func walk(tx *bbolt.Tx) error { return walkCursor(tx.Cursor(), tx.Bucket) }

func walkCursor(c *bbolt.Cursor, child func([]byte) *bbolt.Bucket) error {
	var last []byte
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if last != nil && bytes.Compare(last, k) >= 0 {
			return fmt.Errorf("key %x stands after %x", k, last)
		}
		last = k
		if v != nil {
			continue
		}
		b := child(k)
		if b == nil {
			return fmt.Errorf("bucket %x cannot be opened", k)
		}
		if err := walkCursor(b.Cursor(), b.Bucket); err != nil {
			return fmt.Errorf("bucket %s: %w", k, err)
		}
	}
	return nil
}
