package meta_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skerry.dev/skerry/meta"
)

func TestCheckpointStoresWhereTheLogStands(t *testing.T) {
	db := openKV(t, ramDir(t), kvSeam())
	applyKV(t, db, 5)
	steps := []struct {
		index  uint64
		pos    string
		want   uint64
		wantIs string
	}{
		{0, "", 5, string(positionKV(5))},
		{8, "noop 8", 8, "noop 8"},               // entries that are no commands
		{7, "late", 8, "noop 8"},                 // what is behind says nothing new
		{8, "configuration", 8, "configuration"}, // the same entry, better known
	}
	for _, s := range steps {
		var pos []byte
		if s.pos != "" {
			pos = []byte(s.pos)
		}
		if err := db.Checkpoint(s.index, pos); err != nil {
			t.Fatal(err)
		}
		if index, pos := db.Durable(); index != s.want || string(pos) != s.wantIs {
			t.Errorf("after Checkpoint(%d, %q): durable %d %q, want %d %q", s.index, s.pos, index, pos, s.want, s.wantIs)
		}
		if index, pos := db.Position(); index != s.want || string(pos) != s.wantIs {
			t.Errorf("after Checkpoint(%d, %q): position %d %q", s.index, s.pos, index, pos)
		}
	}
}

func TestIdleCheckpointTouchesNothing(t *testing.T) {
	dir := ramDir(t)
	db := openKV(t, dir, kvSeam())
	applyKV(t, db, 5)
	if err := db.Checkpoint(0, nil); err != nil {
		t.Fatal(err)
	}
	stat := func() os.FileInfo {
		info, err := os.Stat(filepath.Join(dir, "CURRENT"))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	before := stat()
	if err := db.Checkpoint(0, nil); err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, stat()) {
		t.Error("a checkpoint of nothing new replaced CURRENT")
	}
}

// A kill leaves the files as they are. What was applied after the checkpoint is not in them when they
// are opened: the log applies it again, to the same end.
func TestEveryStartReturnsToTheCheckpoint(t *testing.T) {
	dir := ramDir(t)
	db := openKV(t, dir, kvSeam())
	applyKV(t, db, 40)
	if err := db.Checkpoint(0, nil); err != nil {
		t.Fatal(err)
	}
	checkpoint := hashKV(t, db)
	applyKV(t, db, 40)
	applied := hashKV(t, db)

	again := openKV(t, killed(t, dir), kvSeam())
	if index, pos := again.Position(); index != 40 || !bytes.Equal(pos, positionKV(40)) {
		t.Errorf("opened at %d %q, want 40", index, pos)
	}
	if hashKV(t, again) != checkpoint {
		t.Error("opened as something else than the checkpoint")
	}
	applyKV(t, again, 40)
	if hashKV(t, again) != applied {
		t.Error("the same entries again led elsewhere")
	}
}

// killed copies dir as a kill -9 at this moment leaves it.
func killed(t testing.TB, dir string) string {
	t.Helper()
	to := ramDir(t)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		write(t, filepath.Join(to, f.Name()), read(t, filepath.Join(dir, f.Name())))
	}
	return to
}

func TestKillAtAnyPointOfACheckpointLeavesOldOrNew(t *testing.T) {
	dir := ramDir(t)
	s := kvSeam()
	points := map[string]string{} // the last time each was passed
	s.At = func(name string) { points[name] = killed(t, dir) }
	db := openKV(t, dir, s)
	applyKV(t, db, 30)
	if err := db.Checkpoint(0, nil); err != nil {
		t.Fatal(err)
	}
	before := hashKV(t, db)
	applyKV(t, db, 30)
	after := hashKV(t, db)
	if err := db.Checkpoint(0, nil); err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{
		"meta.applied":               before,
		"checkpoint.pinned":          before,
		"checkpoint.synced":          before,
		"checkpoint.current-written": before,
		"checkpoint.renamed":         after,
	}
	for name, hash := range want {
		left, passed := points[name]
		if !passed {
			t.Errorf("%s was not passed", name)
			continue
		}
		if got := hashKV(t, openKV(t, left, kvSeam())); got != hash {
			t.Errorf("killed at %s: state %x, want %x (before %x, after %x)", name, got, hash, before, after)
		}
	}
}

