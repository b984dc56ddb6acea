package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	hraft "github.com/hashicorp/raft"

	"skerry.dev/skerry/test/crash/point"
)

const (
	voteSlot  = 4096 // bytes; what a disk writes at once
	voteMagic = "skerryvote1\n"
)

// errVoteTooLarge: a slot has room for some 4,000 bytes, raft needs 300.
var errVoteTooLarge = errors.New("raft: vote file: values exceed one slot")

// A voteFile keeps the few values that raft must never forget: the term, and
// for whom this node voted in it. It is raft's StableStore.
//
// The file has two slots of 4 KiB, written in turn and in place: a change
// costs one sync, and needs no new space on a full disk, where raft would
// panic. A slot is the magic, a sequence number, the values, and a checksum of
// all that; the valid slot with the higher number counts. A crash while one is
// written leaves the other.
type voteFile struct {
	f *os.File

	mu     sync.Mutex // guards the rest; held across the sync, which is the point of it
	seq    uint64
	values map[string][]byte
}

var _ hraft.StableStore = (*voteFile)(nil)

// openVote opens the vote file in dir, or creates it, durably.
func openVote(dir string) (*voteFile, error) {
	path := filepath.Join(dir, "vote")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		if err := createVote(dir, path); err != nil {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open vote: %w", err)
	}
	v := &voteFile{f: f, values: map[string][]byte{}}
	if err := v.load(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return v, nil
}

// createVote writes a file with one empty valid slot under another name first:
// a crash before the rename leaves no vote file, after it a good one.
func createVote(dir, path string) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	b, err := encodeVote(0, nil)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(b, make([]byte, voteSlot)...)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(dir)
}

func (v *voteFile) load() error {
	b := make([]byte, 2*voteSlot)
	if _, err := v.f.ReadAt(b, 0); err != nil {
		return err
	}
	found := false
	for i := range 2 {
		seq, values, ok := decodeVote(b[i*voteSlot : (i+1)*voteSlot])
		if ok && (!found || seq > v.seq) {
			v.seq, v.values, found = seq, values, true
		}
	}
	if !found {
		return fmt.Errorf("%w: no copy of the vote is as it was written", ErrDamaged)
	}
	return nil
}

// set stores one value; it is durable when set returns nil.
func (v *voteFile) set(key string, value []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	next := maps.Clone(v.values)
	next[key] = slices.Clone(value)
	b, err := encodeVote(v.seq+1, next)
	if err != nil {
		return err
	}
	// The other slot: a crash here leaves the one that holds now.
	if _, err := v.f.WriteAt(b, int64((v.seq+1)%2)*voteSlot); err != nil {
		return fmt.Errorf("write vote: %w", err)
	}
	point.At("raft.vote-written")
	if err := datasync(v.f); err != nil {
		return fmt.Errorf("sync vote: %w", err)
	}
	v.seq, v.values = v.seq+1, next
	return nil
}

func (v *voteFile) get(key string) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.values[key])
}

// Set implements hraft.StableStore.
func (v *voteFile) Set(key, value []byte) error { return v.set(string(key), value) }

// Get implements hraft.StableStore. A value never set is empty.
func (v *voteFile) Get(key []byte) ([]byte, error) { return v.get(string(key)), nil }

// SetUint64 implements hraft.StableStore.
func (v *voteFile) SetUint64(key []byte, value uint64) error {
	return v.set(string(key), binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements hraft.StableStore. A value never set is 0.
func (v *voteFile) GetUint64(key []byte) (uint64, error) {
	b := v.get(string(key))
	if len(b) == 0 {
		return 0, nil
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("%w: %s in the vote is not a number", ErrDamaged, key)
	}
	return binary.BigEndian.Uint64(b), nil
}

// term is the highest term this node took part in.
func (v *voteFile) term() uint64 {
	t, err := v.GetUint64(keyTerm())
	if err != nil {
		return 0
	}
	return t
}

// keyTerm is the name the guest gives the current term.
func keyTerm() []byte { return []byte("CurrentTerm") }

func (v *voteFile) close() error { return v.f.Close() }

// encodeVote fills one slot.
func encodeVote(seq uint64, values map[string][]byte) ([]byte, error) {
	b := append(make([]byte, 0, voteSlot), voteMagic...)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = binary.AppendUvarint(b, uint64(len(values)))
	for _, k := range slices.Sorted(maps.Keys(values)) {
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = append(b, k...)
		b = binary.AppendUvarint(b, uint64(len(values[k])))
		b = append(b, values[k]...)
	}
	if len(b) > voteSlot-crc32.Size {
		return nil, errVoteTooLarge
	}
	b = b[:voteSlot]
	sum := crc32.Checksum(b[:voteSlot-crc32.Size], crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(b[voteSlot-crc32.Size:], sum)
	return b, nil
}

// decodeVote reads one slot; not ok if it was never written or torn.
func decodeVote(b []byte) (seq uint64, values map[string][]byte, ok bool) {
	body, sum := b[:voteSlot-crc32.Size], binary.BigEndian.Uint32(b[voteSlot-crc32.Size:])
	if string(b[:len(voteMagic)]) != voteMagic ||
		crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return 0, nil, false
	}
	body = body[len(voteMagic):]
	seq, body = binary.BigEndian.Uint64(body), body[8:]
	take := func() []byte { // what the checksum covers is well-formed
		n, w := binary.Uvarint(body)
		field := body[w : w+int(n)]
		body = body[w+int(n):]
		return field
	}
	n, w := binary.Uvarint(body)
	body = body[w:]
	values = make(map[string][]byte, n)
	for range n {
		k := string(take())
		values[k] = slices.Clone(take())
	}
	return seq, values, true
}
