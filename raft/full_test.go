package raft_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"skerry.dev/skerry/raft"
)

// smallDisk gives the log of a home a disk of its own.
func smallDisk(tb testing.TB, h home, size string) {
	tb.Helper()
	if err := os.MkdirAll(h.cfg.Dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", h.cfg.Dir, "tmpfs", 0, "size="+size); err != nil {
		tb.Fatalf("mount a small tmpfs (this test needs to be root): %v", err)
	}
	tb.Cleanup(func() {
		if err := syscall.Unmount(h.cfg.Dir, 0); err != nil {
			tb.Error(err)
		}
	})
}

// fill takes all the room that is left in dir.
func fill(tb testing.TB, dir string) (path string) {
	tb.Helper()
	path = filepath.Join(dir, "balloon")
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
	return path
}

// sized is a command of so many bytes.
func sized(i, bytes int) []byte {
	return fmt.Appendf(nil, "%0*d", bytes, i)
}

// untilFull proposes until the log is full, and returns what was acknowledged.
func untilFull(tb testing.TB, n *raft.Node, bytes int) (acknowledged [][]byte) {
	tb.Helper()
	for i := range 100_000 {
		begin := time.Now()
		_, err := n.Propose(soon(tb), sized(i, bytes))
		if errors.Is(err, raft.ErrFull) {
			if took := time.Since(begin); took > 5*time.Second {
				tb.Errorf("refused after %v", took)
			}
			return acknowledged
		}
		if err != nil {
			tb.Fatal(err)
		}
		acknowledged = append(acknowledged, sized(i, bytes))
	}
	tb.Fatal("never full")
	return nil
}

func TestFullLogRefusesFastAndRecoversByItself(t *testing.T) {
	h := newHome(t)
	h.cfg.Election = time.Hour // it is not an election that helps
	smallDisk(t, h, "6m")
	n, l := h.ready(t)
	balloon := fill(t, h.cfg.Dir)
	acknowledged := untilFull(t, n, 32<<10)

	for range 3 { // and goes on to refuse
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if _, err := n.Propose(ctx, []byte("refused")); !errors.Is(err, raft.ErrFull) {
			t.Errorf("propose: %v", err)
		}
		if err := n.WaitLeader(ctx); !errors.Is(err, raft.ErrFull) {
			t.Errorf("wait for a leader: %v", err)
		}
		if err := n.ReadIndex(ctx); err != nil {
			t.Errorf("read: %v", err)
		}
		cancel()
	}
	if err := os.Remove(balloon); err != nil {
		t.Fatal(err)
	}
	eventually(t, "commands are taken again", func() bool {
		_, err := n.Propose(soon(t), []byte("again"))
		return err == nil
	})
	propose(t, n, "and again")
	for _, c := range acknowledged {
		if !l.has(string(c)) {
			t.Errorf("%.8s is missing", c)
		}
	}
	closeNode(t, n)
	n, l = h.ready(t)
	propose(t, n, "after a restart")
	for _, c := range append(acknowledged, []byte("and again")) {
		if !l.has(string(c)) {
			t.Errorf("%.8s is missing after the restart", c)
		}
	}
}

// TestFullDiskDoesNotKeepANodeFromStarting starts one on a disk without a byte,
// where nobody can be elected, after a crash: its reads must see what was
// acknowledged after the checkpoint.
func TestFullDiskDoesNotKeepANodeFromStarting(t *testing.T) {
	h := newHome(t)
	smallDisk(t, h, "6m")
	n, l := h.ready(t)
	propose(t, n, "first")
	if err := l.Checkpoint(0, nil); err != nil {
		t.Fatal(err)
	}
	checkpoint := readFile(t, l.path)
	balloon := fill(t, h.cfg.Dir)
	var acknowledged [][]byte
	full := false
	for bytes := 32 << 10; !full; bytes = max(bytes/8, 1) {
		acknowledged = append(acknowledged, untilFull(t, n, bytes)...)
		closeNode(t, n)
		if err := os.WriteFile(l.path, checkpoint, 0o600); err != nil { // a crash instead
			t.Fatal(err)
		}
		n, l = h.start(t)
		full = errors.Is(n.WaitLeader(soon(t)), raft.ErrFull)
	}
	if err := n.ReadIndex(soon(t)); err != nil {
		t.Fatal(err)
	}
	for _, c := range acknowledged {
		if !l.has(string(c)) {
			t.Errorf("%.8s of %d bytes is missing", c, len(c))
		}
	}
	if err := os.Remove(balloon); err != nil {
		t.Fatal(err)
	}
	eventually(t, "commands are taken", func() bool {
		_, err := n.Propose(soon(t), []byte("again"))
		return err == nil
	})
}

