//go:build crash

package powerloss_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"skerry.dev/skerry/test/crash/ledger"
	"skerry.dev/skerry/test/crash/powerloss"
)

// inSequence is how many power cuts one disk goes through.
const inSequence = 6

// short logs: they are cut while a test runs.
var short = []string{
	"--log-segment-bytes", "65536", "--log-snapshot-entries", "30", "--log-trailing-entries", "10",
	"--log-snapshot-every", "100ms",
}

// number reads a variable.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// I1, I2, I4: whatever was acknowledged is there after any number of power
// cuts, and what was deleted stays deleted.
//
// SKERRY_POWER_ROUNDS is how many, SKERRY_POWER_SEED the seed of the only
// sequence to run, SKERRY_POWER_KEEP where to keep what a sequence failed on.
func TestNothingAcknowledgedIsLostToPowerCuts(t *testing.T) {
	if seed := number(t, "SKERRY_POWER_SEED", 0); seed != 0 {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { sequence(t, seed) })
		return
	}
	images := 0
	for range (number(t, "SKERRY_POWER_ROUNDS", 30) + inSequence - 1) / inSequence {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { images += sequence(t, seed) })
	}
	if images == 0 && !t.Failed() {
		t.Error("nothing was acknowledged: nothing could be missed")
	}
}

// sequence takes a machine through power cuts until one is too many.
func sequence(t *testing.T, seed uint64) (images int) {
	t.Helper()
	m := newMachine(t, seed, powerloss.Options{}, argsOf(seed)...)
	if err := m.live(inSequence); err != nil {
		m.failed(err)
	}
	images, tags, blobs := ledger.Count(m.ledgers)
	t.Logf("kept: %d acknowledged manifests, %d tags, %d blobs", images, tags, blobs)
	return images
}

// argsOf gives every other machine short logs.
func argsOf(seed uint64) []string {
	if seed%2 == 0 {
		return short
	}
	return nil
}

// live takes the machine through n power cuts.
func (m *machine) live(n int) error {
	for range n {
		if err := m.round(); err != nil {
			return err
		}
	}
	return m.start()
}

// round ends with a power cut, while the machine starts or while it works. What
// was only in the kernel's memory when a process was killed, the next must not
// rely on: so processes are killed before.
func (m *machine) round() error {
	for m.rand.IntN(3) == 0 {
		if err := m.killAtStart(); err != nil {
			return err
		}
	}
	if m.rand.IntN(4) == 0 {
		return m.cutAtStart()
	}
	if err := m.start(); err != nil {
		return err
	}
	for m.rand.IntN(3) == 0 {
		if err := m.kill(); err != nil {
			return err
		}
		if err := m.start(); err != nil {
			return err
		}
	}
	if m.rand.IntN(2) == 0 {
		if err := m.check(); err != nil {
			return err
		}
	}
	return m.cutUnderLoad()
}
