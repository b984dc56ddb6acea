package main

import (
	"io"
	"os/exec"
	"strings"
	"testing"
)

// TestEveryWayToEndIsCounted runs go test on packages that end in each of the
// ways a package can end.
func TestEveryWayToEndIsCounted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pkg            string
		passed, failed int
		says           string
	}{
		{"passes", 3, 0, "ok   ends/passes: 3 passed"},
		{"fails", 2, 2, "one is not two"},
		{"panics", 1, 1, "panic: out of luck"},
		{"hangs", 1, 1, "panic: test timed out"},
		{"exits", 1, 1, "FAIL ends/exits"},
		{"exitsafter", 1, 1, "FAIL ends/exitsafter"},
		{"skips", 1, 1, "not today"},
		{"breaks", 0, 1, "undefined: missing"},
		{"empty", 0, 1, ""},
		{"absent", 0, 1, "FAIL"},
	} {
		t.Run(c.pkg, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "go", "test", "-json", "-timeout=2s", "./"+c.pkg)
			cmd.Dir = "testdata/ends"
			var out strings.Builder
			got, err := follow(cmd, &lines{to: &out})
			for _, p := range got.close(err == nil) {
				report(&lines{to: &out}, p)
			}
			if got.passed != c.passed || got.failed != c.failed {
				t.Errorf("%d passed, %d failed, want %d and %d:\n%s", got.passed, got.failed, c.passed, c.failed, &out)
			}
			if !strings.Contains(out.String(), c.says) {
				t.Errorf("output does not say %q:\n%s", c.says, &out)
			}
		})
	}
}

// TestStageWithoutEventsCountsAsOneTest has the exit status decide.
func TestStageWithoutEventsCountsAsOneTest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command        string
		passed, failed int
	}{
		{"true", 1, 0},
		{"false", 0, 1},
		{"no-such-command-anywhere", 0, 1},
	} {
		got, err := follow(exec.CommandContext(t.Context(), c.command), &lines{to: io.Discard})
		got.close(err == nil)
		if got.passed != c.passed || got.failed != c.failed {
			t.Errorf("%s: %d passed, %d failed, want %d and %d", c.command, got.passed, got.failed, c.passed, c.failed)
		}
	}
}

// TestKilledStageCountsWhatWasRunning cuts the events off in the middle, as
// when go test itself is killed.
func TestKilledStageCountsWhatWasRunning(t *testing.T) {
	t.Parallel()
	var c count
	for _, e := range []event{
		{Action: "start", Package: "p"},
		{Action: "run", Package: "p", Test: "TestDone"},
		{Action: "pass", Package: "p", Test: "TestDone"},
		{Action: "run", Package: "p", Test: "TestCut"},
		{Action: "start", Package: "q"},
	} {
		c.add(e)
	}
	if cut := c.close(false); len(cut) != 2 {
		t.Errorf("%d packages were cut off, want p and q", len(cut))
	}
	if c.passed != 1 || c.failed != 2 {
		t.Errorf("%d passed, %d failed, want 1 and 2 (the test in p, and q)", c.passed, c.failed)
	}
}
