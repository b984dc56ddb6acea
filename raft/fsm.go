package raft

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/skerry/test/crash/point"
)

// How long the state machine is left alone after it said that its disk is full.
const (
	fullWaitFirst   = 50 * time.Millisecond
	fullWaitLongest = time.Second
)

// A machine stands between raft and the state machine: it keeps the position,
// and decides what happens when an entry cannot be applied. Nothing is ever
// skipped: raft is not told of an entry's end before it took effect.
type machine struct {
	sm      StateMachine
	isFull  error // Config.Full
	log     *slog.Logger
	gate    *gate
	closing <-chan struct{}
	applied *watermark
	applies prometheus.Histogram
	agreed  *agreedFile // written under mu

	mu     sync.Mutex // guards the rest; held across Apply, so that positions only rise
	pos    position
	stored bool  // pos is what the state machine stored, too
	err    error // why nothing is applied any more
}

var (
	_ hraft.BatchingFSM        = (*machine)(nil)
	_ hraft.ConfigurationStore = (*machine)(nil)
)

// Apply implements hraft.FSM.
func (m *machine) Apply(entry *hraft.Log) any { return m.ApplyBatch([]*hraft.Log{entry})[0] }

// ApplyBatch implements hraft.BatchingFSM: one transaction for the batch. The
// answer to each command is its result, or the error that stopped the machine.
func (m *machine) ApplyBatch(entries []*hraft.Log) []any {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer since(m.applies, time.Now())
	answers := make([]any, len(entries))
	if last := entries[len(entries)-1]; !m.decidesAlone(entries) {
		m.agreed.note(last.Index, last.Term) // before anybody can see it
	}
	results, err := m.applyLocked(entries, m.applyPatiently)
	if err != nil {
		m.stopLocked(err)
		for i := range answers {
			answers[i] = m.err
		}
		return answers
	}
	for i, e := range entries {
		if e.Type == hraft.LogCommand {
			answers[i], results = results[0], results[1:]
		}
	}
	m.applied.reach(m.pos.index)
	return answers
}

