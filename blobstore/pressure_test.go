package blobstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/blobstore/blobstoretest"
)

// mount makes a small file system of its own.
func mount(t *testing.T, options string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount a small tmpfs (this test needs to be root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func openWith(t *testing.T, cfg blobstore.Config) *blobstore.Store {
	t.Helper()
	s, err := blobstore.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func usage(t *testing.T, s *blobstore.Store) blobstore.Usage {
	t.Helper()
	u, err := s.Usage()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// occupy fills the disk to so many percent with a file that is not ours.
func occupy(t *testing.T, dir string, s *blobstore.Store, percent int64) (free func()) {
	t.Helper()
	u := usage(t, s)
	name := filepath.Join(dir, "other")
	if err := os.WriteFile(name, make([]byte, u.Total*percent/100-(u.Total-u.Free)), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPressureFollowsTheWatermarks(t *testing.T) {
	dir := mount(t, "size=64m")
	s := openWith(t, blobstore.Config{Dir: dir, Soft: 50, High: 60, Critical: 70, Reserve: -1})
	for percent, want := range map[int64]blobstore.Pressure{
		40: blobstore.Normal, 49: blobstore.Normal, 51: blobstore.Soft, 59: blobstore.Soft,
		61: blobstore.High, 69: blobstore.High, 71: blobstore.Critical, 99: blobstore.Critical,
	} {
		free := occupy(t, dir, s, percent)
		u := usage(t, s)
		if u.State != want || u.Total != 64<<20 || (u.Total-u.Free)*100/u.Total-percent > 1 {
			t.Errorf("at %d %%: %+v, want %v", percent, u, want)
		}
		_, err := s.Create("r", "", -1)
		if full := errors.Is(err, blobstore.ErrFull); full != (want >= blobstore.High) {
			t.Errorf("at %d %%: create: %v", percent, err)
		}
		for _, told := range []string{"of 64 MiB used", "delete images"} {
			if err != nil && !strings.Contains(err.Error(), told) {
				t.Errorf("the message does not say %q: %v", told, err)
			}
		}
		free()
	}
}

func TestAnnouncedSizeIsRefusedBeforeItIsSent(t *testing.T) {
	dir := mount(t, "size=64m")
	s := openWith(t, blobstore.Config{Dir: dir, Reserve: -1})
	for _, n := range []int64{62 << 20, 1 << 50, math.MaxInt64} {
		if _, err := s.Create("r", "", n); !errors.Is(err, blobstore.ErrFull) {
			t.Errorf("create of %d bytes in 64 MiB: %v, want ErrFull", n, err)
		}
	}
	u, err := s.Create("r", "", 40<<20)
	if err != nil {
		t.Fatal(err)
	}
	if got := usage(t, s); got.Free > 24<<20 {
		t.Errorf("40 MiB set aside of 64, and %d still free", got.Free)
	}
	// A second upload whose size is only known when its body comes.
	second, err := s.Create("r", "", -1)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{30 << 20, 1 << 50, math.MaxInt64} {
		if err := second.Expect(n); !errors.Is(err, blobstore.ErrFull) {
			t.Errorf("%d bytes more: %v, want ErrFull", n, err)
		}
	}
	for _, u := range []*blobstore.Upload{u, second} {
		if err := u.Cancel(); err != nil {
			t.Fatal(err)
		}
	}
	if got := usage(t, s); got.Free < 63<<20 {
		t.Errorf("%d free after both were cancelled", got.Free)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "uploads", "*")); len(left) != 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWhatWasSetAsideAndNotUsedIsGivenBack(t *testing.T) {
	dir := mount(t, "size=64m")
	s := openWith(t, blobstore.Config{Dir: dir, Reserve: -1})
	data := blobstoretest.Noise(1 << 20)
	u, err := s.Create("r", "", 30<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(data[:1<<19]); err != nil {
		t.Fatal(err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if got := usage(t, s); got.Total-got.Free > 1<<20 {
		t.Errorf("an upload of half a MiB, that nobody holds, occupies %d bytes", got.Total-got.Free)
	}
	if u, err = s.Resume("r", u.ID()); err != nil {
		t.Fatal(err)
	}
	if err := u.Expect(30 << 20); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(data[1<<19:]); err != nil {
		t.Fatal(err)
	}
	pin, err := u.Commit(t.Context(), digest.FromBytes(data))
	if err != nil {
		t.Fatal(err)
	}
	pin.Release()
	if got := usage(t, s); got.Total-got.Free > 2<<20 {
		t.Errorf("a blob of 1 MiB occupies %d bytes", got.Total-got.Free)
	}
}

func TestUploadSurvivesAFullDisk(t *testing.T) {
	dir := mount(t, "size=16m")
	s := openWith(t, blobstore.Config{Dir: dir, Reserve: -1})
	data := blobstoretest.Noise(8 << 20)
	u, err := s.Create("r", "", -1)
	if err != nil {
		t.Fatal(err)
	}
	free := occupy(t, dir, s, 75)
	body := bytes.NewReader(data)
	n, err := u.ReadFrom(body)
	if !errors.Is(err, blobstore.ErrFull) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("write to a full disk: %d bytes, %v; want ErrFull", n, err)
	}
	if u.Size() != n || n < 1<<20 || n >= 8<<20 {
		t.Errorf("took %d bytes, size %d", n, u.Size())
	}
	_, err = u.Commit(t.Context(), digest.FromBytes(data))
	if !errors.Is(err, blobstore.ErrDigest) {
		t.Errorf("commit of a part: %v", err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	free()

	u, err = s.Resume("r", u.ID())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.ReadFrom(bytes.NewReader(data[u.Size():])); err != nil {
		t.Fatal(err)
	}
	pin, err := u.Commit(t.Context(), digest.FromBytes(data))
	if err != nil {
		t.Fatal(err)
	}
	pin.Release()
	blobstoretest.MustHold(t, s, digest.FromBytes(data), data)
}

func TestBlobsAreRemovedFromAFullDisk(t *testing.T) {
	dir := mount(t, "size=16m")
	s := openWith(t, blobstore.Config{Dir: dir, Reserve: -1})
	d := blobstoretest.Push(t, s, blobstoretest.Noise(2<<20))
	occupy(t, dir, s, 100)
	if got := usage(t, s); got.Free != 0 || got.State != blobstore.Critical {
		t.Fatalf("not full: %+v", got)
	}
	again := openWith(t, blobstore.Config{Dir: dir}) // a restart must work, too
	freed, err := again.Remove(t.Context(), d, func() (bool, error) { return false, nil })
	if err != nil || freed != 2<<20 {
		t.Errorf("remove: %d, %v", freed, err)
	}
	if got := usage(t, s); got.Free < 2<<20 {
		t.Errorf("free after removal: %+v", got)
	}
}

func TestBallastIsGivenUpAndTakenBack(t *testing.T) {
	dir := mount(t, "size=64m")
	var log bytes.Buffer
	s := openWith(t, blobstore.Config{Dir: dir, Reserve: 4 << 20, Log: textLog(&log)})
	relieve := func() {
		t.Helper()
		if err := s.Relieve(); err != nil {
			t.Fatal(err)
		}
	}
	got := usage(t, s)
	if got.Reserve != 4<<20 || got.Total-got.Free < 4<<20 {
		t.Fatalf("after open: %+v, want real blocks set aside", got)
	}
	free := occupy(t, dir, s, 80)
	relieve()
	if got := usage(t, s); got.Reserve != 4<<20 {
		t.Errorf("given up at 80 %%: %+v", got)
	}
	free()
	free = occupy(t, dir, s, 100)
	relieve()
	relieve() // does not take what it has just given
	got = usage(t, s)
	if got.Reserve != 0 || got.Free < 4<<20-64<<10 {
		t.Errorf("not given up on a full disk: %+v", got)
	}
	if got.State != blobstore.Critical {
		t.Errorf("giving the ballast up looks like room: %+v", got)
	}
	if !strings.Contains(log.String(), "disk critical") {
		t.Errorf("nobody was told: %q", log.String())
	}
	if err := os.WriteFile(filepath.Join(dir, "metadata"), make([]byte, 3<<20), 0o600); err != nil {
		t.Errorf("the ballast is gone and its space as well: %v", err)
	}
	relieve() // still full: nothing to take
	again := openWith(t, blobstore.Config{Dir: dir, Reserve: 4 << 20})
	if got := usage(t, again); got.Reserve != 0 || got.State != blobstore.Critical {
		t.Errorf("after a restart on a full disk: %+v", got)
	}
	free()
	relieve()
	if got := usage(t, s); got.Reserve != 4<<20 || got.State != blobstore.Normal {
		t.Errorf("not taken back: %+v", got)
	}
}

func TestWhoOnlyLooksLeavesTheBallast(t *testing.T) {
	dir := mount(t, "size=64m")
	look := func(want bool) {
		t.Helper()
		s := openWith(t, blobstore.Config{Dir: dir, Reserve: 4 << 20, LeaveReserve: true})
		if err := s.Relieve(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "reserve")); (err == nil) != want {
			t.Errorf("it should be there: %v, and is not as it should (%v)", want, err)
		}
	}
	look(false)
	occupy(t, dir, openWith(t, blobstore.Config{Dir: dir, Reserve: 4 << 20}), 99)
	look(true)
}

func TestBallastFitsTheDisk(t *testing.T) {
	for _, c := range []struct {
		disk       int64
		configured int64
		want       int64
	}{
		{16 << 20, 0, 16 << 20 / 20},
		{64 << 20, 0, 64 << 20 / 20},
		{640 << 20, 0, 16 << 20},
		{64 << 20, -1, 0},
		{64 << 20, 6 << 20, 6 << 20},
	} {
		dir := mount(t, fmt.Sprintf("size=%d", c.disk))
		s := openWith(t, blobstore.Config{Dir: dir, Reserve: c.configured})
		got := usage(t, s)
		if got.Reserve != c.want || got.State != blobstore.Normal {
			t.Errorf("disk of %d MiB, configured %d: %+v, want %d", c.disk>>20, c.configured, got, c.want)
		}
		// Another size, and one that was being made when the process died.
		for _, size := range []int64{c.want + 1<<20, 0} {
			if err := os.WriteFile(filepath.Join(dir, "reserve"), make([]byte, size), 0o600); err != nil {
				t.Fatal(err)
			}
			s = openWith(t, blobstore.Config{Dir: dir, Reserve: c.configured})
			if got := usage(t, s); got.Reserve != c.want || got.Total-got.Free < c.want || got.Total-got.Free > c.want+1<<20 {
				t.Errorf("found one of %d bytes: %+v, want %d", size, got, c.want)
			}
		}
	}
}

func TestInodesAreCounted(t *testing.T) {
	dir := mount(t, "size=64m,nr_inodes=200")
	s := openWith(t, blobstore.Config{Dir: dir, Reserve: -1})
	var err error
	for i := 0; err == nil && i < 200; i++ {
		var u *blobstore.Upload
		if u, err = s.Create("r", "", -1); err == nil {
			err = u.Close()
		}
	}
	if !errors.Is(err, blobstore.ErrFull) || !strings.Contains(err.Error(), "of 200 inodes") {
		t.Errorf("create without inodes left: %v", err)
	}
	if got := usage(t, s); got.State != blobstore.High {
		t.Errorf("usage: %+v", got)
	}
	if n, _, err := s.PurgeUploads(t.Context(), time.Now().Add(time.Minute)); n < 100 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if got := usage(t, s); got.State != blobstore.Normal {
		t.Errorf("usage after purge: %+v", got)
	}
}

// ENOSPC may come late, when a directory needs a block.
func TestCommitOnAFullDiskCanBeTriedAgain(t *testing.T) {
	dir := mount(t, "size=16m,nr_inodes=12")
	s := openWith(t, blobstore.Config{Dir: dir, Reserve: -1, Soft: 100, High: 100, Critical: 100})
	u, err := s.Create("r", "", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.ReadFrom(io.LimitReader(zeros{}, 1000)); err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := 0; ; i++ {
		name := filepath.Join(dir, fmt.Sprint("other", i))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			break
		}
		names = append(names, name)
	}
	d := digest.FromBytes(make([]byte, 1000))
	if _, err := u.Commit(t.Context(), d); !errors.Is(err, blobstore.ErrFull) {
		t.Fatalf("commit that must make a directory: %v, want ErrFull", err)
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	pin, err := u.Commit(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	pin.Release()
	blobstoretest.MustHold(t, s, d, make([]byte, 1000))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
