package meta_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"skerry.dev/skerry/meta"
)

// sound makes a database of one checkpoint that has a freelist, and closes it.
func sound(t testing.TB) (dir string) {
	t.Helper()
	dir = ramDir(t)
	db := openKV(t, dir, kvSeam())
	applyKV(t, db, 60)
	if err := db.Checkpoint(0, nil); err != nil {
		t.Fatal(err)
	}
	applyKV(t, db, 60)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// reseal changes CURRENT and makes its checksum right again.
func reseal(t testing.TB, dir string, change func([]byte)) {
	t.Helper()
	path := filepath.Join(dir, "CURRENT")
	b := read(t, path)
	body := b[:len(b)-4]
	change(body)
	write(t, path, binary.BigEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))))
}

// scribble writes b into the database file.
func scribble(t testing.TB, dir string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "db-00000001.db"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, at)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// In CURRENT: the name begins behind 26 bytes and has 14, then come the meta pages.
const (
	nameAt     = 26
	metasAt    = nameAt + 14
	rootAt     = metasAt + 16 + 16
	freelistAt = rootAt + 16
	page       = 4096
)

func pageIn(t testing.TB, dir string, at int) int64 {
	t.Helper()
	return int64(binary.NativeEndian.Uint64(read(t, filepath.Join(dir, "CURRENT"))[at:])) * page
}

func TestDamageIsRefusedAndLeftAlone(t *testing.T) {
	zeros := make([]byte, page)
	current := func(dir string) string { return filepath.Join(dir, "CURRENT") }
	cases := map[string]struct {
		harm func(t *testing.T, dir string)
		says string
	}{
		"CURRENT is gone": {func(t *testing.T, dir string) {
			if err := os.Remove(current(dir)); err != nil {
				t.Fatal(err)
			}
		}, "CURRENT is missing although db-00000001.db exists"},
		"CURRENT is empty": {func(t *testing.T, dir string) {
			write(t, current(dir), nil)
		}, "not such a file"},
		"CURRENT has a flipped bit": {func(t *testing.T, dir string) {
			b := read(t, current(dir))
			b[len(b)/2] ^= 1
			write(t, current(dir), b)
		}, "checksum"},
		"CURRENT is short": {func(t *testing.T, dir string) {
			b := read(t, current(dir))
			write(t, current(dir), b[:len(b)-100])
		}, "checksum"},
		"CURRENT is of a newer program": {func(t *testing.T, dir string) {
			reseal(t, dir, func(b []byte) { b[11] = 9 })
		}, "version is 9"},
		"CURRENT names a file elsewhere": {func(t *testing.T, dir string) {
			reseal(t, dir, func(b []byte) { copy(b[nameAt:], "db-/../../etc/") })
		}, "names"},
		"the meta pages are others": {func(t *testing.T, dir string) {
			reseal(t, dir, func(b []byte) { clear(b[metasAt:]) })
		}, "no meta pages"},
		"the meta pages have a wrong sum": {func(t *testing.T, dir string) {
			reseal(t, dir, func(b []byte) { b[rootAt+8] ^= 1; b[rootAt+8+page] ^= 1 })
		}, "checksum"},
		"the database file is gone": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "db-00000001.db")); err != nil {
				t.Fatal(err)
			}
		}, "db-00000001.db is missing"},
		"the database file is short": {func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "db-00000001.db"), 5*page); err != nil {
				t.Fatal(err)
			}
		}, "bytes of"},
		"the freelist is overwritten": {func(t *testing.T, dir string) {
			scribble(t, dir, pageIn(t, dir, freelistAt), zeros)
		}, "no freelist"},
		"the freelist names a page twice": {func(t *testing.T, dir string) {
			at := pageIn(t, dir, freelistAt) + 16
			first := make([]byte, 8)
			copy(first, read(t, filepath.Join(dir, "db-00000001.db"))[at:])
			scribble(t, dir, at+8, first)
		}, "freelist has page"},
		"the root page is overwritten": {func(t *testing.T, dir string) {
			scribble(t, dir, pageIn(t, dir, rootAt), zeros)
		}, "db-00000001.db"},
		"the database is another one": {func(t *testing.T, dir string) {
			reseal(t, dir, func(b []byte) { b[23] = 77 })
		}, "is at entry 120, CURRENT at 77"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := sound(t)
			c.harm(t, dir)
			before := tree(t, dir)
			db, err := meta.OpenSeam(configKV(t, dir), kvSeam())
			if err == nil {
				_ = db.Close()
				t.Fatal("opened")
			}
			if !errors.Is(err, meta.ErrDamaged) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q, want ErrDamaged saying %q", err, c.says)
			}
			if !strings.Contains(err.Error(), "skerry restore") {
				t.Errorf("error %q does not say what to run", err)
			}
			if after := tree(t, dir); !slices.Equal(before, after) {
				t.Errorf("files %q became %q", before, after)
			}
		})
	}
}

