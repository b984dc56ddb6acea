package meta_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"

	"go.etcd.io/bbolt"

	"skerry.dev/skerry/meta"
)

// The state machine of these tests: a key-value store whose command is a seed. Applying it sets and
// deletes some pseudo-random keys, so pages are freed and used again as under real load.
func kvSeam() meta.Seam {
	return meta.Seam{
		Create: func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists([]byte("kv"))
			return err
		},
		Apply: execKV,
	}
}

var errCommand = errors.New("no such command")

func execKV(tx *bbolt.Tx, index uint64, command []byte) ([]byte, error) {
	if bytes.Equal(command, []byte("bad")) {
		return nil, errCommand
	}
	b := tx.Bucket([]byte("kv"))
	rng := rand.New(rand.NewPCG(binary.BigEndian.Uint64(command), 1))
	for range 20 {
		key := binary.BigEndian.AppendUint64(nil, rng.Uint64N(3000))
		if rng.IntN(4) == 0 {
			if err := b.Delete(key); err != nil {
				return nil, err
			}
			continue
		}
		if err := b.Put(key, bytes.Repeat(command, 6+rng.IntN(40))); err != nil {
			return nil, err
		}
	}
	return binary.BigEndian.AppendUint64(nil, index), nil
}

func seedKV(seed uint64) []byte { return binary.BigEndian.AppendUint64(nil, seed) }

// positionKV is what the tests' log stores with entry i.
func positionKV(i uint64) []byte { return fmt.Appendf(nil, "term 1 entry %d", i) }

// openKV opens the database in dir and closes it after the test.
func openKV(t testing.TB, dir string, s meta.Seam) *meta.DB {
	t.Helper()
	db, err := meta.OpenSeam(configKV(t, dir), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !errors.Is(err, meta.ErrClosed) {
			t.Error(err)
		}
	})
	return db
}

func configKV(t testing.TB, dir string) meta.DBConfig {
	t.Helper()
	return meta.DBConfig{Dir: dir, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

// applyKV applies n entries, one at a time, after the last.
func applyKV(t testing.TB, db *meta.DB, n int) {
	t.Helper()
	last, _ := db.Position()
	for i := last + 1; i <= last+uint64(n); i++ {
		if _, err := db.Apply([]uint64{i}, [][]byte{seedKV(i)}, positionKV(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// hashKV is a hash of everything the state machine holds, and the engine's mark.
func hashKV(t testing.TB, db *meta.DB) uint64 {
	t.Helper()
	h := fnv.New64a()
	if err := db.View(func(tx *bbolt.Tx) error { return writeKV(tx, h) }); err != nil {
		t.Fatal(err)
	}
	return h.Sum64()
}

func writeKV(tx *bbolt.Tx, w io.Writer) error {
	return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			_, err := fmt.Fprintf(w, "%s %x %x\n", name, k, v)
			return err
		})
	})
}

func TestReopenReturnsToWhatWasApplied(t *testing.T) {
	dir := t.TempDir()
	db := openKV(t, dir, kvSeam())
	applyKV(t, db, 100)
	want := hashKV(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openKV(t, dir, kvSeam())
	if index, pos := db.Position(); index != 100 || !bytes.Equal(pos, positionKV(100)) {
		t.Errorf("position %d %q after reopening, want 100", index, pos)
	}
	if got := hashKV(t, db); got != want {
		t.Errorf("content %x after reopening, want %x", got, want)
	}
}
