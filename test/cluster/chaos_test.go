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
// whether it kept its word.
func TestChaos(t *testing.T) {
	seed := uint64(setting(t, "SEED", func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }, rand.Int64N(1e6)))
	length := setting(t, "CHAOS", time.ParseDuration, time.Minute)
	nodes := setting(t, "NODES", strconv.Atoi, 3)
	t.Logf("to repeat: make chaos CHAOS=%s NODES=%d SEED=%d", length, nodes, seed)
	x := newChaos(t, nodes, seed)
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
