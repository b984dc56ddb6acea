package raft

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	hraft "github.com/hashicorp/raft"
)

// checkpointID names the one snapshot there is: the state machine as it stands.
const checkpointID = "checkpoint"

// A snapshotStore shows raft the state machine as its only snapshot, and keeps
// a file for each one that comes from another node, for as long as it takes to
// install it.
type snapshotStore struct {
	sm  StateMachine
	dir string
}

var _ hraft.SnapshotStore = (*snapshotStore)(nil)

// openSnapshots prepares the directory for what will be received. What lies
// there came before a crash, and its sender will send it again.
func openSnapshots(sm StateMachine, dir string) (*snapshotStore, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("clear received snapshots: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make room for received snapshots: %w", err)
	}
	return &snapshotStore{sm: sm, dir: dir}, nil
}

// List implements hraft.SnapshotStore. At start, raft goes on behind this
// position. That it may not be durable does no harm: raft cuts its log only
// after a snapshot it took itself, and that one is a checkpoint.
func (s *snapshotStore) List() ([]*hraft.SnapshotMeta, error) {
	_, b := s.sm.Position()
	if b == nil {
		return nil, nil
	}
	pos, err := decodePosition(b)
	if err != nil {
		return nil, err
	}
	return []*hraft.SnapshotMeta{pos.snapshotMeta(checkpointID, 0)}, nil
}

// Create implements hraft.SnapshotStore.
func (s *snapshotStore) Create(v hraft.SnapshotVersion, index, term uint64, c hraft.Configuration,
	confIndex uint64, _ hraft.Transport,
) (hraft.SnapshotSink, error) {
	pos := position{index: index, term: term, conf: c, confIndex: confIndex}
	meta := pos.snapshotMeta(fmt.Sprintf("in-%d-%d.db", term, index), 0)
	meta.Version = v
	return &sink{meta: meta, path: filepath.Join(s.dir, meta.ID)}, nil
}

// Open implements hraft.SnapshotStore: for a follower that needs a copy, and
// for Restore, which wants to know where the received file lies.
func (s *snapshotStore) Open(id string) (*hraft.SnapshotMeta, io.ReadCloser, error) {
	if id == checkpointID {
		return s.copy()
	}
	f, err := os.Open(filepath.Join(s.dir, filepath.Base(id)))
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return &hraft.SnapshotMeta{Version: hraft.SnapshotVersionMax, ID: id, Size: st.Size()}, &received{f}, nil
}

// copy streams the state machine. The position comes out of the same
// transaction as the bytes, so that they cannot disagree.
func (s *snapshotStore) copy() (*hraft.SnapshotMeta, io.ReadCloser, error) {
	snap, err := s.sm.Snapshot()
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshot: %w", err)
	}
	pos, err := decodePosition(snap.Position)
	if err != nil {
		return nil, nil, errors.Join(err, snap.Close())
	}
	r, w := io.Pipe()
	// Ends when all is read, or when the reader is closed.
	go func() {
		_, err := snap.WriteTo(w)
		_ = w.CloseWithError(errors.Join(err, snap.Close()))
	}()
	return pos.snapshotMeta(checkpointID, snap.Size), r, nil
}

// A received is the file of a snapshot that came in.
type received struct{ *os.File }

// A sink takes a snapshot that another node sends. For a snapshot of this
// node, nothing is ever written to it.
type sink struct {
	meta *hraft.SnapshotMeta
	path string
	f    *os.File
}

// ID implements hraft.SnapshotSink.
func (k *sink) ID() string { return k.meta.ID }

// Write implements hraft.SnapshotSink.
func (k *sink) Write(p []byte) (int, error) {
	if k.f == nil {
		f, err := os.OpenFile(k.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return 0, err
		}
		k.f = f
	}
	return k.f.Write(p)
}

// Close implements hraft.SnapshotSink. The file is durable under its name
// before the state machine hears of it.
func (k *sink) Close() error {
	if k.f == nil {
		return nil
	}
	f := k.f
	k.f = nil
	err := f.Sync()
	return errors.Join(err, f.Close(), syncDir(filepath.Dir(k.path)))
}

// Cancel implements hraft.SnapshotSink.
func (k *sink) Cancel() error {
	if k.f == nil {
		return nil
	}
	f := k.f
	k.f = nil
	return errors.Join(f.Close(), os.Remove(k.path))
}