func tree(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestOneProcessAtATime(t *testing.T) {
	dir := ramDir(t)
	db := openKV(t, dir, kvSeam())
	if _, err := meta.OpenSeam(configKV(t, dir), kvSeam()); !errors.Is(err, meta.ErrInUse) {
		t.Errorf("second open: %v, want ErrInUse", err)
	}
	applyKV(t, db, 1) // the first does not mind
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	openKV(t, dir, kvSeam())
}

// A crash while the very first database is made must neither look like damage nor leave a half one.
func TestInterruptedCreationIsFinished(t *testing.T) {
	made := ramDir(t)
	if err := openKV(t, made, kvSeam()).Close(); err != nil {
		t.Fatal(err)
	}
	file, current := read(t, filepath.Join(made, "db-00000001.db")), read(t, filepath.Join(made, "CURRENT"))
	for name, left := range map[string]map[string][]byte{
		"in the file":          {"create.tmp": file[:page]},
		"before CURRENT":       {"create.tmp": file, "CURRENT.tmp": current[:100]},
		"before the last name": {"create.tmp": file, "CURRENT": current},
	} {
		t.Run(name, func(t *testing.T) {
			dir := ramDir(t)
			for name, b := range left {
				write(t, filepath.Join(dir, name), b)
			}
			db := openKV(t, dir, kvSeam())
			applyKV(t, db, 5)
			if got := tree(t, dir); !slices.Equal(got, []string{"CURRENT", "CURRENT.tmp", "LOCK", "db-00000001.db"}) {
				t.Errorf("files %q", got)
			}
		})
	}
}

func TestLeftoversAreRemovedAndStrangersKept(t *testing.T) {
	dir := sound(t)
	for _, name := range []string{"CURRENT.tmp", "spool.tmp", "db-00000002.db", "notes.txt"} {
		write(t, filepath.Join(dir, name), []byte("x"))
	}
	openKV(t, dir, kvSeam())
	want := []string{"CURRENT", "CURRENT.tmp", "LOCK", "db-00000001.db", "notes.txt"}
	if got := tree(t, dir); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

func TestAnyPageSizeIsReturnedTo(t *testing.T) {
	for _, size := range []int{1024, 8192, 65536} {
		dir := ramDir(t)
		s := kvSeam()
		s.PageSize = size
		db := openKV(t, dir, s)
		applyKV(t, db, 50)
		if err := db.Checkpoint(0, nil); err != nil {
			t.Fatal(err)
		}
		want := hashKV(t, db)
		applyKV(t, db, 50)
		again := openKV(t, killed(t, dir), kvSeam())
		if got := again.PageSize(); got != size {
			t.Errorf("page size %d, want %d", got, size)
		}
		if hashKV(t, again) != want {
			t.Errorf("page size %d: not the checkpoint", size)
		}
		if err := check(again); err != nil {
			t.Errorf("page size %d: %v", size, err)
		}
	}
}

// What a start does not look at is found by who needs it: as an error, not as the end of the process.
func TestUnreadablePagesAreErrors(t *testing.T) {
	dir := ramDir(t)
	db, err := meta.OpenSeam(configKV(t, dir), kvSeam())
	if err != nil {
		t.Fatal(err)
	}
	applyKV(t, db, 200)
	if err := os.Truncate(filepath.Join(dir, "db-00000001.db"), 3*page); err != nil { // reading is a fault now
		t.Fatal(err)
	}
	if _, err := tryHash(db); !errors.Is(err, meta.ErrDamaged) {
		t.Errorf("read: %v, want ErrDamaged", err)
	}
	if _, err := db.Apply([]uint64{201}, [][]byte{seedKV(201)}, nil); !errors.Is(err, meta.ErrDamaged) {
		t.Errorf("apply: %v, want ErrDamaged", err)
	}
	if index, _ := db.Position(); index != 200 {
		t.Errorf("position %d after a failed apply", index)
	}
	if err := db.Close(); !errors.Is(err, meta.ErrDamaged) {
		t.Errorf("close: %v, want ErrDamaged", err)
	}
}

// A backup and a scrub read a snapshot for hours: a page lost meanwhile ends them, not the process.
func TestUnreadablePagesEndTheReadingOfASnapshot(t *testing.T) {
	w := newWorld(t)
	const blobs = 1000
	for i := range blobs {
		w.blob("a", fmt.Sprint(i))
	}
	s, err := w.Snapshot()
	w.must(err)
	path := w.db.Bolt().Path()
	whole, err := os.ReadFile(path)
	w.must(err)
	read := 0
	for _, err = range s.Blobs(meta.FirstNode) {
		if read++; read == blobs/2 {
			w.must(os.Truncate(path, 3*page)) // reading is a fault now
		}
	}
	if !errors.Is(err, meta.ErrDamaged) || read < blobs/2 || read > blobs {
		t.Errorf("%d blobs, then %v, want ErrDamaged", read, err)
	}
	if _, err := s.WriteTo(io.Discard); err == nil {
		t.Error("a damaged snapshot was copied")
	}
	w.must(os.WriteFile(path, whole, 0)) // the disk reads again
	read = 0
	for _, err := range s.Blobs(meta.FirstNode) {
		w.must(err)
		read++
	}
	if read != blobs {
		t.Errorf("read %d blobs of %d", read, blobs)
	}
	w.must(s.Close())
}

// What whoever ranges over a snapshot does wrong is not taken for damage.
func TestPanicsOfOthersGoOnThroughASnapshot(t *testing.T) {
	w := newWorld(t)
	w.blob("a", "x")
	s, err := w.Snapshot()
	w.must(err)
	defer func() {
		if p := recover(); p != "mine" {
			t.Errorf("recovered %v", p)
		}
		w.must(s.Close())
	}()
	for _, err := range s.Blobs(meta.FirstNode) {
		w.must(err)
		panic("mine")
	}
}

func TestPanicsOfOthersGoOn(t *testing.T) {
	db := openKV(t, ramDir(t), kvSeam())
	defer func() {
		if p := recover(); p != "mine" {
			t.Errorf("recovered %v", p)
		}
	}()
	_ = db.View(func(*bbolt.Tx) error { panic("mine") })
}

func TestMapShrinksWhereAddressesAreFew(t *testing.T) {
	dir := ramDir(t)
	s := kvSeam()
	s.MapBytes = 1 << 47 // more than any process has
	db := openKV(t, dir, s)
	applyKV(t, db, 10)
	if index, _ := db.Position(); index != 10 {
		t.Errorf("position %d", index)
	}
}

func TestOutgrownMapIsFullUntilTheNextStart(t *testing.T) {
	dir := ramDir(t)
	s := kvSeam()
	s.MapBytes = 32 << 20
	s.Apply = func(tx *bbolt.Tx, index uint64, _ []byte) ([]byte, error) {
		return nil, tx.Bucket([]byte("kv")).Put(seedKV(index), bytes.Repeat([]byte("x"), 1<<20))
	}
	db := openKV(t, dir, s)
	i := uint64(1)
	var err error
	for ; err == nil && i < 100; i++ {
		_, err = db.Apply([]uint64{i}, [][]byte{seedKV(i)}, nil)
	}
	if !errors.Is(err, meta.ErrFull) {
		t.Fatalf("after %d entries: %v, want ErrFull", i, err)
	}
	want := hashKV(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openKV(t, dir, s)
	if hashKV(t, db) != want {
		t.Error("content changed")
	}
	last, _ := db.Position()
	if _, err := db.Apply([]uint64{last + 1}, [][]byte{seedKV(last + 1)}, nil); err != nil {
		t.Errorf("after a start: %v", err)
	}
}
