package meta

import (
	"encoding/binary"
	"math"
)

// The records that every pull reads, and those that the collector reads by the
// million, are packed by hand: reading one costs a tenth of a microsecond, in
// CBOR it would be twelve times that (BenchmarkRecord). All others are CBOR.

// A packer appends fields to a record.
type packer struct{ b []byte }

func (p *packer) byte(v byte)     { p.b = append(p.b, v) }
func (p *packer) uint(v uint64)   { p.b = binary.AppendUvarint(p.b, v) }
func (p *packer) time(ms int64)   { p.uint(uint64(ms)) }
func (p *packer) raw(v []byte)    { p.b = append(p.b, v...) }
func (p *packer) string(s string) { p.uint(uint64(len(s))); p.b = append(p.b, s...) }

// An unpacker reads them in the same order. After the last one, ok says whether
// all were there and nothing else was.
type unpacker struct {
	b   []byte
	bad bool
}

func (u *unpacker) ok() bool { return !u.bad && len(u.b) == 0 }

func (u *unpacker) fail() { u.b, u.bad = nil, true }

func (u *unpacker) byte() byte {
	if len(u.b) == 0 {
		u.fail()
		return 0
	}
	v := u.b[0]
	u.b = u.b[1:]
	return v
}

func (u *unpacker) uint() uint64 {
	v, n := binary.Uvarint(u.b)
	if n <= 0 {
		u.fail()
		return 0
	}
	u.b = u.b[n:]
	return v
}

func (u *unpacker) time() int64 { return int64(u.uint()) }

// node reads the id of a node.
func (u *unpacker) node() NodeID {
	n := u.uint()
	if n > math.MaxUint16 {
		u.fail()
	}
	return NodeID(n)
}

// bytes returns n bytes of the record itself: valid only within the transaction.
func (u *unpacker) bytes(n uint64) []byte {
	if n > uint64(len(u.b)) {
		u.fail()
		return nil
	}
	v := u.b[:n]
	u.b = u.b[n:]
	return v
}

func (u *unpacker) string() string { return string(u.bytes(u.uint())) }

// digest returns one packed digest of the record itself.
func (u *unpacker) digest() []byte {
	n := packedLen(u.b)
	if n == 0 {
		u.fail()
		return nil
	}
	return u.bytes(uint64(n))
}

// count reads how many items follow, each of at least size bytes, so that a
// damaged record cannot ask for more memory than it has bytes.
func (u *unpacker) count(size int) int {
	n := u.uint()
	if n > uint64(len(u.b)/size) {
		u.fail()
		return 0
	}
	return int(n)
}
