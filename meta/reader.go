package meta

import (
	"sync"

	"go.etcd.io/bbolt"
)

// A reader is a read transaction that serves one read after another: opening one
// costs as much as most reads do. It is used by one goroutine at a time.
type reader struct {
	tx         txn
	generation uint64 // of the handle when it began, or before
}

// readersIdle bounds how many readers wait for the next read.
const readersIdle = 64

// readers are the readers of a handle that nobody uses. All of them see what was
// committed last: a commit ends them.
type readers struct {
	mu         sync.Mutex // guards the rest; never held while a transaction is opened or ended
	idle       []*reader
	generation uint64 // rises with each commit
	closed     bool
}

// take returns a reader that sees everything committed before the call.
func (rs *readers) take(b *bbolt.DB) (*reader, error) {
	rs.mu.Lock()
	generation := rs.generation
	if n := len(rs.idle); n > 0 {
		r := rs.idle[n-1]
		rs.idle = rs.idle[:n-1]
		rs.mu.Unlock()
		return r, nil
	}
	rs.mu.Unlock()
	tx, err := b.Begin(false)
	if err != nil {
		return nil, err
	}
	return &reader{txn{Tx: tx}, generation}, nil
}

// put keeps r for the next read, unless it is out of date.
func (rs *readers) put(r *reader) {
	rs.mu.Lock()
	keep := r.generation == rs.generation && !rs.closed && len(rs.idle) < readersIdle
	if keep {
		rs.idle = append(rs.idle, r)
	}
	rs.mu.Unlock()
	if !keep {
		_ = r.tx.Rollback() // never fails: it is open, and reads
	}
}

// outdate ends the idle readers, and those in use as soon as they are put back.
func (rs *readers) outdate() { rs.end(false) }

// close is outdate for good: a handle closes only when no transaction is open.
func (rs *readers) close() { rs.end(true) }

func (rs *readers) end(closing bool) {
	rs.mu.Lock()
	idle := rs.idle
	rs.idle, rs.closed = nil, rs.closed || closing
	rs.generation++
	rs.mu.Unlock()
	for _, r := range idle {
		_ = r.tx.Rollback()
	}
}
