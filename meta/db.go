package meta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"skerry.dev/skerry/test/crash/point"
)

var (
	// ErrFull says that the disk has no room for the change. Nothing was changed, reads go on, and
	// the same call may succeed when there is space again.
	ErrFull = errors.New("meta: disk full")
	// ErrDamaged says that what stands on the disk is not what was written there, what was found and
	// what to run. Nothing is repaired, and nothing is started empty, by itself.
	ErrDamaged = errors.New("meta: database damaged")
	// ErrInUse says that another process has this data directory open.
	ErrInUse = errors.New("meta: database in use by another process")
	// ErrClosed says that the database is closed.
	ErrClosed = errors.New("meta: database closed")
	// ErrStale says that the disk left it open whether a checkpoint arrived. Reads go on; to write
	// again the database must be opened anew, which returns to the last checkpoint that did, and lets
	// the log apply the rest again.
	ErrStale = errors.New("meta: durability unknown, restart to replay the log")
)

// DBConfig says where the database rests and how often it is made durable.
type DBConfig struct {
	// Dir holds the database and nothing else. It is created, with mode 0700.
	Dir string
	// Log gets what an operator would act upon; nil discards it.
	Log *slog.Logger
	// CheckpointBytes: a checkpoint is due when so many bytes were written since the last; 0 means 32 MiB.
	CheckpointBytes int64
	// CheckpointEvery: … or when so much time has passed since the last; 0 means 1 s.
	CheckpointEvery time.Duration
}

// withDefaults fills in what was left zero.
func (c DBConfig) withDefaults() DBConfig {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.CheckpointBytes == 0 {
		c.CheckpointBytes = 32 << 20
	}
	if c.CheckpointEvery == 0 {
		c.CheckpointEvery = time.Second
	}
	return c
}

// DB is the state machine (it satisfies raft.StateMachine) and every local read.
//
// Reads may be used concurrently with everything. Apply, Checkpoint, Snapshot, Install and Close
// exclude one another where they have to; the log calls Apply from one goroutine.
type DB struct {
	cfg     DBConfig
	log     *slog.Logger
	seam    seam
	metrics *metrics
	lock    *os.File // one process per directory
	due     chan struct{}
	dirty   atomic.Int64 // bytes written since the last checkpoint

	access    atomic.Uint64                 // see AccessGeneration
	resources atomic.Uint64                 // see ResourceGeneration
	nodes     atomic.Pointer[[]Node]        // see Nodes; the list is never changed
	waiting   atomic.Pointer[chan struct{}] // see Changed; nil while nobody waits

	current atomic.Pointer[handle] // what reads and writes use; nil once closed

	saving sync.Mutex // one checkpoint or install at a time, across their syncs; taken before writing

	writing sync.Mutex // one writer; held for a transaction, never across a sync of its pages
	stale   error      // guarded by writing: why nothing may be written any more

	marks   sync.Mutex // guards the next two; held for a copy
	applied mark
	durable mark
}

// A seam is what the engine calls of the state machine proper and of the system, and what its tests
// put in its place.
type seam struct {
	create   func(*bbolt.Tx) error
	apply    func(tx *bbolt.Tx, index uint64, command []byte) ([]byte, error)
	at       func(name string) // a crash point is passed
	extend   extender
	mapBytes int64 // first size of the map
	pageSize int   // of a new database
	noPin    bool  // tests only: the checkpoint is not pinned
	noRoll   bool  // tests only: a start does not return to it
}

func engineSeam() seam {
	return seam{
		create: createBuckets, apply: apply, at: point.At, extend: extend, mapBytes: mapBytes, pageSize: pageSize,
	}
}

// kept is how many checkpoints stay pinned: the last.
func (s seam) kept() int {
	if s.noPin {
		return 0
	}
	return 1
}

// OpenDB opens the database in cfg.Dir, as the last checkpoint left it, or creates an empty one in a
// directory that holds none. What was applied after that checkpoint is the log's to apply again.
//
// ErrInUse, ErrDamaged.
func OpenDB(cfg DBConfig) (*DB, error) {
	return openDB(cfg, engineSeam())
}

func openDB(cfg DBConfig, s seam) (_ *DB, err error) {
	db := &DB{cfg: cfg.withDefaults(), seam: s, metrics: newMetrics(), due: make(chan struct{}, 1)}
	db.log = db.cfg.Log
	defer func() {
		if err != nil && db.lock != nil {
			_ = db.lock.Close() // with its lock
		}
	}()
	if err := os.MkdirAll(db.cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create database directory: %w", err)
	}
	if db.lock, err = lockDir(db.cfg.Dir); err != nil {
		return nil, err
	}
	cur, err := db.findCurrent()
	if err != nil {
		return nil, err
	}
	h, m, err := db.openHandle(cur)
	if err != nil {
		return nil, err
	}
	nodes, err := h.loadNodes()
	if err != nil {
		h.abandon()
		return nil, damage("%s: %v", h.name, err)
	}
	db.nodes.Store(&nodes)
	db.applied, db.durable = m, m
	db.current.Store(h)
	db.sweep(cur.name)
	cur.reserveTemp(cfg.Dir, s.extend)
	return db, nil
}

