package raft_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"skerry.dev/skerry/raft"
)

// A probe tells a node that hangs from one that has nothing to do, and from one
// that says why it takes no commands.
func TestProbeFindsAHang(t *testing.T) {
	n, l := newHome(t).ready(t)
	propose(t, n, "before")
	if err := n.Probe(soon(t)); err != nil {
		t.Fatalf("idle: %v", err)
	}

	held := l.hold(errDiskFull)
	done := make(chan error, 1)
	go func() { // ends when the state machine goes on
		_, err := n.Propose(soon(t), []byte("hangs"))
		done <- err
	}()
	release := <-held
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := n.Probe(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the state machine hangs: %v, want the context's error", err)
	}

	close(release)
	if err := <-done; err != nil && !errors.Is(err, raft.ErrFull) {
		t.Fatal(err)
	}
	for err := n.Probe(soon(t)); err != nil; err = n.Probe(soon(t)) {
		if !errors.Is(err, raft.ErrFull) {
			t.Fatalf("it goes on: %v", err)
		}
	}
}

func TestProbeOfAFullLogSaysSo(t *testing.T) {
	h := newHome(t)
	smallDisk(t, h, "8m")
	n, _ := h.ready(t)
	fill(t, h.cfg.Dir)
	untilFull(t, n, 64<<10)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := n.Probe(ctx); !errors.Is(err, raft.ErrFull) {
		t.Errorf("probe: %v, want ErrFull", err)
	}
}
