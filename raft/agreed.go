package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	hraft "github.com/hashicorp/raft"
)

const (
	agreedName  = "agreed" // in Config.Dir
	agreedMagic = "skagree1"
	agreedSize  = len(agreedMagic) + 8 + 8 + crc32.Size
)

// An agreedFile remembers up to which entry this node was told that the log is
// agreed. Raft itself does not keep that: it learns it again from a leader. A node
// that starts while there is none would stand at its last checkpoint, and not show
// what it has shown before (I8).
//
// What the file names may be applied by whoever finds it. It is written when raft
// hands an entry to the state machine, so a majority has it: no leader will ever
// ask to replace it, nor one before it. This node has it, too: an entry is synced
// to the log before the node says that it has it, and before that it cannot be
// handed on. The file itself is not synced. A kill leaves what was written last;
// a power loss leaves that, or something older, and then some entries are shown
// only when the others confirm them; or a file that is none, which says nothing.
//
// It holds a magic, index and term of the entry, and a checksum of these and of the
// node's id, big endian. What is of another node, or torn, or names an entry that
// the log does not have with this term, counts for nothing.
type agreedFile struct {
	path string
	node string
	log  *slog.Logger

	f     *os.File // nil until the first note
	index uint64   // of the last note
	mute  bool     // a note failed, and that was said
}

func newAgreedFile(cfg Config) *agreedFile {
	return &agreedFile{path: filepath.Join(cfg.Dir, agreedName), node: cfg.NodeID, log: cfg.Log}
}

// note writes that everything up to this entry is agreed. That it cannot be
// written is no reason to stop: it costs what a power loss would.
func (a *agreedFile) note(index, term uint64) {
	if index <= a.index {
		return
	}
	err := a.write(index, term)
	if err == nil {
		a.index, a.mute = index, false
	} else if !a.mute {
		a.mute = true
		a.log.Warn("cannot note what is agreed; started without the others, this node would show less", "err", err)
	}
}

func (a *agreedFile) write(index, term uint64) (err error) {
	if a.f == nil {
		if a.f, err = os.OpenFile(a.path, os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			return err
		}
	}
	_, err = a.f.WriteAt(a.encode(index, term), 0)
	return err
}

// read returns what was noted last, zeros if nothing was that can be trusted.
func (a *agreedFile) read() (index, term uint64, err error) {
	b, err := os.ReadFile(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read what is agreed: %w", err)
	}
	if len(b) != agreedSize {
		return 0, 0, nil
	}
	index = binary.BigEndian.Uint64(b[len(agreedMagic):])
	term = binary.BigEndian.Uint64(b[len(agreedMagic)+8:])
	if string(b) != string(a.encode(index, term)) {
		return 0, 0, nil
	}
	return index, term, nil
}

func (a *agreedFile) encode(index, term uint64) []byte {
	b := append(make([]byte, 0, agreedSize), agreedMagic...)
	b = binary.BigEndian.AppendUint64(b, index)
	b = binary.BigEndian.AppendUint64(b, term)
	sum := crc32.Update(crc32.Checksum(b, castagnoli()), castagnoli(), []byte(a.node))
	return binary.BigEndian.AppendUint32(b, sum)
}

func (a *agreedFile) close() error {
	if a.f == nil {
		return nil
	}
	return a.f.Close()
}

// agreedUpTo is the index up to which the log, which ends with last, is known to
// be agreed; 0 if that cannot be told, or the state machine has all of it.
func (n *Node) agreedUpTo(at position, last uint64) (uint64, error) {
	index, term, err := n.agreed.read()
	if err != nil || index <= at.index || index > last {
		return 0, err
	}
	var e hraft.Log
	if err := n.logs.GetLog(index, &e); err != nil {
		return 0, fmt.Errorf("read entry %d: %w", index, err)
	}
	if e.Term != term {
		n.cfg.Log.Warn("what was noted as agreed is of another log", "index", index, "term", term, "have", e.Term)
		return 0, nil
	}
	return index, nil
}

// decidesAlone says that this node is the only voter, before these entries and
// after each of them: then its log is agreed as it stands, and nothing is noted.
func (m *machine) decidesAlone(entries []*hraft.Log) bool {
	for _, e := range entries {
		if e.Type == hraft.LogConfiguration && !soleVoter(hraft.DecodeConfiguration(e.Data), m.agreed.node) {
			return false
		}
	}
	return soleVoter(m.pos.conf, m.agreed.node)
}
