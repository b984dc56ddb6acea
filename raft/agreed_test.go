package raft_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/raft"
)

// never keeps a node from taking checkpoints by itself.
func never(c *raft.Config) { c.SnapshotThreshold = math.MaxUint64 }

// killedCopy is what a kill would leave of a member that stands still.
func (m *member) killedCopy(tb testing.TB) *member {
	tb.Helper()
	c := &member{home: m.home}
	c.dir = tb.TempDir()
	c.cfg.Dir = filepath.Join(c.dir, "log")
	if err := os.CopyFS(c.dir, os.DirFS(m.dir)); err != nil {
		tb.Fatal(err)
	}
	return c
}

// startCutOff starts a member that reaches nobody.
func (m *member) startCutOff(tb testing.TB) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	m.cfg.Listener = l
	m.cfg.Dial = func(context.Context, string) (net.Conn, error) { return nil, errCut }
	m.node, m.ledger = m.start(tb)
}

// shared makes a cluster of three that has taken no checkpoint, and in which
// everybody applied n commands.
func shared(t *testing.T, n int) []*member {
	t.Helper()
	members := newMesh().three(t, never)
	for i := range n {
		propose(t, members[0].node, fmt.Sprint("c", i))
	}
	for _, m := range members {
		eventually(t, "everybody has everything", func() bool { return m.ledger.has(fmt.Sprint("c", n-1)) })
	}
	return members
}

func TestSurvivorShowsWhatItHadApplied(t *testing.T) {
	for _, m := range shared(t, 20) {
		left := m.killedCopy(t)
		left.startCutOff(t)
		if got := len(left.ledger.entries()); got != 20 {
			t.Errorf("%s alone shows %d commands of 20", m.cfg.NodeID, got)
		}
		if _, err := left.node.Propose(within(t, 100*time.Millisecond), []byte("x")); err == nil {
			t.Error("it agrees with itself")
		}
	}
}

// TestSurvivorFollowsAgain starts the others behind what one of them replayed.
func TestSurvivorFollowsAgain(t *testing.T) {
	members := shared(t, 20)
	for range 3 {
		propose(t, members[0].node, fmt.Sprint("more", time.Now()))
	}
	one := members[2].killedCopy(t)
	closeNode(t, members[2].node)
	propose(t, members[0].node, "meanwhile")
	one.listen(t)
	one.node, one.ledger = one.start(t)
	eventually(t, "it catches up", func() bool { return one.ledger.has("meanwhile") })
}

// TestEntryNobodyAgreedOnStaysHidden has a leader alone keep an entry in its log.
func TestEntryNobodyAgreedOnStaysHidden(t *testing.T) {
	members := shared(t, 3)
	for _, m := range members[1:] {
		closeNode(t, m.node)
	}
	before := members[0].node.Status().LastIndex
	if _, err := members[0].node.Propose(within(t, time.Second), []byte("lonely")); err == nil {
		t.Fatal("command was agreed on by one of three")
	}
	left := members[0].killedCopy(t)
	left.startCutOff(t)
	if left.node.Status().LastIndex <= before {
		t.Fatal("the entry is not in the log: nothing is tested")
	}
	if left.ledger.has("lonely") || !left.ledger.has("c2") {
		t.Errorf("it shows %v", left.ledger.entries())
	}
}

