package raft

import (
	"context"
	"sync"
	"sync/atomic"
)

// A watermark is an index that rises, and on which one can wait.
type watermark struct {
	index atomic.Uint64

	mu    sync.Mutex // guards risen
	risen chan struct{}
}

func newWatermark(index uint64) *watermark {
	w := &watermark{risen: make(chan struct{})}
	w.index.Store(index)
	return w
}

// reach raises the mark and wakes who waits.
func (w *watermark) reach(index uint64) {
	w.index.Store(index)
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.risen)
	w.risen = make(chan struct{})
}

// rising returns a channel that is closed when the mark rises next.
func (w *watermark) rising() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.risen
}

// wait returns when the mark is at index or above, or trouble comes.
func (w *watermark) wait(ctx context.Context, index uint64, trouble <-chan struct{}) error {
	for w.index.Load() < index {
		risen := w.rising()
		if w.index.Load() >= index { // it rose before we listened
			break
		}
		select {
		case <-risen:
		case <-trouble:
			return errTrouble
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
