package meta

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"
)

const (
	filePrefix = "db-" // db-00000001.db: a database file; CURRENT says which one counts
	fileSuffix = ".db"
	tempSuffix = ".tmp" // worth nothing unless it is createTemp and CURRENT exists
	createTemp = "create" + tempSuffix
	lockName   = "LOCK"
)

// lockDir makes this process the only one in dir. The system drops the lock with the process.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock database: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
		}
		return nil, fmt.Errorf("lock database %s: %w", dir, err)
	}
	return f, nil
}

// findCurrent reads CURRENT, or creates the database if the directory never held one.
func (db *DB) findCurrent() (current, error) {
	path := filepath.Join(db.cfg.Dir, currentName)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return current{}, fmt.Errorf("read database state: %w", err)
	}
	if err != nil {
		files, err := db.files()
		if err != nil {
			return current{}, err
		}
		if i := slices.IndexFunc(files, isDatabase); i >= 0 {
			return current{}, damage("%s is missing although %s exists", path, files[i])
		}
		if err := db.create(); err != nil {
			return current{}, full(fmt.Errorf("create database: %w", err))
		}
		if b, err = os.ReadFile(path); err != nil {
			return current{}, fmt.Errorf("read database state: %w", err)
		}
	}
	c, err := decodeCurrent(b)
	if err != nil {
		return c, damage("%s cannot be used, %v", path, err)
	}
	return c, nil
}

// create makes an empty database: the file under a temporary name, synced, then CURRENT, then the
// file's name. Before CURRENT a crash leaves a directory that is still fresh, after it finishCreate
// gives the file its name.
func (db *DB) create() error {
	temp := filepath.Join(db.cfg.Dir, createTemp)
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	b, err := bbolt.Open(temp, 0o600, &bbolt.Options{NoSync: true, PageSize: db.seam.pageSize})
	if err != nil {
		return err
	}
	c := current{name: fileName(1), pageSize: b.Info().PageSize}
	err = b.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucket(engineBucket); err != nil {
			return err
		}
		if err := putMark(tx, mark{}); err != nil {
			return err
		}
		return db.seam.create(tx)
	})
	if err == nil {
		err = b.View(func(tx *bbolt.Tx) (err error) {
			c.metas, err = metasOf(tx)
			return err
		})
	}
	if err == nil {
		err = b.Sync()
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return err
	}
	if err := syncDir(db.cfg.Dir); err != nil { // the file's entry, before anything names it
		return err
	}
	if err := c.writeTemp(db.cfg.Dir); err != nil {
		return err
	}
	if err := c.publish(db.cfg.Dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(db.cfg.Dir))
}

// finishCreate gives a newly created database file the name that CURRENT has for it.
func (db *DB) finishCreate(c current) error {
	path := filepath.Join(db.cfg.Dir, c.name)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return nil // it has it, or opening says what is wrong
	}
	err := os.Rename(filepath.Join(db.cfg.Dir, createTemp), path)
	if errors.Is(err, os.ErrNotExist) {
		return damage("%s is missing, which %s names", path, currentName)
	}
	if err != nil {
		return fmt.Errorf("name database file: %w", err)
	}
	return syncDir(db.cfg.Dir)
}

// openHandle opens the file that c names as it was when c was written, and pins that state.
func (db *DB) openHandle(c current) (_ *handle, m mark, err error) {
	if err := db.finishCreate(c); err != nil {
		return nil, m, err
	}
	path := filepath.Join(db.cfg.Dir, c.name)
	h := &handle{name: c.name, closed: make(chan struct{})}
	faults := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(faults)
		if p := recover(); p != nil {
			err = damage("%s: %v", path, p) // nothing ran here but bbolt and what looks at it
		}
		if err != nil {
			h.abandon()
		}
	}()
	if err := db.rollBack(h, path, c); err != nil {
		return nil, m, err
	}
	if h.bolt, h.mapped, err = openBolt(path, h.reserved, db.seam.mapBytes); err != nil {
		return nil, m, err
	}
	if err := h.pin(); err != nil {
		return nil, m, fmt.Errorf("pin checkpoint: %w", err)
	}
	h.unpin(1 - db.seam.kept())
	if err := h.bolt.View(func(tx *bbolt.Tx) (err error) { m, err = glance(tx); return err }); err != nil {
		return nil, m, damage("%s: %v", path, err)
	}
	if m.index != c.index && !db.seam.noRoll {
		return nil, m, damage("%s is at entry %d, %s at %d", path, m.index, currentName, c.index)
	}
	// Buckets that this version of the program added. An empty transaction writes one meta page,
	// which has its block, so this works on a full disk.
	if err := h.bolt.Update(db.seam.create); err != nil {
		return nil, m, fmt.Errorf("create buckets: %w", err)
	}
	return h, m, nil
}

// rollBack writes the meta pages of the checkpoint into the file. Every start does, clean or not: what
// was written later may have arrived in part, and the log has it.
func (db *DB) rollBack(h *handle, path string, c current) (err error) {
	m, err := readMeta(c.metas)
	if err != nil {
		return damage("%s: %v", currentName, err)
	}
	if h.file, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		return fmt.Errorf("open database file: %w", err)
	}
	info, err := h.file.Stat()
	if err != nil {
		return fmt.Errorf("open database file: %w", err)
	}
	if info.Size() < m.size {
		return damage("%s has %d bytes of %d", path, info.Size(), m.size)
	}
	pages, err := checkFreelist(h.file, m)
	if err != nil {
		return damage("%s: %v", path, err)
	}
	h.reserved, h.synced, h.free = info.Size(), info.Size(), pages*m.pageSize
	if db.seam.noRoll {
		return nil
	}
	if _, err := h.file.WriteAt(c.metas, 0); err != nil {
		return fmt.Errorf("return to checkpoint: %w", err)
	}
	if err := h.file.Sync(); err != nil {
		return fmt.Errorf("return to checkpoint: %w", err)
	}
	return nil
}

// abandon closes what a failed openHandle had opened.
func (h *handle) abandon() {
	h.unpin(len(h.pins))
	if h.bolt != nil {
		_ = h.bolt.Close()
	}
	if h.file != nil {
		_ = h.file.Close()
	}
}

// files lists the directory.
func (db *DB) files() (names []string, err error) {
	entries, err := os.ReadDir(db.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("list database directory: %w", err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// sweep removes what interrupted installs and checkpoints left: every database file but the one kept,
// and every temporary one.
func (db *DB) sweep(keep string) {
	files, err := db.files()
	if err != nil {
		db.log.Warn("leftover database files stay", "err", err)
	}
	for _, name := range files {
		if name == keep || !isDatabase(name) && !strings.HasSuffix(name, tempSuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(db.cfg.Dir, name)); err != nil {
			db.log.Warn("leftover database file stays", "file", name, "err", err)
		}
	}
}

func isDatabase(name string) bool {
	return strings.HasPrefix(name, filePrefix) && strings.HasSuffix(name, fileSuffix)
}

func fileName(n int) string { return fmt.Sprintf("%s%08d%s", filePrefix, n, fileSuffix) }