func TestNoteThatIsNotOfThisLogCountsForNothing(t *testing.T) {
	members := shared(t, 5)
	good, err := os.ReadFile(filepath.Join(members[2].cfg.Dir, "agreed"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(filepath.Join(members[1].cfg.Dir, "agreed"))
	if err != nil {
		t.Fatal(err)
	}
	status := members[2].node.Status()
	note := func(index, term uint64) []byte { return raft.Agreed(members[2].cfg.NodeID, index, term) }
	for name, c := range map[string]struct {
		content []byte
		want    int
	}{
		"good":         {good, 5},
		"the same":     {note(status.LastIndex, status.Term), 5},
		"absent":       {nil, 0},
		"empty":        {[]byte{}, 0},
		"torn":         {append([]byte(nil), good[:len(good)-6]...), 0},
		"half new":     {append(append([]byte(nil), good[:12]...), note(1<<40, 1)[12:]...), 0},
		"too long":     {append(append([]byte(nil), good...), 0), 0},
		"another node": {foreign, 0},
		"too high":     {note(status.LastIndex+1, status.Term), 0},
		"other term":   {note(status.LastIndex, status.Term+1), 0},
		"most":         {note(math.MaxUint64, math.MaxUint64), 0},
	} {
		left := members[2].killedCopy(t)
		path := filepath.Join(left.cfg.Dir, "agreed")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if c.content != nil {
			if err := os.WriteFile(path, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		left.startCutOff(t)
		if got := len(left.ledger.entries()); got != c.want {
			t.Errorf("%s: it shows %d commands, want %d", name, got, c.want)
		}
	}
}

func TestNodeAloneNotesNothing(t *testing.T) {
	m := newMember(t, "n1.d1", false, never)
	if err := m.node.WaitLeader(soon(t)); err != nil {
		t.Fatal(err)
	}
	propose(t, m.node, "a")
	if _, err := os.Stat(filepath.Join(m.cfg.Dir, "agreed")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a note: %v", err)
	}
	left := m.killedCopy(t)
	left.startCutOff(t)
	if !left.ledger.has("a") {
		t.Error("it does not show what it alone decided")
	}
}

// TestNoteThatCannotBeWrittenStopsNothing makes its place a directory.
func TestNoteThatCannotBeWrittenStopsNothing(t *testing.T) {
	m := newMember(t, "n1.d1", false, never)
	if err := m.node.WaitLeader(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(m.cfg.Dir, "agreed"), 0o700); err != nil {
		t.Fatal(err)
	}
	other := newMember(t, "n2.d2", true)
	if err := m.node.AddVoter(other.cfg.NodeID, other.cfg.Address); err != nil {
		t.Fatal(err)
	}
	propose(t, m.node, "a")
}

// TestKilledFollowerShowsWhatItShowed kills a whole cluster under load, which is
// one process here, and starts one of it alone.
func TestKilledFollowerShowsWhatItShowed(t *testing.T) {
	if dir := os.Getenv(victimDir); dir != "" {
		show(t, dir)
	}
	for round := range 8 {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), victimDir+"="+dir, "TMPDIR="+t.TempDir())
		cmd.Stderr = t.Output()
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var shown []string
		var death *time.Timer
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c, ok := strings.CutPrefix(lines.Text(), "showed ")
			if !ok {
				continue
			}
			if death == nil {
				life := time.Duration(20+rand.IntN(150)) * time.Millisecond
				death = time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
			}
			shown = append(shown, c)
		}
		if err := cmd.Wait(); err == nil || death == nil {
			t.Fatalf("round %d: the victim ended by itself: %v", round, err)
		}
		left := &member{home: cutting(t)}
		left.dir, left.cfg.Dir = dir, filepath.Join(dir, "log")
		left.cfg.NodeID, left.cfg.Join = "n3.d3", true
		left.startCutOff(t)
		for _, c := range shown {
			if !left.ledger.has(c) {
				t.Errorf("round %d: it showed %s before", round, c)
			}
		}
		t.Logf("round %d: %d shown, status %+v", round, len(shown), left.node.Status())
	}
}

// show is the victim: its third member prints what can be read of it.
func show(t *testing.T, dir string) {
	members := newMesh().three(t, func(c *raft.Config) {
		if c.NodeID == "n3.d3" {
			c.Dir = filepath.Join(dir, "log")
		}
	})
	third := members[2]
	closeNode(t, third.node)
	third.dir = dir
	third.restart(t)
	for worker := range 4 {
		go func() {
			for i := 0; ; i++ {
				if _, err := members[0].node.Propose(context.Background(), fmt.Appendf(nil, "w%d-%d", worker, i)); err != nil {
					fmt.Fprintln(os.Stderr, "victim:", err)
					os.Exit(1)
				}
			}
		}()
	}
	for seen := map[string]bool{}; ; {
		for c := range third.ledger.entries() {
			if !seen[c] {
				seen[c] = true
				fmt.Fprintln(os.Stdout, "showed", c)
			}
		}
	}
}
