//go:build cluster

package cluster

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestChaos works a cluster while it breaks in one way after another, and then looks
// whether it kept its word. What notices what was seen by breaking the code:
//
//   - Reads that are not confirmed with the leader and do not say so (Confirm returns nil
//     at once): the histories of tags are not linearizable; TestANodeCutOffReadsAndSaysSo
//     misses the warning.
//   - Manifests acknowledged before their blobs have copies (push does not call spread):
//     TestAnImageOutlivesTheDiskThatTookIt, which destroys the disk at the worst instant.
//     Here they are made within milliseconds, and no lost disk was the only one.
//   - Condemned blobs unlinked without asking once more whether they came back (unlink
//     does not call keeps): TestASweepLeavesWhatCameBack noticed while a collection swept
//     one node alone. Now all sweep at once, and nothing here notices.
//
// The seed fixes the order of faults and what workers do first; not how long things
// take, so that a failure may need some tries to come again. CHAOS_LOGS keeps the logs.
func TestChaos(t *testing.T) {
	seed := setting(t, "SEED", func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }, rand.Uint64N(1e6))
	length := setting(t, "CHAOS", time.ParseDuration, 45*time.Second)
	nodes := setting(t, "NODES", strconv.Atoi, 3)
	t.Logf("to repeat: make chaos CHAOS=%s NODES=%d SEED=%d", length, nodes, seed)
	x := newChaos(t, nodes, seed)
	t.Logf("what nothing refers to is kept: %t", x.long)
	stop := x.work(6, seed)
	x.torment(time.Now().Add(length))
	stop()
	x.verdict(x.worker(99, seed))
}

// setting reads a setting from the environment.
func setting[T any](t *testing.T, name string, parse func(string) (T, error), otherwise T) T {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	v, err := parse(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}
