package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

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
)

// A boltMeta is what a meta page says.
type boltMeta struct {
	freelist uint64 // its page, or noFreelist
	size     int64  // of the database: bytes that the file must have
}

// readMeta reads the first of two meta pages.
func readMeta(metas []byte, pageSize int) (m boltMeta, err error) {
	if len(metas) < boltMetaSize || len(metas) != 2*pageSize {
		return m, fmt.Errorf("meta pages of %d bytes, page size %d", len(metas), pageSize)
	}
	u := binary.NativeEndian
	if u.Uint32(metas[boltHeader:]) != boltMagic || int(u.Uint32(metas[boltHeader+8:])) != pageSize {
		return m, errors.New("these are no meta pages")
	}
	pages := u.Uint64(metas[boltPages:])
	if pages < 2 || pages > uint64(maxInt)/uint64(pageSize) {
		return m, fmt.Errorf("meta page counts %d pages", pages)
	}
	return boltMeta{freelist: u.Uint64(metas[boltFreelist:]), size: int64(pages) * int64(pageSize)}, nil
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

// freePages counts the pages on the freelist that the meta pages name: what is free, or will be when
// older readers have ended.
func freePages(r io.ReaderAt, metas []byte, pageSize int) (int64, error) {
	m, err := readMeta(metas, pageSize)
	if err != nil || m.freelist == noFreelist {
		return 0, err
	}
	var page [boltHeader + 8]byte
	if _, err := r.ReadAt(page[:], int64(m.freelist)*int64(pageSize)); err != nil {
		return 0, fmt.Errorf("read freelist: %w", err)
	}
	if n := binary.NativeEndian.Uint16(page[10:]); n != 0xFFFF {
		return int64(n), nil
	}
	return int64(binary.NativeEndian.Uint64(page[boltHeader:])), nil
}

// damaged says whether a panic was bbolt's answer to pages that make no sense, or the system's to
// pages that cannot be read.
func damaged(p any) bool {
	switch p := p.(type) {
	case string:
		return strings.HasPrefix(p, "assertion failed") || strings.HasPrefix(p, "invalid page type")
	case interface{ Addr() uintptr }: // a fault, turned into a panic by debug.SetPanicOnFault
		return true
	default:
		return false
	}
}
