//go:build crash

package powerloss_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"skerry.dev/skerry/test/crash/powerloss"
)

var (
	nothing    = powerloss.Fate{}
	everything = powerloss.Fate{Keep: 1}
)

// mounted is a new disk and where programs see it.
func mounted(t *testing.T, o powerloss.Options) (*powerloss.Disk, string) {
	t.Helper()
	d := powerloss.NewDisk(o)
	return d, mount(t, d)
}

func mount(t *testing.T, d *powerloss.Disk) string {
	t.Helper()
	m, err := d.Mount(t.TempDir())
	ok(t, err)
	t.Cleanup(func() { ok(t, m.Close()) })
	return m.Dir
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes or overwrites a file, without syncing it.
func write(t *testing.T, path, content string) {
	t.Helper()
	ok(t, os.WriteFile(path, []byte(content), 0o600))
}

// fsync syncs a file or a directory.
func fsync(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	ok(t, err)
	ok(t, f.Sync())
	ok(t, f.Close())
}

// tree is all that a disk holds: the content of each file, "/" for a directory.
func tree(t *testing.T, d *powerloss.Disk) map[string]string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	ok(t, d.Export(dir))
	all := map[string]string{}
	ok(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel := strings.TrimPrefix(path, dir+"/")
		if e.IsDir() {
			all[rel] = "/"
			return nil
		}
		b, err := os.ReadFile(path)
		all[rel] = string(b)
		return err
	}))
	return all
}

func same(t *testing.T, d *powerloss.Disk, want map[string]string) {
	t.Helper()
	if got := tree(t, d); !maps.Equal(got, want) {
		t.Errorf("left is %.200q, want %.200q", got, want)
	}
}

// fates are what many seeds lead to, each state of the disk once.
func fates(t *testing.T, d *powerloss.Disk, f powerloss.Fate) []map[string]string {
	t.Helper()
	var states []map[string]string
	for seed := range uint64(200) {
		f.Rand = rand.New(rand.NewPCG(seed, 0))
		s := tree(t, d.Cut(f, powerloss.Options{}))
		if !slices.ContainsFunc(states, func(o map[string]string) bool { return maps.Equal(o, s) }) {
			states = append(states, s)
		}
	}
	return states
}

func TestOnlyWhatWasSyncedIsSure(t *testing.T) {
	d, dir := mounted(t, powerloss.Options{})
	write(t, dir+"/synced", "a")
	fsync(t, dir+"/synced")
	write(t, dir+"/named", "b")
	fsync(t, dir)
	write(t, dir+"/nameless", "c")
	fsync(t, dir+"/nameless")
	same(t, d.Cut(nothing, powerloss.Options{}), map[string]string{"synced": "a", "named": ""})
	same(t, d.Cut(everything, powerloss.Options{}), map[string]string{"synced": "a", "named": "b", "nameless": "c"})
}

func TestAnySubsetOfPagesSurvives(t *testing.T) {
	d, dir := mounted(t, powerloss.Options{})
	old, fresh := strings.Repeat("o", 4096), strings.Repeat("n", 4096)
	write(t, dir+"/f", old+old)
	fsync(t, dir+"/f")
	fsync(t, dir)
	f, err := os.OpenFile(dir+"/f", os.O_RDWR, 0)
	ok(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte(fresh+fresh), 0)
	ok(t, err)
	got := fates(t, d, powerloss.Fate{Keep: 0.5})
	if len(got) != 4 {
		t.Errorf("%d outcomes of two pages, want 4", len(got))
	}
	ok(t, unix.Fdatasync(int(f.Fd())))
	same(t, d.Cut(nothing, powerloss.Options{}), map[string]string{"f": fresh + fresh})
}

func TestAPageMayBeOfAnyMomentSinceItsSync(t *testing.T) {
	d, dir := mounted(t, powerloss.Options{})
	f, err := os.Create(dir + "/f")
	ok(t, err)
	defer f.Close()
	ok(t, f.Truncate(1))
	ok(t, f.Sync())
	fsync(t, dir)
	seen := map[string]bool{}
	for _, c := range "abc" {
		_, err = f.WriteAt([]byte(string(c)), 0)
		ok(t, err)
	}
	for _, s := range fates(t, d, powerloss.Fate{Keep: 0.5}) {
		seen[s["f"]] = true
	}
	if want := map[string]bool{"\x00": true, "a": true, "b": true, "c": true}; !maps.Equal(seen, want) {
		t.Errorf("the page was %v", seen)
	}
}

