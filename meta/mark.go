package meta

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// A mark is where the state stands in the log.
type mark struct {
	index    uint64
	position []byte // never changed once stored in a mark
}

// The engine's bucket has one key, "mark": version u8, applied index u64 big endian, position.
const markVersion = 1

var (
	engineBucket = []byte("engine") //nolint:gochecknoglobals // a constant that Go cannot express
	markKey      = []byte("mark")   //nolint:gochecknoglobals // likewise
)

func putMark(tx *bbolt.Tx, m mark) error {
	v := append(binary.BigEndian.AppendUint64([]byte{markVersion}, m.index), m.position...)
	return tx.Bucket(engineBucket).Put(markKey, v)
}

func getMark(tx *bbolt.Tx) (m mark, err error) {
	b := tx.Bucket(engineBucket)
	if b == nil {
		return m, errors.New("no engine bucket: not a database of this program")
	}
	v := b.Get(markKey)
	if len(v) < 9 || v[0] != markVersion {
		return m, fmt.Errorf("mark %x is of no known version", v)
	}
	m.index = binary.BigEndian.Uint64(v[1:])
	if len(v) > 9 {
		m.position = append(m.position, v[9:]...)
	}
	return m, nil
}

// glance looks at both edges of every top-level bucket, which reads a few pages of each, and returns
// the mark. What it does not see is found by [DB.Check], or by the read that needs it.
func glance(tx *bbolt.Tx) (mark, error) {
	err := tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		if b == nil {
			return fmt.Errorf("%x is no bucket", name)
		}
		c := b.Cursor()
		c.First()
		c.Last()
		return nil
	})
	if err != nil {
		return mark{}, err
	}
	return getMark(tx)
}
