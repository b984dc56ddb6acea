package raft_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"skerry.dev/skerry/raft"
)

// A segment is the end of a log: its last file, and where the data in it ends.
type segment struct {
	path string
	b    []byte
	end  int
}

func lastSegment(tb testing.TB, h home) segment {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join(h.cfg.Dir, "*.wal"))
	if err != nil || len(paths) == 0 {
		tb.Fatalf("segments %v, %v", paths, err)
	}
	s := segment{path: slices.Max(paths)}
	s.b = readFile(tb, s.path)
	// The last frame is a commit, whose checksum may end in a zero.
	s.end = (len(bytes.TrimRight(s.b, "\x00")) + 7) &^ 7
	return s
}

func (s segment) write(tb testing.TB, at int, b []byte) {
	tb.Helper()
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		tb.Fatal(err)
	}
	_, err = f.WriteAt(b, int64(at))
	if err := errors.Join(err, f.Close()); err != nil {
		tb.Fatal(err)
	}
}

// frame is one of the log's: entry 1, index 2, commit 3.
func frame(kind byte, payload string) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{kind, 0, 0, 0}, uint32(len(payload)))
	b = append(b, payload...)
	return append(b, make([]byte, -len(b)&7)...)
}

func commitFrame(sum uint32) []byte {
	return binary.LittleEndian.AppendUint32([]byte{3, 0, 0, 0}, sum)
}

// written makes a home with some commands in its log, and nothing in its
// checkpoint.
func written(tb testing.TB) (h home, commands []string) {
	tb.Helper()
	h = newHome(tb)
	h.cfg.SegmentSize = 64 << 10
	n, _ := h.ready(tb)
	for i := range 20 {
		commands = append(commands, fmt.Sprint("c", i))
		propose(tb, n, commands[i])
	}
	crashed := h.image(tb)
	closeNode(tb, n)
	return crashed, commands
}

// goesOn checks that a log has the commands, and takes and keeps new ones.
func goesOn(tb testing.TB, h home, commands []string) {
	tb.Helper()
	for _, when := range []string{"at the first start", "at the second"} {
		n, l := h.ready(tb)
		for _, c := range commands {
			if !l.has(c) {
				tb.Errorf("%s is missing %s", c, when)
			}
		}
		propose(tb, n, when)
		commands = append(commands, when)
		h = h.image(tb)
		closeNode(tb, n)
	}
}

func TestRemainsOfATornAppendAreCutOff(t *testing.T) {
	entry := frame(1, "an entry that nobody was promised")
	index := frame(2, "an index of a segment that goes on")
	sum := func(bs ...[]byte) uint32 {
		return crc32.Checksum(bytes.Join(bs, nil), crc32.MakeTable(crc32.Castagnoli))
	}
	for _, c := range []struct {
		name    string
		remains []byte
	}{
		{"nothing", nil},
		{"half a head", entry[:4]},
		{"half an entry", entry[:20]},
		{"an entry", entry},
		{"an entry and an index", slices.Concat(entry, index)},
		{"a commit that lost its entry", slices.Concat(frame(1, "\x00\x00"), commitFrame(sum(entry)))},
		{"an index without the commit's checksum", slices.Concat(entry, index, commitFrame(1))},
		{"junk", bytes.Repeat([]byte{0xaa}, 100)},
		{"an entry of a size that cannot be", []byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, commands := written(t)
			s := lastSegment(t, h)
			s.write(t, s.end, c.remains)
			goesOn(t, h, commands)
		})
	}
}

func TestSealedSegmentGetsItsSuccessor(t *testing.T) {
	h, commands := written(t)
	if noops := raft.SealTail(t, h.cfg.Dir, h.cfg.SegmentSize); noops == 0 {
		t.Fatal("nothing appended")
	}
	goesOn(t, h, commands)
}

func TestFailedAppendIsCutOffBeforeTheNext(t *testing.T) {
	if last := raft.FailAppend(t, t.TempDir()); last != 3 {
		t.Errorf("log goes to %d, want 3", last)
	}
}

// TestDamagedLogIsRefused changes each byte of a log in turn. Only in its last
// append that cannot be told from a crash.
func TestDamagedLogIsRefused(t *testing.T) {
	h, _ := written(t)
	whole := lastSegment(t, h)
	lastAppend := bytes.LastIndex(whole.b[:whole.end-8], []byte{3, 0, 0, 0}) + 8
	if lastAppend < 900 || lastAppend > whole.end-16 {
		t.Fatalf("last append at %d of %d", lastAppend, whole.end)
	}
	for i := range lastAppend {
		whole.write(t, i, []byte{whole.b[i] ^ 1})
		if err := raft.Repair(t, h.cfg.Dir); !errors.Is(err, raft.ErrDamaged) {
			t.Errorf("byte %d of %d: %v", i, whole.end, err)
		}
		whole.write(t, i, whole.b[i:i+1])
	}
	if err := raft.Repair(t, h.cfg.Dir); err != nil {
		t.Errorf("undamaged: %v", err)
	}
	whole.write(t, 200, make([]byte, 300)) // a block that the disk forgot
	if _, err := raft.Start(h.cfg, openLedger(t, filepath.Join(h.dir, "db"))); !errors.Is(err, raft.ErrDamaged) {
		t.Errorf("start: %v", err)
	}
}

func TestVoteSurvivesATornWrite(t *testing.T) {
	dir := t.TempDir()
	raft.WriteTerm(t, dir, 7)
	raft.WriteTerm(t, dir, 8)
	path := filepath.Join(dir, "vote")
	b := readFile(t, path)
	for i := range 2 { // either of the slots
		torn := slices.Clone(b)
		copy(torn[4096*i+100:4096*(i+1)], bytes.Repeat([]byte{1}, 4096))
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		term, err := raft.ReadTerm(dir)
		if err != nil || term != 7 && term != 8 {
			t.Errorf("slot %d torn: term %d, %v", i, term, err)
		}
	}
	if err := os.WriteFile(path, make([]byte, len(b)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := raft.ReadTerm(dir); !errors.Is(err, raft.ErrDamaged) {
		t.Errorf("both torn: %v", err)
	}
}
