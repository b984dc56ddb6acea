package raft_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"skerry.dev/skerry/raft"
)

// A home is where a node and its ledger live.
type home struct {
	dir string
	cfg raft.Config
}

// newHome gives a node that is alone a directory.
func newHome(tb testing.TB) home {
	tb.Helper()
	dir := tb.TempDir()
	return home{dir, raft.Config{
		NodeID: "n1.disk1", Dir: filepath.Join(dir, "log"), Log: testLog(tb),
		SegmentSize: 1 << 20, Full: errDiskFull,
	}}
}

func testLog(tb testing.TB) *slog.Logger {
	tb.Helper()
	level := slog.LevelWarn
	if os.Getenv("SKERRY_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: level}))
}

// start starts a node on what the home holds.
func (h home) start(tb testing.TB) (*raft.Node, *ledger) {
	tb.Helper()
	l := openLedger(tb, filepath.Join(h.dir, "db"))
	return h.startOn(tb, l), l
}

func (h home) startOn(tb testing.TB, l *ledger) *raft.Node {
	tb.Helper()
	n, err := raft.Start(h.cfg, l)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Error(err)
		}
	})
	return n
}

// ready starts a node and waits until it takes commands.
func (h home) ready(tb testing.TB) (*raft.Node, *ledger) {
	tb.Helper()
	n, l := h.start(tb)
	if err := n.WaitLeader(soon(tb)); err != nil {
		tb.Fatal(err)
	}
	return n, l
}

// soon is a context for what must not take long.
func soon(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	tb.Cleanup(cancel)
	return ctx
}

func propose(tb testing.TB, n *raft.Node, command string) {
	tb.Helper()
	got, err := n.Propose(soon(tb), []byte(command))
	if err != nil {
		tb.Fatalf("propose %q: %v", command, err)
	}
	if string(got) != "did "+command {
		tb.Fatalf("propose %q: answer %q", command, got)
	}
}

func closeNode(tb testing.TB, n *raft.Node) {
	tb.Helper()
	if err := n.Close(); err != nil {
		tb.Fatal(err)
	}
}

func TestCommandIsAppliedWhenProposeReturns(t *testing.T) {
	n, l := newHome(t).ready(t)
	for i := range 10 {
		c := fmt.Sprint("c", i)
		propose(t, n, c)
		if !l.has(c) {
			t.Errorf("%s acknowledged, not applied", c)
		}
	}
	s := n.Status()
	if !s.Leading || s.Voters != 1 || s.Trouble != nil || s.AppliedIndex != s.CommitIndex {
		t.Errorf("status %+v", s)
	}
}

func TestNodeAloneIsReadyWithoutWaitingForOthers(t *testing.T) {
	h := newHome(t)
	for _, when := range []string{"first start", "restart"} {
		begin := time.Now()
		n, _ := h.ready(t)
		took := time.Since(begin)
		t.Logf("%s: ready after %v", when, took)
		if took > 500*time.Millisecond { // an election takes 1 s at least
			t.Errorf("%s took %v", when, took)
		}
		closeNode(t, n)
	}
}

func TestCloseLeavesNothingToReplay(t *testing.T) {
	h := newHome(t)
	n, _ := h.ready(t)
	propose(t, n, "a")
	closeNode(t, n)
	l := openLedger(t, filepath.Join(h.dir, "db"))
	if !l.has("a") {
		t.Error("not in the checkpoint")
	}
	n, l = h.ready(t)
	propose(t, n, "b")
	if l.applies != 1 {
		t.Errorf("%d batches applied after a clean restart, want 1", l.applies)
	}
}

func TestAcknowledgedCommandsAreReplayedAfterACrash(t *testing.T) {
	h := newHome(t)
	n, l := h.ready(t)
	propose(t, n, "before")
	if err := l.Checkpoint(0, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		propose(t, n, fmt.Sprint("c", i))
	}
	crashed := h.image(t)
	n2, l2 := crashed.start(t)
	if err := n2.ReadIndex(soon(t)); err != nil {
		t.Fatal(err)
	}
	want, got := l.entries(), l2.entries()
	for c, index := range want {
		if got[c] != index {
			t.Errorf("%s at %d, was at %d", c, got[c], index)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d entries, want %d", len(got), len(want))
	}
}

// image copies the home as a crash would leave it, without the part of the
// state machine that no checkpoint holds. Nothing may be going on meanwhile.
func (h home) image(tb testing.TB) home {
	tb.Helper()
	c := h
	c.dir = tb.TempDir()
	if err := os.CopyFS(c.dir, os.DirFS(h.dir)); err != nil {
		tb.Fatal(err)
	}
	c.cfg.Dir = filepath.Join(c.dir, "log")
	return c
}

func TestDirectoryIsForOneProcess(t *testing.T) {
	h := newHome(t)
	h.ready(t)
	_, err := raft.Start(h.cfg, openLedger(t, t.TempDir()))
	if !errors.Is(err, raft.ErrInUse) {
		t.Errorf("second start: %v", err)
	}
}

func TestClosedNodeRefuses(t *testing.T) {
	n, _ := newHome(t).ready(t)
	closeNode(t, n)
	if _, err := n.Propose(soon(t), []byte("a")); !errors.Is(err, raft.ErrClosed) {
		t.Errorf("propose: %v", err)
	}
	if err := n.WaitLeader(soon(t)); !errors.Is(err, raft.ErrClosed) {
		t.Errorf("wait: %v", err)
	}
	closeNode(t, n)
}
