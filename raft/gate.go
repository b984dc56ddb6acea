package raft

import (
	"errors"
	"fmt"
	"sync"
)

// A trouble is a reason to refuse commands.
type trouble int

const (
	logFull     trouble = iota // the log cannot be appended to
	machineFull                // the state machine has no room to apply
	stopped                    // the state machine refused an entry; for good
	closed                     // for good
	troubles
)

// A gate refuses commands while something is wrong, and calls back those that
// wait for an answer: nobody hangs on a full disk.
type gate struct {
	mu     sync.Mutex // guards the rest; never held across anything slow
	causes [troubles]error
	shut   chan struct{} // closed while any cause is set; replaced when the last goes
}

func newGate() *gate { return &gate{shut: make(chan struct{})} }

// set notes a trouble, or with a nil cause that it is over. It reports whether
// that is news.
func (g *gate) set(t trouble, cause error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if (g.causes[t] == nil) == (cause == nil) {
		return false
	}
	was := g.errLocked() != nil
	g.causes[t] = cause
	switch is := g.errLocked() != nil; {
	case is && !was:
		close(g.shut)
	case was && !is:
		g.shut = make(chan struct{})
	}
	return true
}

// enter returns a channel that is closed when trouble comes, or the error of
// the trouble that is there.
func (g *gate) enter() (<-chan struct{}, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut, g.errLocked()
}

// err is nil while commands are welcome.
func (g *gate) err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.errLocked()
}

func (g *gate) errLocked() error {
	switch {
	case g.causes[closed] != nil:
		return ErrClosed
	case g.causes[stopped] != nil:
		return fmt.Errorf("%w: %w", ErrStopped, g.causes[stopped])
	}
	full := errors.Join(g.causes[logFull], g.causes[machineFull])
	if full != nil {
		return fmt.Errorf("%w: %w", ErrFull, full)
	}
	return nil
}

// has reports whether t is one of the troubles.
func (g *gate) has(t trouble) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.causes[t] != nil
}
