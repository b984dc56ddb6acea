package meta

import "fmt"

// A transaction that finds no space when it commits makes bbolt search the whole file for its free
// pages. So blocks are reserved beforehand, for what the transaction may need at most, and on a full
// disk it is not begun.
const (
	roomPerCommand = 128 << 10 // ten keys far apart, in trees four pages deep
	roomAlways     = 256 << 10
	growthMax      = 16 << 20
)

// room estimates the new pages of a transaction that applies commands.
func room(commands [][]byte) int64 {
	n := int64(roomAlways)
	for _, c := range commands {
		n += roomPerCommand + 2*int64(len(c))
	}
	return n
}

// freelistRoom estimates the new pages of a transaction that writes the freelist.
func freelistRoom(h *handle) int64 { return roomAlways }

// reserve sees to it that need bytes can be written behind the first size ones, growing the file in
// steps. When the disk is full that is still fine if enough pages within the file are free.
func (h *handle) reserve(size, need int64) error {
	if size+need > h.mapped-growthMax {
		return fmt.Errorf("%w: %s has outgrown its map of %d bytes, restart", ErrFull, h.name, h.mapped)
	}
	if size+need <= h.reserved {
		return nil
	}
	target := size + need + min(size/4, growthMax)
	ok, err := extend(h.file, h.reserved, target)
	if err != nil {
		target = size + need
		ok, err = extend(h.file, h.reserved, target)
	}
	switch {
	case err == nil && ok:
		h.reserved = target
		return nil
	case err == nil: // not possible here: the write itself will tell
		return nil
	case h.free.Load() >= need:
		return nil
	default:
		return full(fmt.Errorf("reserve space: %w", err))
	}
}