func TestPagesTearBySectors(t *testing.T) {
	d, dir := mounted(t, powerloss.Options{})
	write(t, dir+"/f", strings.Repeat("o", 4096))
	fsync(t, dir+"/f")
	fsync(t, dir)
	write(t, dir+"/g", "") // so that the directory is not the same
	f, err := os.OpenFile(dir+"/f", os.O_RDWR, 0)
	ok(t, err)
	defer f.Close()
	_, err = f.WriteAt(bytes.Repeat([]byte("n"), 4096), 0)
	ok(t, err)
	torn := 0
	for _, s := range fates(t, d, powerloss.Fate{Keep: 0.9, Torn: true}) {
		for i := 0; i < 4096; i += 512 {
			if sector := s["f"][i : i+512]; sector != strings.Repeat(sector[:1], 512) {
				t.Fatal("a sector is torn")
			}
		}
		if strings.Contains(s["f"], "o") && strings.Contains(s["f"], "n") {
			torn++
		}
	}
	if torn == 0 {
		t.Error("no page was torn")
	}
}

func TestSizeAndBytesSurviveApart(t *testing.T) {
	d, dir := mounted(t, powerloss.Options{})
	f, err := os.Create(dir + "/f")
	ok(t, err)
	defer f.Close()
	fsync(t, dir)
	_, err = f.WriteString("hello")
	ok(t, err)
	seen := map[string]bool{}
	for _, s := range fates(t, d, powerloss.Fate{Keep: 0.5}) {
		seen[s["f"]] = true
	}
	if want := map[string]bool{"": true, "hello": true, "\x00\x00\x00\x00\x00": true}; !maps.Equal(seen, want) {
		t.Errorf("the file was %q", slices.Collect(maps.Keys(seen)))
	}
	ok(t, f.Sync())
	ok(t, f.Truncate(2))
	ok(t, f.Truncate(5)) // what was cut off does not come back
	ok(t, f.Sync())
	same(t, d.Cut(nothing, powerloss.Options{}), map[string]string{"f": "he\x00\x00\x00"})
}

func TestARenameInADirectoryIsWholeOrNot(t *testing.T) {
	d, dir := mounted(t, powerloss.Options{})
	write(t, dir+"/CURRENT", "old")
	fsync(t, dir+"/CURRENT")
	fsync(t, dir)
	write(t, dir+"/tmp", "new")
	fsync(t, dir+"/tmp")
	ok(t, os.Rename(dir+"/tmp", dir+"/CURRENT"))
	write(t, dir+"/tmp", "next")
	seen := map[string]bool{}
	for _, s := range fates(t, d, powerloss.Fate{Keep: 0.5}) {
		seen[s["CURRENT"]] = true
		if _, there := s["tmp"]; there && s["CURRENT"] == "new" && s["tmp"] == "new" {
			t.Errorf("one file has two names: %q", s)
		}
	}
	if want := map[string]bool{"old": true, "new": true}; !maps.Equal(seen, want) {
		t.Errorf("CURRENT was %v", seen)
	}
	fsync(t, dir)
	same(t, d.Cut(nothing, powerloss.Options{}), map[string]string{"CURRENT": "new", "tmp": ""})
}

func TestARenameBetweenDirectoriesIsTwoChanges(t *testing.T) {
	d, dir := mounted(t, powerloss.Options{})
	ok(t, os.MkdirAll(dir+"/from", 0o755))
	ok(t, os.MkdirAll(dir+"/to", 0o755))
	write(t, dir+"/from/f", "x")
	fsync(t, dir+"/from/f")
	fsync(t, dir+"/from")
	fsync(t, dir+"/to")
	fsync(t, dir)
	ok(t, os.Rename(dir+"/from/f", dir+"/to/f"))
	if got := fates(t, d, powerloss.Fate{Keep: 0.5}); len(got) != 4 {
		t.Errorf("strictly %d outcomes, want both names, either, none: %q", len(got), got)
	}
	if got := fates(t, d, powerloss.Fate{Keep: 0.5, Journal: true}); len(got) != 2 {
		t.Errorf("with a journal %d outcomes, want either name: %q", len(got), got)
	}
	fsync(t, dir+"/to")
	same(t, d.Cut(nothing, powerloss.Options{}), map[string]string{
		"from": "/", "to": "/", "from/f": "x", "to/f": "x",
	})
}

func TestAJournalKeepsTheOrder(t *testing.T) {
	d, dir := mounted(t, powerloss.Options{})
	ok(t, os.Mkdir(dir+"/d", 0o755))
	for _, name := range []string{"/a", "/d/b", "/c"} {
		write(t, dir+name, "")
	}
	got := fates(t, d, powerloss.Fate{Keep: 0.5, Journal: true})
	slices.SortFunc(got, func(a, b map[string]string) int { return len(a) - len(b) })
	var lines []string
	for _, s := range got {
		lines = append(lines, strings.Join(slices.Sorted(maps.Keys(s)), " "))
	}
	if want := "|d|a d|a d d/b|a c d d/b"; strings.Join(lines, "|") != want {
		t.Errorf("prefixes %q, want %q", strings.Join(lines, "|"), want)
	}
	if got := fates(t, d, powerloss.Fate{Keep: 0.5}); len(got) != 12 { // d or not and b in it, a, c
		t.Errorf("%d subsets, want 12", len(got))
	}
}

