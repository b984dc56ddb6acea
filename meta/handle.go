package meta

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	// pageSize of new databases. Every random key costs a page, so the system's page size, which may
	// be 64 KiB, is not asked.
	pageSize = 4096
	// mapBytes is how far a database may grow before its map has to be moved, which cannot be done
	// under the pinned reader. Address space costs nothing; where it is limited less is taken.
	mapBytes = 64 << 30
)

// A handle is one open database file. Reads take part in it (acquire, release); when it is retired,
// the last of them closes it, so an install never waits for a reader nor a reader for an install.
type handle struct {
	name     string
	bolt     *bbolt.DB
	file     *os.File    // our own descriptor of the same file: meta pages, space, sync
	pins     []*bbolt.Tx // guarded by DB.saving: readers that keep the pages of checkpoints, oldest first
	mapped   int64       // size of the map; the file must not outgrow it
	reserved int64       // guarded by DB.writing: how far the file has blocks
	synced   int64       // guarded by DB.saving: its size at the last sync
	free     int64       // guarded by DB.writing: bytes within it that can surely be used again
	readers  readers
	users    atomic.Int64
	once     sync.Once
	closed   chan struct{} // closed when the file is
}

// retired is what a retired handle's users count down to: far below any number of readers.
const retired = -1 << 40

// acquire takes part in h, unless it is retired.
func (h *handle) acquire() bool {
	if h.users.Add(1) > 0 {
		return true
	}
	h.release()
	return false
}

// release ends an acquire.
func (h *handle) release() {
	if h.users.Add(-1) == retired {
		h.close()
	}
}

// retire closes h as soon as nobody takes part in it.
func (h *handle) retire() {
	h.readers.close()
	if h.users.Add(retired) == retired {
		h.close()
	}
}

// close ends the handle, once: the acquire and release of a latecomer may pass through zero again.
func (h *handle) close() {
	h.once.Do(func() {
		_ = h.bolt.Close() // nothing is buffered: what is not synced is not promised
		_ = h.file.Close()
		close(h.closed)
	})
}

// unpin lets the n oldest pins go.
func (h *handle) unpin(n int) {
	for _, pin := range h.pins[:n] {
		_ = pin.Rollback()
	}
	h.pins = append(h.pins[:0], h.pins[n:]...)
}

// sync makes the pages written so far durable, and the file's size if it grew.
func (h *handle) sync() error {
	info, err := h.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() == h.synced {
		return h.bolt.Sync() // fdatasync
	}
	if err := h.file.Sync(); err != nil {
		return err
	}
	h.synced = info.Size()
	return nil
}

// openBolt opens the database file of size bytes with as large a map as the address space allows, and
// returns what it got.
func openBolt(path string, size, mapped int64) (b *bbolt.DB, got int64, err error) {
	for mapped < 2*size { // room to grow
		mapped *= 2
	}
	for mapped > maxInt/2 { // 32 bits
		mapped /= 2
	}
	for ; ; mapped /= 2 {
		b, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:         time.Second, // somebody looks at the file by other means
			NoSync:          true,
			NoGrowSync:      true,
			NoFreelistSync:  true,
			NoStatistics:    true,
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: int(mapped),
			MaxSize:         int(mapped), // growing past the map would wait for the pinned reader, for ever
		})
		if err == nil {
			return b, mapped, nil
		}
		if errors.Is(err, bolterrors.ErrTimeout) {
			return nil, 0, fmt.Errorf("%w: %s", ErrInUse, path)
		}
		for _, bad := range []error{bolterrors.ErrInvalid, bolterrors.ErrChecksum, bolterrors.ErrVersionMismatch} {
			if errors.Is(err, bad) {
				return nil, 0, damage("%s: %v", path, err)
			}
		}
		if !errors.Is(err, syscall.ENOMEM) || mapped/2 < size+2*growthMax || mapped <= 1<<20 {
			return nil, 0, fmt.Errorf("open database %s: %w", path, err)
		}
	}
}

const maxInt = int64(^uint(0) >> 1)

// hold returns the current handle, acquired.
func (db *DB) hold() (*handle, error) {
	for {
		h := db.current.Load()
		if h == nil {
			return nil, ErrClosed
		}
		if h.acquire() {
			return h, nil
		}
	}
}

// view runs fn in a read transaction of what is current. Memory that fn gets from tx is valid until
// it returns. Pages that the disk cannot read, or that make no sense, are ErrDamaged: one request
// fails, not the process.
func (db *DB) view(fn func(tx *txn) error) (err error) {
	h, err := db.hold()
	if err != nil {
		return err
	}
	defer h.release()
	r, err := h.readers.take(h.bolt)
	if err != nil {
		return fmt.Errorf("begin read: %w", err)
	}
	faults := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(faults)
		p := recover()
		h.readers.put(r) // a panic leaves it as it was: it only reads
		if p != nil {
			err = mustDamage(h.name, p)
		}
	}()
	return fn(&r.tx)
}