// Close takes a last checkpoint, so that the next start has nothing to replay, waits for running
// reads and closes the database. When the checkpoint fails its error is returned, and nothing is lost
// that the log still has.
func (db *DB) Close() error {
	err := db.Checkpoint(0, nil)
	db.saving.Lock()
	defer db.saving.Unlock()
	db.writing.Lock()
	h := db.current.Swap(nil)
	db.writing.Unlock()
	if h == nil {
		return ErrClosed
	}
	db.changed() // nobody waits for what does not come
	h.unpin(len(h.pins))
	h.retire()
	<-h.closed
	return errors.Join(err, db.lock.Close())
}

// Apply applies commands in order, in ONE transaction that also stores position, the log's own
// bookkeeping of where it stands (nil leaves the stored one). It returns one result per command.
// An error, ErrFull among them, means that none was applied. Durable is what a later checkpoint
// makes durable.
//
// An index that is not above the one before, and above what is applied, is a panic: exactly-once is
// the log's duty, and going on would make this node differ from the others.
func (db *DB) Apply(indexes []uint64, commands [][]byte, position []byte) (results [][]byte, err error) {
	db.writing.Lock()
	defer db.writing.Unlock()
	defer db.metrics.applied(time.Now())
	next := db.follow(indexes, len(commands), position)
	results = make([][]byte, len(commands))
	nodes := db.nodes.Load()
	err = db.update(room(commands), func(tx *bbolt.Tx) error {
		for i, c := range commands {
			if results[i], err = db.seam.apply(tx, indexes[i], c); err != nil {
				return fmt.Errorf("apply entry %d: %w", indexes[i], err)
			}
		}
		if slices.ContainsFunc(commands, changesNodes) {
			all, err := readNodes(&txn{Tx: tx})
			if err != nil {
				return err
			}
			nodes = &all
		}
		return putMark(tx, next)
	})
	if err != nil {
		return nil, err
	}
	db.setApplied(next)
	db.nodes.Store(nodes)
	db.changed()
	if slices.ContainsFunc(commands, changesAccess) {
		db.access.Add(1)
	}
	if slices.ContainsFunc(commands, changesResources) {
		db.resources.Add(1)
	}
	db.seam.at("meta.applied")
	if db.dirty.Load() >= db.cfg.CheckpointBytes {
		select {
		case db.due <- struct{}{}:
		default: // Run knows already
		}
	}
	return results, nil
}

// follow checks that indexes go on from what is applied and returns the mark after them.
func (db *DB) follow(indexes []uint64, commands int, position []byte) mark {
	if len(indexes) != commands {
		panic(fmt.Sprintf("meta: %d indexes for %d commands", len(indexes), commands))
	}
	db.marks.Lock()
	last, kept := db.applied.index, db.applied.position
	db.marks.Unlock()
	for _, i := range indexes {
		if i <= last {
			panic(fmt.Sprintf("meta: entry %d applied after entry %d", i, last))
		}
		last = i
	}
	if position != nil {
		kept = bytes.Clone(position)
	}
	return mark{index: last, position: kept}
}

// Position returns what was stored last, durable or not: applied index and position.
func (db *DB) Position() (index uint64, position []byte) {
	db.marks.Lock()
	defer db.marks.Unlock()
	return db.applied.index, bytes.Clone(db.applied.position)
}

// Durable returns index and position of the last checkpoint: what a power loss leaves.
func (db *DB) Durable() (index uint64, position []byte) {
	db.marks.Lock()
	defer db.marks.Unlock()
	return db.durable.index, bytes.Clone(db.durable.position)
}

func (db *DB) setApplied(m mark) {
	db.marks.Lock()
	db.applied = m
	db.marks.Unlock()
}

func (db *DB) setDurable(m mark) {
	db.marks.Lock()
	db.durable = m
	db.marks.Unlock()
}

// Run takes checkpoints until ctx ends: at most one every CheckpointEvery while something is new, and
// one at once when CheckpointBytes were written. It is for one goroutine.
//
// A checkpoint that finds no space is tried again, and said once. Run returns an error when the disk
// left it open what arrived (ErrStale): then the process must start anew.
func (db *DB) Run(ctx context.Context) error {
	tick := time.NewTicker(db.cfg.CheckpointEvery)
	defer tick.Stop()
	failing := false
	due := db.due
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			due = db.due
		case <-due:
			tick.Reset(db.cfg.CheckpointEvery)
		}
		err := db.Checkpoint(0, nil)
		switch {
		case errors.Is(err, ErrStale) || errors.Is(err, ErrClosed):
			return err
		case err != nil:
			if !failing {
				db.log.ErrorContext(ctx, "checkpoint failed, keeping the last one", "err", err)
			}
			failing, due = true, nil // not before the next tick
		case failing:
			db.log.InfoContext(ctx, "checkpoints work again")
			failing = false
		}
	}
}
