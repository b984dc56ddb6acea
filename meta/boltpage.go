package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"go.etcd.io/bbolt"
)

// What this file knows of bbolt's pages, version 2, in the machine's byte order: a page header of 16
// bytes (id u64, flags u16, count u16, overflow u32), and behind it in a meta page magic u32, version
// u32, page size u32, flags u32, root (page u64, sequence u64), freelist page u64, page count u64,
// transaction u64, checksum u64.
const (
	boltHeader   = 16
	boltMagic    = 0xED0CDAED
	boltFreelist = boltHeader + 16 + 16
	boltPages    = boltFreelist + 8
	boltMetaSize = boltPages + 24
	noFreelist   = ^uint64(0)

	boltFreelistFlag = 0x10
)

// A boltMeta is what a meta page says.
type boltMeta struct {
	pageSize int64
	freelist uint64 // its page, or noFreelist
	size     int64  // of the database: bytes that the file must have
}

// readMeta reads the first of two meta pages.
func readMeta(metas []byte) (m boltMeta, err error) {
	pageSize := len(metas) / 2
	if pageSize < boltMetaSize {
		return m, fmt.Errorf("meta pages of %d bytes", len(metas))
	}
	u := binary.NativeEndian
	if u.Uint32(metas[boltHeader:]) != boltMagic || int(u.Uint32(metas[boltHeader+8:])) != pageSize {
		return m, errors.New("these are no meta pages")
	}
	pages := u.Uint64(metas[boltPages:])
	if pages < 2 || pages > uint64(maxInt)/uint64(pageSize) {
		return m, fmt.Errorf("meta page counts %d pages", pages)
	}
	m = boltMeta{pageSize: int64(pageSize), freelist: u.Uint64(metas[boltFreelist:])}
	m.size = int64(pages) * m.pageSize
	return m, nil
}

// metasOf returns the two meta pages that make a file show exactly what tx sees.
func metasOf(tx *bbolt.Tx) ([]byte, error) {
	w := head{left: 2 * tx.DB().Info().PageSize}
	if _, err := tx.WriteTo(&w); err != nil && w.left > 0 {
		return nil, err
	}
	return w.bytes, nil
}

// A head keeps the first bytes written to it and refuses the rest.
type head struct {
	bytes []byte
	left  int
}

func (w *head) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.bytes = append(w.bytes, p[:n]...)
	w.left -= n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// findFreelist returns where the page numbers of the freelist of m begin in r, and how many they are:
// what is free, or was waiting for older readers to end.
func findFreelist(r io.ReaderAt, m boltMeta) (at, pages int64, err error) {
	if m.freelist == noFreelist {
		return 0, 0, nil
	}
	if m.freelist >= uint64(m.size/m.pageSize) {
		return 0, 0, fmt.Errorf("freelist at page %d of %d", m.freelist, m.size/m.pageSize)
	}
	head := make([]byte, boltHeader+8)
	at = int64(m.freelist) * m.pageSize
	if _, err := r.ReadAt(head, at); err != nil {
		return 0, 0, fmt.Errorf("read freelist: %w", err)
	}
	u := binary.NativeEndian
	if id, flags := u.Uint64(head), u.Uint16(head[8:]); id != m.freelist || flags != boltFreelistFlag {
		return 0, 0, fmt.Errorf("page %d is no freelist", m.freelist)
	}
	at += boltHeader
	pages = int64(u.Uint16(head[10:]))
	if pages == 0xFFFF { // too many for the field: the number stands before the first page
		at, pages = at+8, int64(u.Uint64(head[boltHeader:]))
	}
	if pages < 0 || pages > m.size/m.pageSize {
		return 0, 0, fmt.Errorf("freelist of %d pages", pages)
	}
	return at, pages, nil
}

// checkFreelist reads the freelist of m. One that lists a page twice, or a page that does not exist,
// would let the next write destroy what is in use.
func checkFreelist(r io.ReaderAt, m boltMeta) (pages int64, err error) {
	at, pages, err := findFreelist(r, m)
	if err != nil {
		return 0, err
	}
	ids := make([]byte, 8*pages)
	if _, err := r.ReadAt(ids, at); err != nil {
		return 0, fmt.Errorf("read freelist: %w", err)
	}
	last := uint64(1) // the meta pages are never free
	for ; len(ids) > 0; ids = ids[8:] {
		id := binary.NativeEndian.Uint64(ids)
		if id <= last || id >= uint64(m.size/m.pageSize) {
			return 0, fmt.Errorf("freelist has page %d after %d", id, last)
		}
		last = id
	}
	return pages, nil
}