func TestRunTakesACheckpointASecondWhileSomethingIsNew(t *testing.T) {
	dir := ramDir(t)
	synctest.Test(t, func(t *testing.T) {
		var checkpoints atomic.Int64
		s := kvSeam()
		s.At = func(name string) {
			if name == "checkpoint.renamed" {
				checkpoints.Add(1)
			}
		}
		cfg := configKV(t, dir)
		cfg.CheckpointBytes = 200 << 10
		db, err := meta.OpenSeam(cfg, s)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- db.Run(ctx) }()
		expect := func(n int64, when string) {
			t.Helper()
			synctest.Wait()
			if got := checkpoints.Load(); got != n {
				t.Errorf("%d checkpoints %s, want %d", got, when, n)
			}
		}
		<-time.After(10 * time.Second)
		expect(0, "while nothing is new")
		applyKV(t, db, 1)
		expect(0, "at once")
		<-time.After(1100 * time.Millisecond)
		expect(1, "after a second")
		<-time.After(10 * time.Second)
		expect(1, "after ten idle ones")
		for checkpoints.Load() == 1 {
			applyKV(t, db, 1)
			synctest.Wait()
			if index, _ := db.Position(); index > 100 {
				t.Fatal("no checkpoint although more than CheckpointBytes were written")
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run ended with %v", err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A counter of log lines.
type lines struct {
	slog.Handler
	said map[string]int
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.said[r.Message]++
	return nil
}

func TestFailingCheckpointKeepsTheLastAndIsSaidOnce(t *testing.T) {
	dir := ramDir(t)
	synctest.Test(t, func(t *testing.T) {
		log := &lines{said: map[string]int{}}
		db, err := meta.OpenSeam(meta.DBConfig{Dir: dir, Log: slog.New(log)}, kvSeam())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- db.Run(ctx) }()
		applyKV(t, db, 10)
		<-time.After(2 * time.Second)
		synctest.Wait()
		obstacle := filepath.Join(dir, "CURRENT.tmp")
		if err := errors.Join(os.Remove(obstacle), os.Mkdir(obstacle, 0o700)); err != nil {
			t.Fatal(err)
		}
		applyKV(t, db, 10)
		<-time.After(10 * time.Second)
		synctest.Wait()
		if index, _ := db.Durable(); index != 10 {
			t.Errorf("durable %d while checkpoints fail, want 10", index)
		}
		if index, _ := openKV(t, killedWithout(t, dir, "CURRENT.tmp"), kvSeam()).Position(); index != 10 {
			t.Errorf("a start finds %d, want 10", index)
		}
		if err := os.Remove(obstacle); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if index, _ := db.Durable(); index != 20 {
			t.Errorf("durable %d after the obstacle went, want 20", index)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run ended with %v", err)
		}
		for _, m := range []string{"checkpoint failed, keeping the last one", "checkpoints work again"} {
			if log.said[m] != 1 {
				t.Errorf("%q was said %d times", m, log.said[m])
			}
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

func killedWithout(t testing.TB, dir, name string) string {
	t.Helper()
	held := filepath.Join(dir, name)
	if err := os.Rename(held, dir+".held"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.Rename(dir+".held", held); err != nil {
			t.Fatal(err)
		}
	}()
	return killed(t, dir)
}

// When the rename of CURRENT fails nobody knows which one the disk has. The only way on is a start.
func TestUnknownDurabilityStopsWritingNotReading(t *testing.T) {
	dir := ramDir(t)
	cfg := configKV(t, dir)
	cfg.CheckpointEvery = time.Millisecond
	db, err := meta.OpenSeam(cfg, kvSeam())
	if err != nil {
		t.Fatal(err)
	}
	applyKV(t, db, 10)
	want := hashKV(t, db)
	path := filepath.Join(dir, "CURRENT")
	saved := read(t, path)
	if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := db.Checkpoint(0, nil); !errors.Is(err, meta.ErrStale) {
			t.Fatalf("checkpoint: %v, want ErrStale", err)
		}
	}
	if _, err := db.Apply([]uint64{11}, [][]byte{seedKV(11)}, nil); !errors.Is(err, meta.ErrStale) {
		t.Errorf("apply: %v, want ErrStale", err)
	}
	if err := db.Run(t.Context()); !errors.Is(err, meta.ErrStale) {
		t.Errorf("run: %v, want ErrStale", err)
	}
	if hashKV(t, db) != want {
		t.Error("reads changed")
	}
	// A backup is possible too. It cannot carry a freelist, and installs all the same.
	shipment, _ := shipped(t, db, ramDir(t))
	to := openKV(t, ramDir(t), kvSeam())
	if err := to.Install(shipment); err != nil {
		t.Fatal(err)
	}
	if hashKV(t, to) != want {
		t.Error("the backup is something else")
	}
	applyKV(t, to, 10)
	if err := db.Close(); !errors.Is(err, meta.ErrStale) {
		t.Errorf("close: %v, want ErrStale", err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	write(t, path, saved)
	if index, _ := openKV(t, dir, kvSeam()).Position(); index != 0 {
		t.Errorf("opened at %d, want the last checkpoint, 0", index)
	}
}
