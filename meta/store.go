package meta

import (
	"context"
	"fmt"
	"hash/maphash"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// A Proposer gets a command agreed, applied to the local DB, and returns the
// result Apply gave it. It is safe for concurrent use.
type Proposer interface {
	Propose(ctx context.Context, command []byte) (result []byte, err error)
}

// StoreConfig says how a Store behaves; zero values are the defaults.
type StoreConfig struct {
	Grace time.Duration    // how long unreferenced and deleted content is kept; 0 means 24 h, below 0 none
	Now   func() time.Time // nil means time.Now
	// Self is this node, which holds what is linked through this store; 0 while that is not known, and
	// nothing can be linked. nil means [FirstNode].
	Self func() NodeID
}

// Store reads from a DB and writes through a Proposer: every write is one
// command, and what it returns was decided when the command was applied. Safe
// for concurrent use.
//
// A write that the Proposer could not bring through returns [ErrUnavailable];
// whether it happens is then unknown.
type Store struct {
	*DB
	proposer Proposer
	grace    atomic.Int64 // a time.Duration, not negative
	now      func() time.Time
	self     func() NodeID

	collecting sync.Mutex // one collection at a time; held while it runs
	touched    touches
}

// NewStore joins a state machine and the log that feeds it.
func NewStore(db *DB, p Proposer, cfg StoreConfig) *Store {
	s := &Store{DB: db, proposer: p, now: cfg.Now, self: cfg.Self}
	s.touched.seed = maphash.MakeSeed()
	s.SetGrace(cfg.Grace)
	if s.now == nil {
		s.now = time.Now
	}
	if s.self == nil {
		s.self = func() NodeID { return FirstNode }
	}
	return s
}

// Self is this node, as [StoreConfig] says it.
func (s *Store) Self() NodeID { return s.self() }

// SetGrace changes how long unreferenced and deleted content is kept, in the
// words of [StoreConfig]. What was deleted before keeps the time it got then.
func (s *Store) SetGrace(d time.Duration) {
	if d == 0 {
		d = 24 * time.Hour
	}
	s.grace.Store(int64(max(d, 0)))
}

func (s *Store) graceNow() time.Duration { return time.Duration(s.grace.Load()) }

// stamp is what a command proposed now carries.
func (s *Store) stamp(actor string) stamp {
	return stamp{Time: s.now().UnixMilli(), Actor: actor, Grace: s.graceNow().Milliseconds()}
}

// propose gets a command agreed and reads its reply, unless reply is nil.
// Refusals come back as the errors they are.
//
// A command that cannot be decoded (a text that is no UTF-8, a list beyond all
// limits) is refused with [ErrName] here: once agreed upon it would stop every
// node that comes to it, at each start again.
func (s *Store) propose(ctx context.Context, t commandType, body stamped, reply any) error {
	if err := s.allowed(t, body); err != nil {
		return err
	}
	command := encodeCommand(t, body)
	if err := theCodec().dec.Unmarshal(command[envelopeSize:], reflect.New(reflect.TypeOf(body)).Interface()); err != nil {
		return fmt.Errorf("%w: %w", ErrName, err)
	}
	res, err := s.proposer.Propose(ctx, command)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return decodeResult(res, reply)
}
