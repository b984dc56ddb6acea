package raft

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	hraft "github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/skerry/test/crash/point"
)

// A logStore is raft's log on this disk: a write-ahead log, one sync per
// append, which outlives a disk that was full for a while.
//
// After an append that failed, nobody knows what of it is on the disk, or the
// last segment is sealed and the next was never created. The store then cuts off
// what the failed append may have left, opens the log a second time, and goes on
// with that. Reads never stop.
type logStore struct {
	// Immutable once raft runs.
	dir         string
	node        string // Config.NodeID
	segmentSize int
	log         *logger
	grown       chan struct{} // receives when so many bytes were appended that the log should be cut
	grownBytes  int64
	full        func(error) // told the cause when the disk is full, and nil when it is not any more
	meta        segmentList // shared by every opening
	appends     prometheus.Histogram

	command atomic.Uint64 // index of the last entry that reaches the state machine
	shared  atomic.Bool   // a configuration with other voters was appended since this was opened
	tail    *watermark    // index of the last entry; nil on a node alone

	reading sync.RWMutex // guards wal; held for writing only while it is exchanged
	wal     *wal.WAL

	writing sync.Mutex // serialises appends, truncations and reopening; guards the rest
	last    uint64     // index of the last entry that was appended successfully
	bytes   int64      // appended since the log was cut, or since grown was told
	broken  bool       // an append failed: reopen before the next
}

var (
	_ hraft.LogStore          = (*logStore)(nil)
	_ hraft.MonotonicLogStore = (*logStore)(nil)
)

// A segmentList is the guest's list of its segments, which it would close with
// each log that uses it.
type segmentList struct{ *metadb.BoltMetaDB }

// CommitState implements types.MetaStore. After a sealing append, a crash before
// leaves a closed segment without a successor: see repairTail.
func (l segmentList) CommitState(s types.PersistentState) error {
	point.At("raft.before-rotate")
	return l.BoltMetaDB.CommitState(s)
}

// Close implements types.MetaStore by leaving that to logStore.close.
func (segmentList) Close() error { return nil }

// openLog opens the log in dir, or creates it.
func openLog(cfg Config, full func(error)) (*logStore, error) {
	dir := cfg.Dir
	s := &logStore{
		dir: dir, node: cfg.NodeID, segmentSize: cfg.SegmentSize, log: &logger{log: cfg.Log, name: "wal"},
		grown: make(chan struct{}, 1), grownBytes: cfg.SnapshotBytes, full: full,
		meta: segmentList{&metadb.BoltMetaDB{}}, appends: newAppends(),
	}
	w, err := s.open(allOf)
	if err != nil {
		_ = s.meta.BoltMetaDB.Close()
		return nil, fmt.Errorf("open log in %s: %w", dir, err)
	}
	s.wal = w
	if s.last, err = w.LastIndex(); err != nil {
		return nil, errors.Join(fmt.Errorf("open log in %s: %w", dir, err), s.close())
	}
	return s, nil
}

// open opens the guest's log, beside one that is open already, and without what
// lies behind the entry upTo. The guest syncs the name of a segment only at its
// first append and not when it finds the segment after a crash; so it is done
// here, before anything relies on it.
func (s *logStore) open(upTo uint64) (*wal.WAL, error) {
	if err := repairTail(s.dir, s.meta, upTo); err != nil {
		return nil, err
	}
	w, err := s.openOver(s.meta)
	if err != nil {
		return nil, err
	}
	if err := syncDir(s.dir); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (s *logStore) openOver(meta types.MetaStore) (*wal.WAL, error) {
	return wal.Open(s.dir,
		wal.WithMetaStore(meta),
		wal.WithSegmentFiler(segment.NewFiler(s.dir, segments{fs.New(), int64(s.segmentSize)})),
		wal.WithSegmentSize(s.segmentSize),
		wal.WithLogger(s.log))
}

// reopenLocked replaces a log that failed, if there is room for it to go on.
func (s *logStore) reopenLocked() error {
	if err := room(s.dir, roomMin); err != nil {
		return err
	}
	// Entries of the failed append that did reach the disk were never
	// acknowledged, and raft gives their indexes to others: they go.
	w, err := s.open(s.last)
	if err != nil {
		return fmt.Errorf("reopen log: %w", err)
	}
	s.reading.Lock() // until the last read of the old one is done
	old := s.wal
	s.wal = w
	s.reading.Unlock()
	s.broken = false
	return old.Close()
}

// recover makes a broken log whole, and says so.
func (s *logStore) recover() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.recoverLocked()
}