func readFile(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestFullStateMachineIsOfferedTheEntryAgain(t *testing.T) {
	n, l := newHome(t).ready(t)
	l.setFail(fmt.Errorf("apply: %w", errDiskFull))
	if _, err := n.Propose(soon(t), []byte("a")); !errors.Is(err, raft.ErrFull) {
		t.Errorf("propose: %v", err)
	}
	if _, err := n.Propose(soon(t), []byte("b")); !errors.Is(err, raft.ErrFull) {
		t.Errorf("propose: %v", err)
	}
	if err := n.ReadIndex(soon(t)); err != nil {
		t.Errorf("read: %v", err)
	}
	l.setFail(nil)
	eventually(t, "the entry in the log is applied", func() bool { return l.has("a") })
	eventually(t, "commands are taken", func() bool {
		_, err := n.Propose(soon(t), []byte("c"))
		return err == nil
	})
	if l.has("b") {
		t.Error("a command that never reached the log was applied")
	}
}

// TestReadsWaitForAReplayThatFoundNoRoom: they would miss what was acknowledged.
func TestReadsWaitForAReplayThatFoundNoRoom(t *testing.T) {
	h, commands := written(t)
	l := openLedger(t, filepath.Join(h.dir, "db"))
	l.setFail(errDiskFull)
	n := h.startOn(t, l)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := n.ReadIndex(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	l.setFail(nil)
	if err := n.ReadIndex(soon(t)); err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		if !l.has(c) {
			t.Errorf("%s is missing", c)
		}
	}
}

func TestFullStateMachineDoesNotHoldUpClose(t *testing.T) {
	h := newHome(t)
	n, l := h.ready(t)
	l.setFail(errDiskFull)
	if _, err := n.Propose(soon(t), []byte("a")); !errors.Is(err, raft.ErrFull) {
		t.Errorf("propose: %v", err)
	}
	closeNode(t, n)
	n, l = h.start(t)
	if err := n.ReadIndex(soon(t)); err != nil {
		t.Fatal(err)
	}
	if !l.has("a") {
		t.Error("the entry is lost")
	}
}

func TestRefusedEntryStopsTheMachineAndIsKept(t *testing.T) {
	h := newHome(t)
	n, l := h.ready(t)
	propose(t, n, "a")
	broken := errors.New("page is damaged")
	l.setFail(broken)
	for _, c := range []string{"b", "c"} {
		_, err := n.Propose(soon(t), []byte(c))
		if !errors.Is(err, raft.ErrStopped) || !errors.Is(err, broken) {
			t.Errorf("propose %s: %v", c, err)
		}
	}
	l.setFail(nil) // too late: it must not go on behind a gap
	if _, err := n.Propose(soon(t), []byte("d")); !errors.Is(err, raft.ErrStopped) {
		t.Errorf("propose d: %v", err)
	}
	if err := n.ReadIndex(soon(t)); err != nil {
		t.Errorf("read: %v", err)
	}
	if len(l.entries()) != 1 {
		t.Errorf("applied %v", l.entries())
	}
	closeNode(t, n)
	n, l = h.ready(t)
	propose(t, n, "e")
	if !l.has("a") || !l.has("b") || l.has("d") {
		t.Errorf("after the restart: %v", l.entries())
	}
}

// TestNothingIsAppliedBehindARefusedEntry has commands on their way when the
// state machine refuses one, and then none any more.
func TestNothingIsAppliedBehindARefusedEntry(t *testing.T) {
	n, l := newHome(t).ready(t)
	arrived := l.hold(errors.New("page is damaged"))
	refused := func(i int) {
		if _, err := n.Propose(soon(t), fmt.Append(nil, i)); !errors.Is(err, raft.ErrStopped) {
			t.Errorf("propose %d: %v", i, err)
		}
	}
	var work sync.WaitGroup
	work.Go(func() { refused(0) })
	release := <-arrived
	before := n.Status().LastIndex
	for i := range 20 {
		work.Go(func() { refused(i + 1) })
	}
	eventually(t, "the others are in the log", func() bool { return n.Status().LastIndex == before+20 })
	close(release)
	work.Wait()
	if err := n.Barrier(); err != nil { // behind all of them
		t.Fatal(err)
	}
	if len(l.entries()) != 0 {
		t.Errorf("applied %v", l.entries())
	}
}

func TestProposeEndsWithItsContext(t *testing.T) {
	n, l := newHome(t).ready(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := n.Propose(ctx, []byte("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), -1)
	defer cancel()
	if _, err := n.Propose(ctx, []byte("b")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("too late: %v", err)
	}
	if len(l.entries()) != 0 {
		t.Errorf("applied %v", l.entries())
	}
}

func TestTooLargeCommandIsRefused(t *testing.T) {
	h := newHome(t)
	h.cfg.CommandMax = 10
	n, _ := h.ready(t)
	propose(t, n, "0123456789")
	if _, err := n.Propose(soon(t), []byte("0123456789a")); !errors.Is(err, raft.ErrTooLarge) {
		t.Errorf("propose: %v", err)
	}
}
