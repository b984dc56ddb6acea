package meta

import (
	"bytes"
	"os"

	"go.etcd.io/bbolt"
)

// What the tests of the engine put in place of the state machine, and which guards they remove.
type Seam struct {
	Create   func(*bbolt.Tx) error
	Apply    func(tx *bbolt.Tx, index uint64, command []byte) ([]byte, error)
	At       func(name string)
	MapBytes int64
	PageSize int
	NoPin    bool
	NoRoll   bool
	NoExtend bool                 // as on a file system that cannot reserve blocks
	Reserves func(from, to int64) // with NoExtend: is told of each attempt
}

// OpenSeam is OpenDB with parts of it replaced.
func OpenSeam(cfg DBConfig, s Seam) (*DB, error) {
	in := engineSeam()
	in.noPin, in.noRoll = s.NoPin, s.NoRoll
	if s.Create != nil {
		in.create = s.Create
	}
	if s.Apply != nil {
		in.apply = s.Apply
	}
	if s.At != nil {
		in.at = s.At
	}
	if s.NoExtend {
		in.extend = func(_ *os.File, from, to int64) (bool, error) {
			if s.Reserves != nil {
				s.Reserves(from, to)
			}
			return false, nil
		}
	}
	if s.MapBytes != 0 {
		in.mapBytes = s.MapBytes
	}
	if s.PageSize != 0 {
		in.pageSize = s.PageSize
	}
	return openDB(cfg, in)
}

// View is the read transaction that every read of the package is made of.
func (db *DB) View(fn func(*bbolt.Tx) error) error {
	return db.view(func(tx *txn) error { return fn(tx.Tx) })
}

// PageSize is that of the current file.
func (db *DB) PageSize() int { return db.current.Load().bolt.Info().PageSize }

// Bolt is the guest behind the current file.
func (db *DB) Bolt() *bbolt.DB { return db.current.Load().bolt }

// Recode decodes CURRENT, checks what it can without the database, and encodes it again.
func Recode(b []byte) (name string, again []byte, err error) {
	c, err := decodeCurrent(b)
	if err != nil {
		return "", nil, err
	}
	if m, err := readMeta(c.metas); err == nil {
		_, _ = checkFreelist(bytes.NewReader(c.metas), m) // must not panic
	}
	return c.name, c.encode(), nil
}

// Need takes from the end of an attempted reservation what is there already and what is set aside
// beyond the need, for a database of size bytes.
func Need(size, to int64) int64 { return to - size - min(max(size/4, growthMin), growthMax) }