func (s *logStore) recoverLocked() error {
	if !s.broken {
		return nil
	}
	if err := s.reopenLocked(); err != nil {
		if isNoSpace(err) {
			s.full(err)
		}
		return err
	}
	s.full(nil)
	return nil
}

// StoreLogs implements hraft.LogStore. The entries are durable when it returns
// nil, and not in the log when it returns an error.
func (s *logStore) StoreLogs(entries []*hraft.Log) error {
	if len(entries) == 0 {
		return nil
	}
	defer since(s.appends, time.Now())
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.recoverLocked(); err != nil {
		return err
	}
	err := s.wal.StoreLogs(entries)
	if err != nil {
		// Once more with a fresh log: the disk may have been full only for the
		// moment in which the next segment was wanted.
		s.broken = true
		if rerr := s.recoverLocked(); rerr != nil {
			return fmt.Errorf("append to log: %w", errors.Join(err, rerr))
		}
		if err := s.wal.StoreLogs(entries); err != nil {
			s.broken = true
			if isNoSpace(err) {
				s.full(err)
			}
			return fmt.Errorf("append to log: %w", err)
		}
	}
	point.At("raft.appended")
	s.appendedLocked(entries)
	return nil
}

// appendedLocked keeps what the node wants to know of the log.
func (s *logStore) appendedLocked(entries []*hraft.Log) {
	for _, e := range entries {
		s.last = e.Index
		s.bytes += int64(len(e.Data))
		if e.Type == hraft.LogConfiguration && !soleVoter(hraft.DecodeConfiguration(e.Data), s.node) {
			s.shared.Store(true) // before any other node hears of it
		}
		if reachesMachine(e.Type) {
			s.command.Store(e.Index)
		}
	}
	if s.tail != nil {
		s.tail.reach(s.last)
	}
	if s.bytes < s.grownBytes {
		return
	}
	s.bytes = 0
	select {
	case s.grown <- struct{}{}:
	default: // known already
	}
}

// StoreLog implements hraft.LogStore.
func (s *logStore) StoreLog(entry *hraft.Log) error { return s.StoreLogs([]*hraft.Log{entry}) }

// DeleteRange implements hraft.LogStore. A prefix goes only after a checkpoint
// made it superfluous: a crash before leaves a longer log, which does no harm.
func (s *logStore) DeleteRange(first, last uint64) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.recoverLocked(); err != nil {
		return err
	}
	point.At("raft.before-truncate")
	if err := s.wal.DeleteRange(first, last); err != nil {
		s.broken = true
		return fmt.Errorf("cut log: %w", err)
	}
	point.At("raft.truncated")
	s.bytes = 0
	var err error
	if s.last, err = s.wal.LastIndex(); err != nil {
		return fmt.Errorf("cut log: %w", err)
	}
	return s.findCommand(1)
}

// findCommand looks, from the end back to index from, for the last entry that
// reaches the state machine.
func (s *logStore) findCommand(from uint64) error {
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	i, err := s.LastIndex()
	if err != nil {
		return err
	}
	var e hraft.Log
	for ; i > 0 && i >= max(from, first); i-- {
		if err := s.GetLog(i, &e); err != nil {
			return fmt.Errorf("read entry %d: %w", i, err)
		}
		if reachesMachine(e.Type) {
			s.command.Store(i)
			return nil
		}
	}
	s.command.Store(0)
	return nil
}

// reachesMachine tells the entries raft hands on from those it keeps.
func reachesMachine(t hraft.LogType) bool {
	return t == hraft.LogCommand || t == hraft.LogConfiguration
}

// FirstIndex implements hraft.LogStore.
func (s *logStore) FirstIndex() (uint64, error) {
	s.reading.RLock()
	defer s.reading.RUnlock()
	return s.wal.FirstIndex()
}

// LastIndex implements hraft.LogStore.
func (s *logStore) LastIndex() (uint64, error) {
	s.reading.RLock()
	defer s.reading.RUnlock()
	return s.wal.LastIndex()
}

// GetLog implements hraft.LogStore.
func (s *logStore) GetLog(index uint64, entry *hraft.Log) error {
	s.reading.RLock()
	defer s.reading.RUnlock()
	err := s.wal.GetLog(index, entry)
	if errors.Is(err, wal.ErrNotFound) {
		return hraft.ErrLogNotFound
	}
	return err
}

// IsMonotonic implements hraft.MonotonicLogStore: no gaps.
func (s *logStore) IsMonotonic() bool { return true }

func (s *logStore) close() error {
	return errors.Join(s.wal.Close(), s.meta.BoltMetaDB.Close())
}