func TestADirectoryThatIsNotSyncedTakesItsFilesAlong(t *testing.T) {
	d, dir := mounted(t, powerloss.Options{})
	ok(t, os.Mkdir(dir+"/d", 0o755))
	write(t, dir+"/d/f", "x")
	fsync(t, dir+"/d/f")
	fsync(t, dir+"/d")
	same(t, d.Cut(nothing, powerloss.Options{}), map[string]string{})
	fsync(t, dir)
	same(t, d.Cut(nothing, powerloss.Options{}), map[string]string{"d": "/", "d/f": "x"})
}

func TestUnlinkedFilesComeBackUntilTheDirectoryIsSynced(t *testing.T) {
	d, dir := mounted(t, powerloss.Options{})
	write(t, dir+"/f", "x")
	fsync(t, dir+"/f")
	fsync(t, dir)
	ok(t, os.Remove(dir+"/f"))
	same(t, d.Cut(nothing, powerloss.Options{}), map[string]string{"f": "x"})
	fsync(t, dir)
	same(t, d.Cut(nothing, powerloss.Options{}), map[string]string{})
}

func TestOneSyncCommitsAJournal(t *testing.T) {
	d, dir := mounted(t, powerloss.Options{Journal: true})
	ok(t, os.Mkdir(dir+"/d", 0o755))
	write(t, dir+"/d/f", "x")
	fsync(t, dir+"/d/f")
	write(t, dir+"/g", "y")
	same(t, d.Cut(nothing, powerloss.Options{}), map[string]string{"d": "/", "d/f": "x"})
}

func TestALieIsALie(t *testing.T) {
	d, dir := mounted(t, powerloss.Options{Lie: func(path string, dir bool) bool { return path == "a/f" && !dir }})
	for _, name := range []string{"/a", "/b"} {
		ok(t, os.Mkdir(dir+name, 0o755))
		write(t, dir+name+"/f", "x")
		fsync(t, dir+name+"/f")
		fsync(t, dir+name)
	}
	fsync(t, dir)
	same(t, d.Cut(nothing, powerloss.Options{}), map[string]string{"a": "/", "a/f": "", "b": "/", "b/f": "x"})
}

func TestAFateIsDecidedByItsSeed(t *testing.T) {
	d, dir := mounted(t, powerloss.Options{})
	for i := range 20 {
		write(t, fmt.Sprintf("%s/f%d", dir, i), strings.Repeat("x", 5000*i))
	}
	cut := func() map[string]string {
		r := rand.New(rand.NewPCG(7, 7))
		return tree(t, d.Cut(powerloss.Fate{Keep: 0.5, Torn: true, Rand: r}, powerloss.Options{}))
	}
	first := cut()
	for range 5 {
		if !maps.Equal(first, cut()) {
			t.Fatal("the same seed left something else")
		}
	}
}

func TestAfterTheCutNothingIsAnsweredUntilThaw(t *testing.T) {
	d, dir := mounted(t, powerloss.Options{})
	d.FreezeAfter(2)
	write(t, dir+"/a", "") // one step
	answered := make(chan error, 1)
	go func() { // ends after Thaw
		answered <- os.WriteFile(dir+"/b", []byte("b"), 0o600)
	}()
	<-d.Frozen()
	select {
	case err := <-answered:
		t.Fatalf("answered: %v", err)
	default:
	}
	d.Thaw()
	if err := <-answered; err == nil {
		t.Error("what came after the cut succeeded")
	}
	same(t, d.Cut(everything, powerloss.Options{}), map[string]string{"a": "", "b": ""})
}

// mapped names the file of which another process is to look at a map: a process
// that serves the pages it waits for may wait for ever.
const mapped = "SKERRY_POWER_MAPPED"

func TestMapsFollowWrites(t *testing.T) {
	if file := os.Getenv(mapped); file != "" {
		writeBesideMap(t, file)
		return
	}
	_, dir := mounted(t, powerloss.Options{})
	write(t, dir+"/f", "")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), mapped+"="+dir+"/f")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if b, err := os.ReadFile(dir + "/f"); err != nil || !bytes.HasPrefix(b, []byte("round 000")) {
		t.Errorf("the other process wrote %.20q, %v", b, err)
	}
}

