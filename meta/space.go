package meta

import (
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

// A transaction that finds no space when it commits makes bbolt search the whole file for its free
// pages. So blocks are reserved beforehand, for what the transaction may need at most: before it
// begins for what ordinary commands need, so that on a full disk nothing is done in vain, and before
// it commits for what it did change, since one command may delete a hundred images, or a tag that a
// thousand names stand for.
const (
	roomPerCommand = 128 << 10 // ten keys far apart, in trees four pages deep
	roomPerNode    = 4 * pageSize
	roomAlways     = 256 << 10
	growthMin      = 1 << 20
	growthMax      = 16 << 20
)

// An extender gives f blocks from one offset to another, and at least that size. It reports false
// where the file system cannot do that.
type extender func(f *os.File, from, to int64) (bool, error)

// room estimates the new pages of a transaction that applies commands.
func room(commands [][]byte) int64 {
	n := int64(roomAlways)
	for _, c := range commands {
		n += roomPerCommand + 2*int64(len(c))
	}
	return n
}

// roomOf estimates the new pages of tx, which has made its changes and not committed them. commands is
// what [room] said. Each node that tx holds goes to at least one new page; to a second where a
// neighbour is merged with it, and to more where its values are longer than a page. A few values of
// a megabyte on one page's worth of keys are more than that: then the commit itself finds no space.
func roomOf(tx *bbolt.Tx, commands int64) int64 {
	stats := tx.Stats()
	return commands + stats.GetNodeCount()*roomPerNode
}

// freelistRoom estimates the new pages of a transaction that writes the freelist: eight bytes for
// every page that is free, or became so since the last checkpoint.
func (db *DB) freelistRoom(h *handle) int64 {
	return roomAlways + (h.free+db.dirty.Load())/pageSize*8
}

// reserve sees to it that need bytes can be written, the database being size bytes long: it grows the
// file, in steps. On a full disk it is content with a fair chance, a quarter of need within what the
// file has, so that deleting goes on as long as it can.
func (h *handle) reserve(size, need int64, extend extender) error {
	if size+need > h.mapped-growthMax {
		return fmt.Errorf("%w: %s has outgrown its map of %d bytes, restart to map more", ErrFull, h.name, h.mapped)
	}
	if size+need <= h.reserved {
		return nil
	}
	var err error
	for _, spare := range []int64{min(max(size/4, growthMin), growthMax), 0} {
		var ok bool
		if ok, err = extend(h.file, h.reserved, size+need+spare); err == nil {
			if ok {
				h.reserved = size + need + spare
			}
			return nil // or it cannot be done here, and the write itself will tell
		}
	}
	if h.free+h.reserved-size >= need/4 {
		return nil
	}
	return full(fmt.Errorf("reserve space: %w", err))
}
