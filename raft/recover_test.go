package raft_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"skerry.dev/skerry/raft"
)

func copyFile(tb testing.TB, from, to string) {
	tb.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// cutting makes a home that cuts its log all the time.
func cutting(tb testing.TB) home {
	tb.Helper()
	h := newHome(tb)
	h.cfg.SegmentSize = 16 << 10
	h.cfg.SnapshotThreshold, h.cfg.TrailingLogs = 20, 5
	h.cfg.SnapshotInterval = 5 * time.Millisecond
	return h
}

// eventually waits for something that happens beside the test.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	ctx := soon(tb)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("not within the time: %s", what)
		}
	}
}

func TestLogIsCutBehindCheckpointsOnly(t *testing.T) {
	h := cutting(t)
	n, l := h.ready(t)
	for i := range 300 {
		propose(t, n, fmt.Sprint("c", i))
		if s := n.Status(); s.FirstIndex > s.DurableIndex+1 {
			t.Fatalf("log begins with %d, checkpoint is at %d", s.FirstIndex, s.DurableIndex)
		}
	}
	eventually(t, "log is cut", func() bool { return n.Status().FirstIndex > 1 })
	want := l.entries()
	closeNode(t, n)
	n, l = h.ready(t)
	propose(t, n, "last")
	if got := l.entries(); len(got) != len(want)+1 {
		t.Errorf("%d entries after the restart, want %d", len(got), len(want)+1)
	}
}

func TestLogIsCutByItsBytes(t *testing.T) {
	h := newHome(t)
	h.cfg.SegmentSize, h.cfg.SnapshotBytes = 16<<10, 256<<10
	n, _ := h.ready(t)
	for i := range 400 {
		propose(t, n, string(sized(i, 4<<10)))
	}
	eventually(t, "log is cut", func() bool { return n.Status().FirstIndex > 100 })
	closeNode(t, n)
	_, l := h.ready(t)
	if len(l.entries()) != 400 {
		t.Errorf("%d entries after the restart", len(l.entries()))
	}
}

func TestLogBeyondItsStateMachineIsRefused(t *testing.T) {
	h := cutting(t)
	n, _ := h.ready(t)
	for i := range 100 {
		propose(t, n, fmt.Sprint("c", i))
	}
	eventually(t, "log is cut", func() bool { return n.Status().FirstIndex > 1 })
	closeNode(t, n)
	_, err := raft.Start(h.cfg, openLedger(t, t.TempDir())) // an empty database
	if !errors.Is(err, raft.ErrMismatch) {
		t.Errorf("start: %v", err)
	}
}

func TestLostPartsAreMissed(t *testing.T) {
	for _, c := range []struct {
		name string
		lost []string // below the home
	}{
		{"vote", []string{"log/vote"}},
		{"vote and log", []string{"log"}},
		{"log and database", []string{"log/*.wal", "log/wal-meta.db", "db"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t)
			n, _ := h.ready(t)
			propose(t, n, "a")
			closeNode(t, n)
			for _, pattern := range c.lost {
				paths, err := filepath.Glob(filepath.Join(h.dir, pattern))
				if err != nil || len(paths) == 0 {
					t.Fatalf("%s: %v, %v", pattern, paths, err)
				}
				for _, path := range paths {
					if err := os.RemoveAll(path); err != nil {
						t.Fatal(err)
					}
				}
			}
			_, err := raft.Start(h.cfg, openLedger(t, filepath.Join(h.dir, "db")))
			if !errors.Is(err, raft.ErrMismatch) {
				t.Errorf("start: %v", err)
			}
		})
	}
}

func TestLogOfAnotherNodeIsRefused(t *testing.T) {
	h := newHome(t)
	n, _ := h.ready(t)
	propose(t, n, "a")
	closeNode(t, n)
	h.cfg.NodeID = "n1.disk2"
	_, err := raft.Start(h.cfg, openLedger(t, filepath.Join(h.dir, "db")))
	if !errors.Is(err, raft.ErrMismatch) {
		t.Errorf("start: %v", err)
	}
}

// TestLogThatASnapshotSupersededIsDropped starts after a crash behind Install,
// before raft dropped the log.
func TestLogThatASnapshotSupersededIsDropped(t *testing.T) {
	for _, c := range []struct {
		name        string
		index, term uint64
	}{
		{"the state machine is far ahead", 1000, 2},
		{"another leader's entries in between", 4, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t)
			n, _ := h.ready(t)
			propose(t, n, "old")
			closeNode(t, n)
			l := openLedger(t, filepath.Join(h.dir, "db"))
			_, position := l.Position()
			if err := l.Checkpoint(c.index, raft.MovedTo(t, position, c.index, c.term)); err != nil {
				t.Fatal(err)
			}
			raft.WriteTerm(t, h.cfg.Dir, c.term)
			n, l = h.ready(t)
			propose(t, n, "new")
			if !l.has("old") || l.entries()["new"] <= c.index {
				t.Errorf("entries %v", l.entries())
			}
			if s := n.Status(); s.FirstIndex != c.index+1 {
				t.Errorf("log begins with %d, want %d", s.FirstIndex, c.index+1)
			}
		})
	}
}

func TestEmptyLogOfAnInterruptedFoundingIsFounded(t *testing.T) {
	h := newHome(t)
	if err := os.MkdirAll(h.cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	raft.WriteTerm(t, h.cfg.Dir, 1) // the first step, then the crash
	n, _ := h.ready(t)
	propose(t, n, "a")
}

// A start that fails at its last step lets go of everything, and gives nothing that wants closing.
func TestStartThatCannotReceiveSnapshotsFailsWhole(t *testing.T) {
	h := newHome(t)
	file := filepath.Join(h.dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := h.cfg
	broken.SnapshotDir = filepath.Join(file, "received")
	l := openLedger(t, filepath.Join(h.dir, "db"))
	if n, err := raft.Start(broken, l); err == nil || n != nil {
		t.Fatalf("started %v, error %v", n, err)
	}
	h.startOn(t, l)
}
