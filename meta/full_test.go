package meta_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"go.etcd.io/bbolt"

	"skerry.dev/skerry/meta"
)

// onSmallDisk runs test in a process of its own that has a file system of so many bytes at the
// directory that test gets, and nobody else has.
func onSmallDisk(t *testing.T, options string, test func(t *testing.T, dir string)) {
	t.Helper()
	const at = "META_TEST_SMALL_DISK"
	if dir := os.Getenv(at); dir != "" { // that process
		if err := syscall.Mount("small", dir, "tmpfs", 0, options); err != nil {
			t.Fatal(err)
		}
		test(t, dir)
		return
	}
	attr := &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), at+"="+t.TempDir())
	cmd.SysProcAttr = attr
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// shelf is a state machine of large values: a command puts one under its index, or deletes the one
// that it names.
func shelf() meta.Seam {
	s := kvSeam()
	s.Apply = func(tx *bbolt.Tx, index uint64, command []byte) ([]byte, error) {
		b := tx.Bucket([]byte("kv"))
		if key, ok := bytes.CutPrefix(command, []byte("delete ")); ok {
			return nil, b.Delete(key)
		}
		return nil, b.Put(seedKV(index), bytes.Repeat([]byte("x"), 50<<10))
	}
	return s
}

func propose(db *meta.DB, command []byte) error {
	index, _ := db.Position()
	_, err := db.Apply([]uint64{index + 1}, [][]byte{command}, positionKV(index+1))
	return err
}

func TestFullDiskStopsWritesNotLife(t *testing.T) {
	onSmallDisk(t, "size=8m", func(t *testing.T, dir string) {
		for _, reserves := range []bool{true, false} { // file systems that can reserve blocks, and others
			s := shelf()
			s.NoExtend = !reserves
			fullDisk(t, filepath.Join(dir, map[bool]string{true: "a", false: "b"}[reserves]), s)
			if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func fullDisk(t *testing.T, dir string, s meta.Seam) {
	t.Helper()
	ballast, reserve := filepath.Join(filepath.Dir(dir), "ballast"), filepath.Join(filepath.Dir(dir), "reserve")
	write(t, ballast, make([]byte, 2<<20))
	write(t, reserve, make([]byte, 1<<20))
	db, err := meta.OpenSeam(configKV(t, dir), s)
	if err != nil {
		t.Fatal(err)
	}
	put := func() error { return propose(db, []byte("put")) }
	fill := func() (n int, err error) {
		for err == nil && n < 1000 {
			if err = put(); err == nil && n%5 == 4 {
				err = db.Checkpoint(0, nil)
			}
			n++
		}
		return n, err
	}
	if n, err := fill(); !errors.Is(err, meta.ErrFull) || n < 20 {
		t.Fatalf("after %d entries: %v, want ErrFull", n, err)
	}
	index, _ := db.Position()
	want := hashKV(t, db)
	for range 3 {
		if err := put(); !errors.Is(err, meta.ErrFull) {
			t.Fatalf("put on a full disk: %v, want ErrFull", err)
		}
	}
	if now, _ := db.Position(); now != index || hashKV(t, db) != want {
		t.Fatal("a refused entry changed the state")
	}
	if err := check(db); err != nil {
		t.Fatal(err)
	}

	// Out of a small reserve deleting goes on, and makes more room than it took: each checkpoint lets
	// what was deleted before be used again.
	if err := os.Remove(reserve); err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= 10; i++ {
		if err := propose(db, append([]byte("delete "), seedKV(i)...)); err != nil {
			t.Fatalf("delete on a full disk: %v", err)
		}
		if err := db.Checkpoint(0, nil); err != nil {
			t.Fatalf("checkpoint on a full disk: %v", err)
		}
	}
	_ = os.WriteFile(reserve, make([]byte, 1<<20), 0o600) // as much as is left: none for what follows
	if n, err := fill(); !errors.Is(err, meta.ErrFull) || n < 5 {
		t.Fatalf("after deleting, %d entries, then %v", n, err)
	}
	index, _ = db.Position()
	want = hashKV(t, db)

	// A start works without any space.
	if err := db.Close(); err != nil && !errors.Is(err, meta.ErrFull) {
		t.Fatal(err)
	}
	db = openKV(t, dir, s)
	if last, _ := db.Durable(); last == index && hashKV(t, db) != want {
		t.Error("the state changed in a start")
	}
	if err := check(db); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := put(); err != nil {
			t.Fatalf("with space again: %v", err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsCreatedHalfOnAFullDisk(t *testing.T) {
	onSmallDisk(t, "size=1m", func(t *testing.T, dir string) {
		ballast := filepath.Join(dir, "ballast")
		write(t, ballast, make([]byte, 1<<20-8<<10))
		for range 2 {
			if _, err := meta.OpenSeam(configKV(t, filepath.Join(dir, "db")), shelf()); !errors.Is(err, meta.ErrFull) {
				t.Fatalf("created on a full disk: %v, want ErrFull", err)
			}
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		openKV(t, filepath.Join(dir, "db"), shelf())
	})
}

// A full disk is emptied by deletes and a collection, each of whose commands changes a hundred blobs:
// a reserve that is small beside what they change in sum is enough, since each checkpoint lets the
// pages of those before be used again.
func TestCollectionOfThousandsGetsThroughOnAFullDisk(t *testing.T) {
	onSmallDisk(t, "size=64m", func(t *testing.T, dir string) {
		reserve, ballast := filepath.Join(dir, "reserve"), filepath.Join(dir, "ballast")
		write(t, reserve, make([]byte, 1<<20))
		w := newWorldIn(t, filepath.Join(dir, "db"), meta.Seam{})
		f := &filled{world: w, repos: 20, old: map[int][]digest.Digest{}}
		f.push(3000, 64, func() { w.must(w.db.Checkpoint(0, nil)) })
		_ = os.WriteFile(ballast, make([]byte, 64<<20), 0o600) // as much as there is
		if err := os.Remove(reserve); err != nil {
			t.Fatal(err)
		}
		entries := 0
		w.after = func([]byte) {
			if entries++; entries%10 == 0 {
				w.must(w.db.Checkpoint(0, nil))
			}
		}
		for i := range f.repos {
			tags, _, err := w.Tags(repoName(i), "", 1000)
			w.must(err)
			for _, tag := range tags {
				info, err := w.ResolveTag(repoName(i), tag)
				w.must(err)
				w.must(w.DeleteManifest(t.Context(), repoName(i), info.Digest, "alice"))
			}
		}
		w.pass(2 * grace)
		if r := w.collect(); r.Blobs != 6000 || r.Manifests != 3000 {
			t.Fatalf("collected %+v", r)
		}
		items, err := w.Trash(meta.FirstNode, 0, 10_000)
		w.must(err)
		ids := make([]uint64, len(items))
		for i, item := range items {
			ids[i] = item.ID
		}
		w.must(w.Swept(t.Context(), meta.FirstNode, ids))
		w.must(w.db.Checkpoint(0, nil))
		w.must(w.db.Checkpoint(0, nil))
		if st, err := w.Stats(); err != nil || st.FreeBytes < st.DatabaseBytes/2 {
			t.Errorf("%d of %d bytes can be used again (%v)", st.FreeBytes, st.DatabaseBytes, err)
		}
	})
}
