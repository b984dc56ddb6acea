package raft_test

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"skerry.dev/skerry/raft"
)

// contents are the files below dir, in short.
func contents(tb testing.TB, dir string) map[string][32]byte {
	tb.Helper()
	all := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "wal-meta.db" { // which changes when it is opened
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = sha256.Sum256(b)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

func TestReplayShowsWhatIsAgreedAndChangesNothing(t *testing.T) {
	members := shared(t, 20)
	status := members[2].node.Status()
	left := members[2].killedCopy(t)
	left.cfg.Listener, left.cfg.Dial = nil, nil
	before := contents(t, left.cfg.Dir)
	for range 2 {
		l := openLedger(t, filepath.Join(left.dir, "db"))
		s, err := raft.Replay(left.cfg, l)
		if err != nil {
			t.Fatal(err)
		}
		if len(l.entries()) != 20 {
			t.Errorf("it shows %d commands of 20", len(l.entries()))
		}
		if s.LastIndex != status.LastIndex || s.LastTerm != status.Term || s.Applied != status.AppliedIndex ||
			s.LastTime.IsZero() || s.Alone || len(s.Voters) != 3 {
			t.Errorf("%+v, want %+v", s, status)
		}
	}
	after := contents(t, left.cfg.Dir)
	for path, sum := range before {
		if after[path] != sum {
			t.Errorf("%s is another", path)
		}
	}
	if len(after) != len(before) {
		t.Errorf("there are %d files, were %d", len(after), len(before))
	}
}

func TestReplayAfterRecoverShowsAll(t *testing.T) {
	members := shared(t, 3)
	left := members[1].killedCopy(t)
	if err := os.Remove(filepath.Join(left.cfg.Dir, "agreed")); err != nil {
		t.Fatal(err)
	}
	left.recoverAs(t, left)
	l := openLedger(t, filepath.Join(left.dir, "db"))
	s, err := raft.Replay(left.cfg, l)
	if err != nil || !s.Alone || len(l.entries()) != 3 {
		t.Errorf("%+v with %d commands, error %v", s, len(l.entries()), err)
	}
}

func TestReplayRefusesWhatIsNotThere(t *testing.T) {
	h := newHome(t)
	l := openLedger(t, filepath.Join(h.dir, "db"))
	if _, err := raft.Replay(h.cfg, l); !errors.Is(err, raft.ErrMismatch) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := os.Stat(h.cfg.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory was made: %v", err)
	}
	h.ready(t)
	if _, err := raft.Replay(h.cfg, l); !errors.Is(err, raft.ErrInUse) {
		t.Errorf("running: %v", err)
	}
}
