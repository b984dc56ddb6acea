package meta_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"
	"time"

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
	if bytes.Equal(command, []byte("huge")) { // far more than is reserved for a command: its commit fails
		return nil, b.Put([]byte("huge"), make([]byte, 17<<20))
	}
	rng := rand.New(rand.NewPCG(binary.BigEndian.Uint64(command), 1))
	for range 8 {
		key := binary.BigEndian.AppendUint64(nil, rng.Uint64N(1000))
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

func parseSeedKV(command []byte) uint64 { return binary.BigEndian.Uint64(command) }

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

// ramDir is a directory in memory where there is one: these tests sync thousands of times, and model
// the disk themselves.
func ramDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "meta-test-") //nolint:usetesting // TempDir is not in memory
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
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
	sum, err := tryHash(db)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func tryHash(db *meta.DB) (uint64, error) {
	h := sha256.New()
	err := db.View(func(tx *bbolt.Tx) error { return writeKV(tx, h) })
	return binary.BigEndian.Uint64(h.Sum(nil)), err
}

func writeKV(tx *bbolt.Tx, w io.Writer) error {
	return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			record := append(append(append([]byte{byte(len(k))}, name...), k...), v...)
			_, err := w.Write(binary.BigEndian.AppendUint32(record, uint32(len(v))))
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

func TestApplyIsAllOrNothing(t *testing.T) {
	db := openKV(t, ramDir(t), kvSeam())
	applyKV(t, db, 3)
	want := hashKV(t, db)
	bad := [][]byte{seedKV(4), []byte("bad"), seedKV(6)}
	if _, err := db.Apply([]uint64{4, 5, 6}, bad, positionKV(6)); !errors.Is(err, errCommand) {
		t.Fatalf("error %v, want that of the state machine", err)
	}
	if got := hashKV(t, db); got != want {
		t.Error("a failed batch left something behind")
	}
	if index, pos := db.Position(); index != 3 || !bytes.Equal(pos, positionKV(3)) {
		t.Errorf("position %d %q after a failed batch, want 3", index, pos)
	}
	applyKV(t, db, 3)
}

func TestApplyGivesEachCommandItsResult(t *testing.T) {
	db := openKV(t, ramDir(t), kvSeam())
	indexes := []uint64{3, 4, 9} // entries between are no commands
	results, err := db.Apply(indexes, [][]byte{seedKV(3), seedKV(4), seedKV(9)}, positionKV(9))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if !bytes.Equal(r, seedKV(indexes[i])) {
			t.Errorf("entry %d has result %x", indexes[i], r)
		}
	}
	if _, err := db.Apply([]uint64{10}, [][]byte{seedKV(10)}, nil); err != nil {
		t.Fatal(err)
	}
	if index, pos := db.Position(); index != 10 || !bytes.Equal(pos, positionKV(9)) {
		t.Errorf("position %d %q, want 10 and the position kept by nil", index, pos)
	}
}

func TestBatchesOfAnySizeGiveTheSameState(t *testing.T) {
	one, many := openKV(t, ramDir(t), kvSeam()), openKV(t, ramDir(t), kvSeam())
	applyKV(t, one, 64)
	for at := uint64(1); at <= 64; {
		var indexes []uint64
		var commands [][]byte
		for n := uint64(1); n <= 1+at%7 && at <= 64; n, at = n+1, at+1 {
			indexes, commands = append(indexes, at), append(commands, seedKV(at))
		}
		if _, err := many.Apply(indexes, commands, positionKV(at-1)); err != nil {
			t.Fatal(err)
		}
	}
	if hashKV(t, one) != hashKV(t, many) {
		t.Error("the same entries in other batches gave another state")
	}
}

func TestApplyPanicsWhenAnEntryComesTwice(t *testing.T) {
	db := openKV(t, ramDir(t), kvSeam())
	applyKV(t, db, 5)
	for _, indexes := range [][]uint64{{5}, {4}, {6, 6}, {7, 6}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("entries %d after 5 did not panic", indexes)
				}
			}()
			commands := make([][]byte, len(indexes))
			for i := range commands {
				commands[i] = seedKV(1)
			}
			_, _ = db.Apply(indexes, commands, nil)
		}()
	}
	applyKV(t, db, 1) // and no lock was left behind
}

func TestClosedDatabaseSaysSo(t *testing.T) {
	cfg := configKV(t, ramDir(t))
	cfg.CheckpointEvery = time.Millisecond
	db, err := meta.OpenSeam(cfg, kvSeam())
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, applyErr := db.Apply([]uint64{1}, [][]byte{seedKV(1)}, nil)
	_, snapErr := db.Snapshot()
	for name, err := range map[string]error{
		"view":       db.View(func(*bbolt.Tx) error { return nil }),
		"apply":      applyErr,
		"snapshot":   snapErr,
		"checkpoint": db.Checkpoint(9, []byte("x")),
		"close":      db.Close(),
		"run":        db.Run(t.Context()),
	} {
		if !errors.Is(err, meta.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
}
