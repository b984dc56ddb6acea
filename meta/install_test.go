package meta_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"skerry.dev/skerry/meta"
)

// shipped writes a snapshot of db into a file of dir, as a receiver spools it.
func shipped(t testing.TB, db *meta.DB, dir string) (path string, index uint64) {
	t.Helper()
	s, err := db.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "received.tmp")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.WriteTo(f)
	if err := errors.Join(err, f.Sync(), f.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if n != s.Size {
		t.Errorf("snapshot of %d bytes said %d", n, s.Size)
	}
	return path, s.Index
}

func TestSnapshotInstallsAsWhatItWas(t *testing.T) {
	from, dir := openKV(t, ramDir(t), kvSeam()), ramDir(t)
	to := openKV(t, dir, kvSeam())
	applyKV(t, to, 3)
	applyKV(t, from, 70)
	want := hashKV(t, from)
	path, index := shipped(t, from, dir)
	if index != 70 {
		t.Errorf("snapshot at %d, want 70", index)
	}
	applyKV(t, from, 70)
	if err := to.Install(path); err != nil {
		t.Fatal(err)
	}
	if got := hashKV(t, to); got != want {
		t.Error("installed something else than the snapshot")
	}
	for name, at := range map[string]func() (uint64, []byte){"position": to.Position, "durable": to.Durable} {
		if index, pos := at(); index != 70 || string(pos) != string(positionKV(70)) {
			t.Errorf("%s %d %q, want 70", name, index, pos)
		}
	}
	if got, want := tree(t, dir), []string{"CURRENT", "CURRENT.tmp", "LOCK", "db-00000002.db"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	applyKV(t, to, 70)
	if hashKV(t, to) != hashKV(t, from) {
		t.Error("after the same entries the copies differ")
	}
	if err := errors.Join(check(to), to.Checkpoint(0, nil)); err != nil {
		t.Error(err)
	}
	if hashKV(t, openKV(t, killed(t, dir), kvSeam())) != hashKV(t, from) {
		t.Error("a start after the install found something else")
	}
}

func TestSnapshotDoesNotMove(t *testing.T) {
	from, dir := openKV(t, ramDir(t), kvSeam()), ramDir(t)
	applyKV(t, from, 50)
	want := hashKV(t, from)
	s, err := from.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // pages of the snapshot are freed, and would be used again
		applyKV(t, from, 30)
		if err := from.Checkpoint(0, nil); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "late.tmp")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.WriteTo(f)
	if err := errors.Join(err, f.Close(), s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	to := openKV(t, ramDir(t), kvSeam())
	if err := to.Install(path); err != nil {
		t.Fatal(err)
	}
	if hashKV(t, to) != want {
		t.Error("what was applied after the snapshot is in it")
	}
}

func TestInstallRefusesWhatIsNotWhole(t *testing.T) {
	from := openKV(t, ramDir(t), kvSeam())
	applyKV(t, from, 300)
	path, _ := shipped(t, from, ramDir(t))
	good := read(t, path)
	root := pageOf(good, 32)
	flipped := func(at int64) []byte {
		b := slices.Clone(good)
		clear(b[at : at+page])
		return b
	}
	cases := map[string][]byte{
		"empty":                nil,
		"no database":          []byte(strings.Repeat("not a database ", 1000)),
		"short":                good[:len(good)-page],
		"half":                 good[:len(good)/2],
		"without its root":     flipped(root),
		"without its freelist": flipped(pageOf(good, 48)),
	}
	cases["without a leaf"] = flipped(leafIn(t, good))
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			dir := ramDir(t)
			to := openKV(t, dir, kvSeam())
			applyKV(t, to, 20)
			want := hashKV(t, to)
			path := filepath.Join(dir, "received.tmp")
			write(t, path, b)
			if err := to.Install(path); !errors.Is(err, meta.ErrDamaged) {
				t.Fatalf("installed: %v, want ErrDamaged", err)
			}
			if hashKV(t, to) != want {
				t.Error("state changed")
			}
			applyKV(t, to, 20)
			if err := to.Checkpoint(0, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// leafIn finds a leaf page in use: not the root, and not on the freelist.
func leafIn(t testing.TB, file []byte) int64 {
	t.Helper()
	list := pageOf(file, 48)
	free := map[int64]bool{}
	for i := range int(file[list+10]) | int(file[list+11])<<8 {
		free[pageOf(file, int(list)+16+8*i)] = true
	}
	for at := int64(2 * page); at < int64(len(file)); at += page {
		if at != pageOf(file, 32) && file[at+8] == 2 && !free[at] {
			return at
		}
	}
	t.Fatal("no leaf page in use")
	return 0
}

// pageOf reads a page number of the first meta page as an offset.
func pageOf(file []byte, at int) int64 {
	var n int64
	for i := 7; i >= 0; i-- {
		n = n<<8 | int64(file[at+i])
	}
	return n * page
}

func TestKillAtAnyPointOfAnInstallLeavesOldOrNew(t *testing.T) {
	from, dir := openKV(t, ramDir(t), kvSeam()), ramDir(t)
	applyKV(t, from, 90)
	s := kvSeam()
	points := map[string]string{}
	s.At = func(name string) { points[name] = killed(t, dir) }
	to := openKV(t, dir, s)
	applyKV(t, to, 20)
	if err := to.Checkpoint(0, nil); err != nil {
		t.Fatal(err)
	}
	before, after := hashKV(t, to), hashKV(t, from)
	path, _ := shipped(t, from, dir)
	if err := to.Install(path); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint64{
		"install.received": before,
		"install.renamed":  after,
		"install.opened":   after,
	} {
		if points[name] == "" {
			t.Errorf("%s was not passed", name)
			continue
		}
		db := openKV(t, points[name], kvSeam())
		if got := hashKV(t, db); got != want {
			t.Errorf("killed at %s: state %x, want %x (before %x, after %x)", name, got, want, before, after)
		}
		applyKV(t, db, 10)
		if got := len(tree(t, points[name])); got != 4 {
			t.Errorf("killed at %s: files %q", name, tree(t, points[name]))
		}
	}
}

// Reads never stop, never fail and never see a mixture, while the state is replaced under them.
func TestReadsGoOnThroughInstalls(t *testing.T) {
	a, b, dir := openKV(t, ramDir(t), kvSeam()), openKV(t, ramDir(t), kvSeam()), ramDir(t)
	applyKV(t, a, 40)
	applyKV(t, b, 60)
	to := openKV(t, dir, kvSeam())
	path, _ := shipped(t, a, dir)
	if err := to.Install(path); err != nil {
		t.Fatal(err)
	}
	known := map[uint64]bool{hashKV(t, a): true, hashKV(t, b): true}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var reads, strange atomic.Int64
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for ctx.Err() == nil {
				got, err := tryHash(to)
				if err != nil || !known[got] {
					strange.Add(1)
				}
				reads.Add(1)
			}
		})
	}
	for i := range 20 {
		path, _ := shipped(t, []*meta.DB{b, a}[i%2], dir)
		before := reads.Load()
		if err := to.Install(path); err != nil {
			t.Fatal(err)
		}
		for reads.Load() < before+4 { // some read of every install's time
			if err := to.View(func(*bbolt.Tx) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	wait.Wait()
	if strange.Load() != 0 {
		t.Errorf("%d of %d reads failed or saw a mixture", strange.Load(), reads.Load())
	}
}

// A read that began before an install ends in the old state, whose file is closed with it.
func TestOldStateLivesAsLongAsItsLastReader(t *testing.T) {
	from, dir := openKV(t, ramDir(t), kvSeam()), ramDir(t)
	applyKV(t, from, 40)
	to := openKV(t, dir, kvSeam())
	applyKV(t, to, 10)
	old, err := to.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	path, _ := shipped(t, from, dir)
	if err := to.Install(path); err != nil {
		t.Fatal(err)
	}
	applyKV(t, to, 10)
	if n := opened(t, filepath.Join(dir, "db-00000001.db")); n == 0 {
		t.Error("the old file is closed under its reader")
	}
	copied := filepath.Join(ramDir(t), "old.tmp")
	f, err := os.Create(copied)
	if err != nil {
		t.Fatal(err)
	}
	_, err = old.WriteTo(f)
	if err := errors.Join(err, f.Close(), old.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := bbolt.Open(copied, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if n := opened(t, filepath.Join(dir, "db-00000001.db")); n != 0 {
		t.Errorf("the old file is still open %d times", n)
	}
}

// opened counts this process's descriptors of files whose path contains name.
func opened(t testing.TB, name string) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && strings.Contains(target, name) {
			n++
		}
	}
	return n
}