// replay is ApplyBatch before raft runs. It reports whether to go on: not if
// the state machine has no room, where raft will try again, nor if it stopped.
func (m *machine) replay(entries []*hraft.Log) bool {
	if len(entries) == 0 {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.applyLocked(entries, m.sm.Apply)
	if err != nil {
		if m.isFull == nil || !errors.Is(err, m.isFull) {
			m.stopLocked(err)
		}
		return false
	}
	m.applied.reach(m.pos.index)
	return true
}

// An apply is StateMachine.Apply, or what stands for it.
type apply func(indexes []uint64, commands [][]byte, position []byte) ([][]byte, error)

// applyLocked hands the commands among entries to the state machine, with the
// position after the last of them. A configuration alone changes only what is
// in memory: the log still has it, until a checkpoint stores it.
func (m *machine) applyLocked(entries []*hraft.Log, apply apply) ([][]byte, error) {
	if m.err != nil {
		return nil, m.err
	}
	pos := m.pos
	indexes := make([]uint64, 0, len(entries))
	commands := make([][]byte, 0, len(entries))
	for _, e := range entries {
		if e.Type == hraft.LogCommand {
			indexes, commands = append(indexes, e.Index), append(commands, e.Data)
		} else { // a configuration: nothing else reaches the machine
			pos.conf, pos.confIndex = hraft.DecodeConfiguration(e.Data), e.Index
		}
		pos.index, pos.term = e.Index, e.Term
	}
	if len(commands) == 0 {
		m.pos, m.stored = pos, false
		return nil, nil
	}
	results, err := apply(indexes, commands, pos.encode())
	if err != nil {
		return nil, err
	}
	if len(results) != len(commands) {
		return nil, fmt.Errorf("state machine gave %d results for %d commands", len(results), len(commands))
	}
	m.pos, m.stored = pos, true
	return results, nil
}

// applyPatiently offers the commands again and again while the state machine
// says that its disk is full.
func (m *machine) applyPatiently(indexes []uint64, commands [][]byte, pos []byte) ([][]byte, error) {
	for wait := fullWaitFirst; ; wait = min(2*wait, fullWaitLongest) {
		results, err := m.sm.Apply(indexes, commands, pos)
		if err == nil || m.isFull == nil || !errors.Is(err, m.isFull) {
			if m.gate.set(machineFull, nil) && err == nil {
				m.log.Info("state machine has room again", "index", indexes[0])
			}
			return results, err
		}
		if m.gate.set(machineFull, err) {
			m.log.Error("state machine has no room, commands are refused", "index", indexes[0], "err", err)
		}
		select {
		case <-time.After(wait):
		case <-m.closing:
			return nil, ErrClosed
		}
	}
}

// stopLocked ends applying for this run of the process: whoever waits is told,
// later entries stay in the log, and the next start tries again.
func (m *machine) stopLocked(err error) {
	if m.err != nil {
		return
	}
	m.err = err
	if errors.Is(err, ErrClosed) {
		return
	}
	m.gate.set(stopped, err)
	m.log.Error("state machine stopped, only reads are served", "index", m.pos.index, "err", err)
}

// StoreConfiguration implements hraft.ConfigurationStore. Configurations reach
// ApplyBatch; raft hands them on only to machines that have this method.
func (m *machine) StoreConfiguration(uint64, hraft.Configuration) {}

// Snapshot implements hraft.FSM. Nothing is copied: see checkpointed.
func (m *machine) Snapshot() (hraft.FSMSnapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	return checkpointed{m}, nil
}

// Restore implements hraft.FSM: another node's snapshot, received in full,
// becomes the state.
func (m *machine) Restore(r io.ReadCloser) error {
	if w, ok := r.(hraft.ReadCloserWrapper); ok {
		r = w.WrappedReadCloser()
	}
	in, ok := r.(*received)
	if !ok {
		return fmt.Errorf("raft: restore from a %T", r)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	if err := m.sm.Install(in.Name()); err != nil {
		return fmt.Errorf("install snapshot: %w", err)
	}
	point.At("snapshot.installed")
	_, b := m.sm.Position()
	pos, err := decodePosition(b)
	if err != nil {
		m.stopLocked(err) // the old state is gone, and the new one is not ours
		return err
	}
	m.pos, m.stored = pos, true
	m.applied.reach(pos.index)
	m.log.Info("installed snapshot", "index", pos.index, "term", pos.term)
	return nil
}

// checkpoint makes durable what was applied, and with it the position, which
// raft says is at least index: entries that never reach the state machine may
// have moved the log on.
func (m *machine) checkpoint(index, term uint64) error {
	m.mu.Lock()
	if m.err != nil {
		defer m.mu.Unlock()
		return m.err
	}
	if index > m.pos.index {
		m.pos.index, m.pos.term, m.stored = index, term, false
	}
	if m.stored {
		m.mu.Unlock() // applying goes on meanwhile
		return m.sm.Checkpoint(0, nil)
	}
	defer m.mu.Unlock()
	if err := m.sm.Checkpoint(m.pos.index, m.pos.encode()); err != nil {
		return err
	}
	m.stored = true
	return nil
}

// A checkpointed is what raft takes for a snapshot of the state machine.
type checkpointed struct{ m *machine }

// Persist implements hraft.FSMSnapshot. When it returns, raft cuts its log; a
// crash before leaves a log that reaches further back than needed, after it
// one that begins at or before the checkpoint's next entry.
func (c checkpointed) Persist(to hraft.SnapshotSink) error {
	s, ok := to.(*sink)
	if !ok {
		return fmt.Errorf("raft: persist to a %T", to)
	}
	if err := c.m.checkpoint(s.meta.Index, s.meta.Term); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	point.At("snapshot.persisted")
	return nil
}

// Release implements hraft.FSMSnapshot.
func (checkpointed) Release() {}
