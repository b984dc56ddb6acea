package raft

import (
	"context"
	"time"
)

// A life is a context that ends when a node is closed: for what the node does by
// itself, and for nobody in particular.
type life <-chan struct{}

var _ context.Context = life(nil)

// Deadline implements context.Context.
func (life) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Done implements context.Context.
func (l life) Done() <-chan struct{} { return l }

// Err implements context.Context.
func (l life) Err() error {
	select {
	case <-l:
		return context.Canceled
	default:
		return nil
	}
}

// Value implements context.Context.
func (life) Value(any) any { return nil }
