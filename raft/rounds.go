package raft

import (
	"context"
	"sync"
)

// rounds put one question for many readers. A reader that comes while a question
// is on its way waits for the next one: the answer to the first may not know of
// what was acknowledged since it was put.
type rounds struct {
	ask func() (index uint64, err error)

	mu   sync.Mutex // guards the rest
	next *round     // not yet begun; nil when nobody waits for one
	busy bool       // the goroutine of run is there
}

// A round is one question; index and err are valid when done is closed.
type round struct {
	done  chan struct{}
	index uint64
	err   error
}

// wait returns the answer to a question that is put after wait was called.
func (r *rounds) wait(ctx context.Context) (uint64, error) {
	mine := r.join()
	select {
	case <-mine.done:
		return mine.index, mine.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (r *rounds) join() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
	}
	if !r.busy {
		r.busy = true
		go r.run() // ends when nobody waits
	}
	return r.next
}

func (r *rounds) run() {
	for now := r.begin(); now != nil; now = r.begin() {
		now.index, now.err = r.ask()
		close(now.done)
	}
}

// begin takes the next round: who comes from now on waits for another one.
func (r *rounds) begin() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.next
	r.next, r.busy = nil, now != nil
	return now
}
