package raft

import (
	"errors"
	"log/slog"
	"testing"

	hraft "github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
)

// MovedTo is a position moved to another index and term.
func MovedTo(tb testing.TB, encoded []byte, index, term uint64) []byte {
	tb.Helper()
	p, err := decodePosition(encoded)
	if err != nil {
		tb.Fatal(err)
	}
	p.index, p.term = index, term
	return p.encode()
}

// WriteTerm writes a vote file that knows of term.
func WriteTerm(tb testing.TB, dir string, term uint64) {
	tb.Helper()
	v, err := openVote(dir)
	if err != nil {
		tb.Fatal(err)
	}
	if err := v.SetUint64(keyTerm(), term); err != nil {
		tb.Fatal(err)
	}
	if err := v.close(); err != nil {
		tb.Fatal(err)
	}
}

// ReadTerm reads the term of a vote file.
func ReadTerm(dir string) (uint64, error) {
	v, err := openVote(dir)
	if err != nil {
		return 0, err
	}
	return v.term(), v.close()
}

// AddVoter makes another node a member. Joining has no public face yet.
func (n *Node) AddVoter(id, address string) error {
	return n.raft.AddVoter(hraft.ServerID(id), hraft.ServerAddress(address), 0, 0).Error()
}

// Barrier waits until everything before it went through the state machine, or
// was refused by it.
func (n *Node) Barrier() error { return n.raft.Barrier(0).Error() }

// frozen is a list of segments that cannot be changed any more.
type frozen struct{ *metadb.BoltMetaDB }

func (frozen) CommitState(types.PersistentState) error { return errors.New("frozen") }

// SealTail appends noops to a log until its last segment is sealed, which gets
// no successor: what a crash between the two leaves. It returns how many.
func SealTail(tb testing.TB, dir string, segmentSize int) (noops int) {
	tb.Helper()
	meta := &metadb.BoltMetaDB{}
	state, err := meta.Load(dir)
	if err != nil {
		tb.Fatal(err)
	}
	before := len(state.Segments)
	log := &logger{log: slog.New(slog.DiscardHandler)}
	s := &logStore{dir: dir, segmentSize: segmentSize, log: log, full: func(error) {}, meta: segmentList{meta}}
	w, err := s.openOver(frozen{meta})
	if err != nil {
		tb.Fatal(err)
	}
	last, err := w.LastIndex()
	if err != nil {
		tb.Fatal(err)
	}
	var e hraft.Log
	if err := w.GetLog(last, &e); err != nil {
		tb.Fatal(err)
	}
	for batch := make([]*hraft.Log, 100); err == nil; noops += len(batch) {
		for i := range batch {
			batch[i] = &hraft.Log{Index: last + uint64(noops+i+1), Term: e.Term, Type: hraft.LogNoop}
		}
		err = w.StoreLogs(batch)
	}
	if state, err = meta.Load(dir); err != nil || len(state.Segments) != before {
		tb.Fatalf("%d segments, were %d, %v", len(state.Segments), before, err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return noops - 100
}

// FailAppend has a log of three entries, to which an append of a fourth fails
// after it reached the disk. It returns the last index after the log recovered.
func FailAppend(tb testing.TB, dir string) (last uint64) {
	tb.Helper()
	cfg := Config{NodeID: "n", Dir: dir, Log: slog.New(slog.DiscardHandler), SegmentSize: 1 << 16}.withDefaults()
	s, err := openLog(cfg, func(error) {})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			tb.Error(err)
		}
	}()
	noop := func(i uint64) *hraft.Log { return &hraft.Log{Index: i, Term: 1, Type: hraft.LogNoop} }
	if err := s.StoreLogs([]*hraft.Log{noop(1), noop(2), noop(3)}); err != nil {
		tb.Fatal(err)
	}
	if err := s.wal.StoreLog(noop(4)); err != nil { // beside the store
		tb.Fatal(err)
	}
	s.broken = true
	if err := s.recover(); err != nil {
		tb.Fatal(err)
	}
	if last, err = s.LastIndex(); err != nil {
		tb.Fatal(err)
	}
	if err := s.StoreLog(noop(last + 1)); err != nil {
		tb.Errorf("append after recovery: %v", err)
	}
	return last
}

// Repair makes the tail of a log good.
func Repair(tb testing.TB, dir string) error {
	tb.Helper()
	meta := segmentList{&metadb.BoltMetaDB{}}
	err := repairTail(dir, meta, allOf)
	if err := meta.BoltMetaDB.Close(); err != nil {
		tb.Fatal(err)
	}
	return err
}

// Agreed is what a node notes of the last entry that is agreed.
func Agreed(node string, index, term uint64) []byte {
	return (&agreedFile{node: node}).encode(index, term)
}