func writeBesideMap(t *testing.T, file string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	ok(t, err)
	defer f.Close()
	ok(t, unix.Fallocate(int(f.Fd()), 0, 0, 64<<10))
	m, err := unix.Mmap(int(f.Fd()), 0, 64<<10, unix.PROT_READ, unix.MAP_SHARED)
	ok(t, err)
	defer func() { ok(t, unix.Munmap(m)) }()
	for i := range 100 {
		p := fmt.Appendf(nil, "round %03d", i)
		off := int64(i * 613)
		_, err := f.WriteAt(p, off)
		ok(t, err)
		if !bytes.Equal(m[off:off+int64(len(p))], p) {
			t.Fatalf("round %d: the map has %q", i, m[off:off+int64(len(p))])
		}
	}
}

// What the registry's parts want of a file system.
func TestItIsAFileSystem(t *testing.T) {
	_, dir := mounted(t, powerloss.Options{})
	f, err := os.OpenFile(dir+"/f", os.O_RDWR|os.O_CREATE, 0o600)
	ok(t, err)
	defer f.Close()
	fd := int(f.Fd())

	t.Run("locks", func(t *testing.T) {
		other, err := os.Open(dir + "/f")
		ok(t, err)
		defer other.Close()
		ok(t, unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB))
		if err := unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
			t.Errorf("a second lock: %v", err)
		}
	})
	t.Run("space is set aside", func(t *testing.T) {
		g, err := os.Create(dir + "/g")
		ok(t, err)
		defer g.Close()
		ok(t, unix.Fallocate(int(g.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, 1<<20))
		var st unix.Stat_t
		ok(t, unix.Fstat(int(g.Fd()), &st))
		if st.Size != 0 || st.Blocks != 2048 {
			t.Errorf("size %d, %d blocks", st.Size, st.Blocks)
		}
		ok(t, unix.Fadvise(int(g.Fd()), 0, 0, unix.FADV_DONTNEED))
		ok(t, unix.SyncFileRange(int(g.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE))
		var fs unix.Statfs_t
		ok(t, unix.Fstatfs(fd, &fs))
		if fs.Bavail == 0 || fs.Bavail > fs.Bfree || fs.Bfree >= fs.Blocks {
			t.Errorf("%d of %d blocks are free", fs.Bavail, fs.Blocks)
		}
	})
	t.Run("sockets", func(t *testing.T) {
		l, err := net.Listen("unix", dir+"/s")
		ok(t, err)
		defer l.Close()
		ok(t, os.Chmod(dir+"/s", 0o600))
		c, err := net.Dial("unix", dir+"/s")
		ok(t, err)
		ok(t, c.Close())
	})
	t.Run("open files outlive their names", func(t *testing.T) {
		h, err := os.Create(dir + "/h")
		ok(t, err)
		defer h.Close()
		ok(t, os.Remove(dir+"/h"))
		_, err = h.WriteString("still")
		ok(t, err)
		b := make([]byte, 5)
		if _, err := h.ReadAt(b, 0); err != nil || string(b) != "still" {
			t.Errorf("read %q, %v", b, err)
		}
	})
	t.Run("names", func(t *testing.T) {
		ok(t, os.MkdirAll(dir+"/x/y", 0o700))
		write(t, dir+"/x/y/z", "1")
		ok(t, os.Link(dir+"/x/y/z", dir+"/x/l"))
		if err := os.Mkdir(dir+"/x", 0o700); !os.IsExist(err) {
			t.Errorf("mkdir twice: %v", err)
		}
		if err := syscall.Rmdir(dir + "/x/y"); err != syscall.ENOTEMPTY {
			t.Errorf("rmdir of a full directory: %v", err)
		}
		write(t, dir+"/x/y/z", "2") // truncates
		if b, err := os.ReadFile(dir + "/x/l"); string(b) != "2" {
			t.Errorf("the other name has %q, %v", b, err)
		}
		ok(t, os.Rename(dir+"/x/y", dir+"/x/w"))
		if _, err := os.Stat(dir + "/x/w/z"); err != nil {
			t.Error(err)
		}
		ok(t, os.RemoveAll(dir+"/x"))
		if _, err := os.Stat(dir + "/x"); !os.IsNotExist(err) {
			t.Errorf("removed directory: %v", err)
		}
	})
	t.Run("large directories", func(t *testing.T) {
		for i := range 500 {
			write(t, fmt.Sprintf("%s/many-%d", dir, i), "")
		}
		names, err := filepath.Glob(dir + "/many-*")
		if len(names) != 500 || err != nil {
			t.Errorf("%d names, %v", len(names), err)
		}
	})
}
