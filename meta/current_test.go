package meta_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"path/filepath"
	"testing"

	"skerry.dev/skerry/meta"
)

// Whatever stands in CURRENT, with a right checksum even, is refused or read as it was written.
func FuzzCurrentIsRefusedOrUnderstood(f *testing.F) {
	good := read(f, filepath.Join(sound(f), "CURRENT"))
	f.Add(good[:len(good)-4])
	f.Add(good[:len(good)/2])
	f.Add([]byte("SKERRYDB"))
	f.Fuzz(func(t *testing.T, body []byte) {
		b := binary.BigEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
		name, again, err := meta.Recode(b)
		if err != nil {
			return
		}
		if !bytes.Equal(again, b) {
			t.Errorf("%x was read as %x", b, again)
		}
		if filepath.Base(name) != name {
			t.Errorf("names %q, outside of the directory", name)
		}
	})
}
