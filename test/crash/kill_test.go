//go:build crash

package crash_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"skerry.dev/skerry/test/crash/ledger"
	"skerry.dev/skerry/test/skerry"
)

// workers is how many push at once.
const workers = 4

// rounds is how often the process is killed: SKERRY_CRASH_ROUNDS, or enough to
// hit every part of the work many times.
func rounds(t *testing.T) int {
	t.Helper()
	s := os.Getenv("SKERRY_CRASH_ROUNDS")
	if s == "" {
		return 200
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("SKERRY_CRASH_ROUNDS: %v", err)
	}
	return n
}

// I1, I2, I4: whatever was acknowledged is there after any number of kills, and
// what was deleted stays deleted.
func TestNothingAcknowledgedIsLostToKill9(t *testing.T) {
	s := skerry.Start(t, skerry.Options{Plain: true})
	ls := ledger.NewSet(workers)
	r := rand.New(rand.NewPCG(rand.Uint64(), 1))
	n := rounds(t)
	for round := range n {
		killUnderLoad(t, s, ls, time.Duration(20+r.IntN(180))*time.Millisecond)
		s.Restart()
		verifyAll(t, s, ls, round == n-1)
		if t.Failed() {
			t.Fatalf("after %d kills", round+1)
		}
	}
	checked(t, s)
	images, tags, blobs := ledger.Count(ls)
	t.Logf("%d kills; kept: %d acknowledged manifests, %d tags, %d blobs", n, images, tags, blobs)
	if images < n {
		t.Errorf("only %d manifests were acknowledged in %d rounds: the kills came before any work", images, n)
	}
}

// killUnderLoad lets workers work for a while and kills the process meanwhile.
func killUnderLoad(t *testing.T, s *skerry.Server, ls []*ledger.Ledger, after time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	killer := time.AfterFunc(after, s.Kill)
	defer killer.Stop()
	work(ctx, t, s, ls)
	<-s.Done()
}

// work runs a worker for each ledger until the process dies.
func work(ctx context.Context, t *testing.T, s *skerry.Server, ls []*ledger.Ledger) {
	t.Helper()
	ledger.Together(ls, func(i int, l *ledger.Ledger) {
		w := ledger.NewWorker(ledger.NewClient(s), l, rand.New(rand.NewPCG(rand.Uint64(), uint64(i))))
		if err := w.Run(ctx); err != nil {
			t.Errorf("worker %d: %v", i, err)
		}
	})
}

func verifyAll(t *testing.T, s *skerry.Server, ls []*ledger.Ledger, all bool) {
	t.Helper()
	ledger.Together(ls, func(_ int, l *ledger.Ledger) {
		if err := l.Verify(t.Context(), ledger.NewClient(s), all); err != nil {
			t.Error(err)
		}
	})
}

// checked walks the invariants of the running registry.
func checked(t *testing.T, s *skerry.Server) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), s.Options.Binary, "check", "--data", s.Options.Data).CombinedOutput()
	if err != nil {
		t.Errorf("skerry check: %v\n%s", err, out)
	}
}
