//go:build crash

package powerloss_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"skerry.dev/skerry/test/crash/ledger"
	"skerry.dev/skerry/test/crash/powerloss"
	"skerry.dev/skerry/test/skerry"
)

// workers is how many push at once.
const workers = 4

// startSteps is about how many operations a start takes that change or sync
// something.
const startSteps = 80

// keepDir is where the disk goes that a round failed on.
const keepDir = "SKERRY_POWER_KEEP"

// A machine is a registry, the disk it works on and what it acknowledged.
type machine struct {
	t       *testing.T
	rand    *rand.Rand
	s       *skerry.Server
	options powerloss.Options
	disk    *powerloss.Disk
	mount   *powerloss.Mount
	ledgers []*ledger.Ledger
	story   []string // what happened to it
	past    string   // the last operations on the disk before the last cut
}

// newMachine makes a machine with an empty disk, switched off.
func newMachine(t *testing.T, seed uint64, o powerloss.Options, args ...string) *machine {
	t.Helper()
	//nolint:usetesting // the name of a socket must fit, and those of tests are long
	dir, err := os.MkdirTemp("", "skerry-power-")
	ok(t, err)
	t.Cleanup(func() { ok(t, os.Remove(dir)) })
	m := &machine{
		t: t, rand: rand.New(rand.NewPCG(seed, 0)), options: o,
		disk: powerloss.NewDisk(o), ledgers: ledger.NewSet(workers),
	}
	m.mount, err = m.disk.Mount(dir)
	ok(t, err)
	t.Cleanup(func() { ok(t, m.mount.Close()) })
	m.s = skerry.New(t, skerry.Options{
		Plain: true, Data: filepath.Join(dir, "data"), Args: args, Ready: 20 * time.Second,
	})
	ok(t, os.Mkdir(m.s.Options.Data, 0o700))
	fsync(t, dir)
	return m
}

// told adds to the story.
func (m *machine) told(format string, args ...any) {
	m.story = append(m.story, fmt.Sprintf(format, args...))
}

// start switches it on and compares all that it serves with the ledgers.
func (m *machine) start() error {
	if err := m.s.TryRestart(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return m.verify()
}

func (m *machine) verify() error {
	errs := make([]error, workers)
	ledger.Together(m.ledgers, func(i int, l *ledger.Ledger) {
		errs[i] = l.Verify(m.t.Context(), ledger.NewClient(m.s), true)
	})
	return errors.Join(errs...)
}

// check walks the invariants of the running registry.
func (m *machine) check() error {
	cmd := exec.CommandContext(m.t.Context(), m.s.Options.Binary, "check", "--data", m.s.Options.Data)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("skerry check: %w\n%s", err, out)
	}
	return nil
}

// work lets workers work until end makes that impossible.
func (m *machine) work(end func()) error {
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for i, l := range m.ledgers {
		r := rand.New(rand.NewPCG(m.rand.Uint64(), 0))
		w := ledger.NewWorker(ledger.NewClient(m.s), l, r)
		wg.Go(func() { errs[i] = w.Run(ctx) })
	}
	<-time.After(time.Duration(100+m.rand.IntN(300)) * time.Millisecond)
	end()
	wg.Wait()
	return errors.Join(errs...)
}

// kill ends the process under load, and leaves the kernel's memory.
func (m *machine) kill() error {
	m.told("killed under load")
	return m.work(m.s.Kill)
}

// cutUnderLoad takes the power away while workers work.
func (m *machine) cutUnderLoad() error {
	err := m.work(func() {
		m.disk.Freeze()
		m.die()
	})
	return errors.Join(err, m.replug("under load"))
}

// cutAtStart takes the power away after some steps of a start.
func (m *machine) cutAtStart() error {
	steps := 1 + m.rand.IntN(startSteps)
	return errors.Join(m.startUntil(steps), m.replug(fmt.Sprintf("after %d steps of a start", steps)))
}

// killAtStart kills the process after some steps of a start, and leaves the
// kernel's memory.
func (m *machine) killAtStart() error {
	steps := 1 + m.rand.IntN(startSteps)
	err := m.startUntil(steps)
	m.s.Kill()
	m.disk.Resume()
	m.told("killed after %d steps of a start", steps)
	return err
}

// startUntil starts the process and lets it die after so many steps, at least
// one: before that there is nobody to kill. It is an error if the start fails
// for another reason.
func (m *machine) startUntil(steps int) error {
	m.disk.FreezeAfter(steps)
	off, dead := m.disk.Frozen(), make(chan struct{})
	go func() { // ends when the power is off
		<-off
		m.die()
		close(dead)
	}()
	err := m.s.TryRestart()
	select {
	case <-off:
		err = nil // no wonder
	default:
		m.disk.Freeze()
	}
	<-dead
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return nil
}

// die kills the process, whose every operation waits, and then lets these end:
// nothing of it will see their answer.
func (m *machine) die() {
	_ = syscall.Kill(m.s.PID(), syscall.SIGKILL) // fails only when it has ended
	m.disk.Thaw()
}

// replug makes of the disk what the power cut left.
func (m *machine) replug(when string) error {
	m.s.Kill()
	if err := m.mount.Close(); err != nil {
		return err
	}
	fate := powerloss.NewFate(m.rand)
	m.told("power cut %s, %s", when, fate)
	m.past = m.disk.History()
	m.disk = m.disk.Cut(fate, m.options)
	var err error
	m.mount, err = m.disk.Mount(m.mount.Dir)
	return err
}

// failed tells what led to err, and keeps what may explain it.
func (m *machine) failed(err error) {
	m.t.Helper()
	m.t.Errorf("%v\nafter:\n  %s", err, strings.Join(m.story, "\n  "))
	dir := os.Getenv(keepDir)
	if dir == "" {
		return
	}
	dir = filepath.Join(dir, strings.ReplaceAll(m.t.Name(), "/", "-"))
	ok(m.t, os.MkdirAll(dir, 0o700))
	ok(m.t, m.disk.Export(filepath.Join(dir, "disk")))
	ok(m.t, os.WriteFile(filepath.Join(dir, "before-cut"), []byte(m.past), 0o600))
	ok(m.t, os.WriteFile(filepath.Join(dir, "after-cut"), []byte(m.disk.History()), 0o600))
}
