package raft_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"skerry.dev/skerry/raft"
)

// errDiskFull is what a ledger answers when it has no room.
var errDiskFull = errors.New("ledger: disk full")

// A ledger is a state machine that writes down each command with its index. It
// is as durable as its last checkpoint, a file, and panics when a command
// comes twice or out of order.
type ledger struct {
	path string

	mu       sync.Mutex
	now      page
	durable  page
	fail     error // Apply's answer, if not nil
	held     chan chan struct{}
	applies  int // calls of Apply that succeeded
	installs int // and of Install
}

type page struct {
	Index    uint64
	Position []byte
	Entries  map[string]uint64 // command → index
}

func (p page) clone() page {
	c := page{p.Index, p.Position, make(map[string]uint64, len(p.Entries))}
	for k, v := range p.Entries {
		c.Entries[k] = v
	}
	return c
}

// openLedger opens the checkpoint in dir; what came after it is lost, as after
// a power loss.
func openLedger(tb testing.TB, dir string) *ledger {
	tb.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	l := &ledger{path: filepath.Join(dir, "ledger")}
	l.now.Entries = map[string]uint64{}
	b, err := os.ReadFile(l.path)
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(b)).Decode(&l.now)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		tb.Fatal(err)
	}
	l.durable = l.now.clone()
	return l
}

func (l *ledger) Apply(indexes []uint64, commands [][]byte, position []byte) ([][]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held := l.held; held != nil {
		err := l.fail
		l.fail, l.held = nil, nil
		l.mu.Unlock()
		release := make(chan struct{})
		held <- release
		<-release
		l.mu.Lock()
		return nil, err
	}
	if l.fail != nil {
		return nil, l.fail
	}
	var results [][]byte
	for i, c := range commands {
		if indexes[i] <= l.now.Index {
			panic(fmt.Sprintf("entry %d again, ledger is at %d", indexes[i], l.now.Index))
		}
		l.now.Index = indexes[i]
		l.now.Entries[string(c)] = indexes[i]
		results = append(results, []byte("did "+string(c)))
	}
	l.now.Position = position
	l.applies++
	return results, nil
}

func (l *ledger) Position() (uint64, []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now.Index, l.now.Position
}

func (l *ledger) Durable() (uint64, []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable.Index, l.durable.Position
}

func (l *ledger) Checkpoint(index uint64, position []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if position != nil {
		if index < l.now.Index {
			panic(fmt.Sprintf("position goes back from %d to %d", l.now.Index, index))
		}
		l.now.Index, l.now.Position = index, position
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(l.now); err != nil {
		return err
	}
	if err := os.WriteFile(l.path+".tmp", b.Bytes(), 0o600); err != nil {
		return err
	}
	if err := os.Rename(l.path+".tmp", l.path); err != nil {
		return err
	}
	l.durable = l.now.clone()
	return nil
}

func (l *ledger) Snapshot() (*raft.Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(l.now); err != nil {
		return nil, err
	}
	return &raft.Snapshot{
		Index: l.now.Index, Position: l.now.Position, Size: int64(b.Len()),
		WriterTo: &b, Closer: io.NopCloser(nil),
	}, nil
}

func (l *ledger) Install(path string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var p page
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&p); err != nil {
		return err
	}
	if err := os.Rename(path, l.path); err != nil {
		return err
	}
	l.now, l.durable = p, p.clone()
	l.installs++
	return nil
}

func (l *ledger) installed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.installs
}

func (l *ledger) setFail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

// hold has the next Apply wait, and then fail. What it waits for to be closed
// comes out of the channel.
func (l *ledger) hold(err error) <-chan chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail, l.held = err, make(chan chan struct{})
	return l.held
}

func (l *ledger) has(command string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now.Entries[command] != 0
}

func (l *ledger) entries() map[string]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now.clone().Entries
}
