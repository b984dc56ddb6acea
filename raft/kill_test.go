package raft_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"skerry.dev/skerry/raft"
)

// victimDir tells a test process that it is to be killed: it runs a node there.
const victimDir = "SKERRY_TEST_VICTIM_DIR"

// TestKilledNodeLosesNothingItAcknowledged kills a process under load again and
// again, in which the log is cut and checkpoints are made all the time.
func TestKilledNodeLosesNothingItAcknowledged(t *testing.T) {
	h := cutting(t) // in the victim below the directory of the test that kills it
	if dir := os.Getenv(victimDir); dir != "" {
		h.dir, h.cfg.Dir = dir, filepath.Join(dir, "log")
		h.cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		live(t, h)
	}
	acknowledged := map[string]bool{}
	const rounds = 15
	for round := range rounds {
		for _, c := range killed(t, h, round) {
			acknowledged[c] = true
		}
	}
	if len(acknowledged) < rounds {
		t.Fatalf("only %d commands acknowledged", len(acknowledged))
	}
	n, l := h.ready(t)
	for c := range acknowledged {
		if !l.has(c) {
			t.Errorf("%s was acknowledged and is missing", c)
		}
	}
	t.Logf("%d kills, %d acknowledged, status %+v", rounds, len(acknowledged), n.Status())
}

// killed runs a victim for a while and returns what it acknowledged.
func killed(t *testing.T, h home, round int) (acknowledged []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), victimDir+"="+h.dir, "TMPDIR="+t.TempDir(), fmt.Sprint("SKERRY_TEST_ROUND=", round))
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	life := time.Duration(20+rand.IntN(150)) * time.Millisecond
	var death *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var c string
		if _, err := fmt.Sscanf(lines.Text(), "did %s", &c); err != nil {
			continue
		}
		if death == nil { // its life begins with its first command
			death = time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
		}
		acknowledged = append(acknowledged, c)
	}
	if err := cmd.Wait(); err == nil || death == nil {
		t.Fatalf("round %d: the victim ended by itself: %v", round, err)
	}
	return acknowledged
}

// live is the victim: it proposes until it is killed, and prints what it was
// promised.
func live(t *testing.T, h home) {
	l := openLedger(t, filepath.Join(h.dir, "db"))
	n, err := raft.Start(h.cfg, l)
	if err != nil {
		fmt.Fprintln(os.Stderr, "victim:", err)
		os.Exit(1)
	}
	if err := n.WaitLeader(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "victim:", err)
		os.Exit(1)
	}
	var say sync.Mutex
	for worker := range 8 {
		go func() {
			for i := 0; ; i++ {
				c := fmt.Sprintf("r%s-w%d-%d", os.Getenv("SKERRY_TEST_ROUND"), worker, i)
				if _, err := n.Propose(context.Background(), []byte(c)); err != nil {
					fmt.Fprintln(os.Stderr, "victim:", err)
					os.Exit(1)
				}
				say.Lock()
				fmt.Fprintln(os.Stdout, "did", c)
				say.Unlock()
			}
		}()
	}
	for range time.Tick(7 * time.Millisecond) { // what meta does every second
		if err := l.Checkpoint(0, nil); err != nil {
			fmt.Fprintln(os.Stderr, "victim:", err)
			os.Exit(1)
		}
	}
}
