package raft

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// The guest's segment files, as its own documentation draws them: a header, and
// then frames, each with a head of 8 bytes (type, three unused, length or
// checksum) and padded to a multiple of that. An append is entry frames, at the
// end of a full segment the index frame, and a commit frame with the checksum
// of all that, from the end of the commit before.
const (
	segmentHeader = 32
	frameHead     = 8
)

// A commit is an append that reached the disk.
type commit struct {
	end    int64  // offset behind its frame
	last   uint64 // index of the last entry up to here; one less than the first without any
	sealed uint64 // offset of the index, if this append sealed the segment
}

// repairTail makes the last segment such that the guest can go on with it. The
// guest itself does not get over two things that a crash leaves, or a disk that
// was full: a segment that was sealed but not yet followed by another, which it
// finds closed for ever; and the remains of an append that failed, which it may
// later take for an index or for entries. So the remains are cut off, and a
// sealed segment gets its successor. Appends behind the entry upTo count as
// remains. A crash in here leaves what it found, or what it made of it.
func repairTail(dir string, meta types.MetaStore, upTo uint64) error {
	state, err := meta.Load(dir)
	if err != nil || len(state.Segments) == 0 {
		return err
	}
	tail := &state.Segments[len(state.Segments)-1]
	if !tail.SealTime.IsZero() {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(dir, segment.FileName(*tail)), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // announced, not yet created: the guest does that
	}
	if err != nil {
		return err
	}
	good, err := cutTail(f, tail, upTo)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("segment %s: %w", segment.FileName(*tail), err)
	}
	if good.sealed == 0 {
		return nil
	}
	next := types.SegmentInfo{
		ID: state.NextSegmentID, BaseIndex: good.last + 1, MinIndex: good.last + 1,
		Codec: tail.Codec, CreateTime: time.Now(), SizeLimit: tail.SizeLimit,
	}
	tail.SealTime, tail.MaxIndex, tail.IndexStart = time.Now(), good.last, good.sealed
	state.NextSegmentID++
	state.Segments = append(state.Segments, next)
	return meta.CommitState(state)
}

// cutTail removes what lies behind the last good commit, and returns that.
func cutTail(f *os.File, info *types.SegmentInfo, upTo uint64) (commit, error) {
	commits, clean, err := readCommits(f, info.BaseIndex)
	if err != nil {
		return commit{}, err
	}
	good := commit{last: info.BaseIndex - 1}
	for _, c := range commits {
		if c.last > upTo {
			clean = false
			break
		}
		good = c
	}
	if clean {
		return good, nil
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return good, err
	}
	if err := f.Truncate(good.end); err != nil {
		return good, err
	}
	_ = allocate(f, size) // best effort: see segments
	return good, f.Sync()
}

// readCommits reads a segment through, up to the first append that is not as it
// was written. It is clean if there is none, but zeros; what a crash may have
// left still further behind shows when the log gets there, by a checksum that is
// of something else.
func readCommits(f *os.File, base uint64) (commits []commit, clean bool, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, false, err
	}
	r := frames{r: bufio.NewReaderSize(f, 1<<18), sum: crc32.New(castagnoli())}
	r.skip(segmentHeader)
	good := commit{last: base - 1}
	for next := good; ; {
		kind, value, ok := r.next()
		switch {
		case r.err != nil:
			return commits, false, r.err
		case !ok && r.zero && r.since == 0:
			return commits, true, refuseDamage(f, good, zeroLook)
		case !ok || kind == segment.FrameCommit && value != r.commitSum:
			return commits, false, refuseDamage(f, good, math.MaxInt64)
		case kind == segment.FrameEntry:
			next.last++
		case kind == segment.FrameIndex:
			next.sealed = uint64(r.at) - uint64(pad(value))
		case kind == segment.FrameCommit:
			next.end = r.at
			good, commits = next, append(commits, next)
		}
	}
}

// zeroLook is how far behind the end of a log its continuation is looked for:
// what a disk forgets is blocks.
const zeroLook = 1 << 20

// refuseDamage tells an append that was interrupted, or the end, from entries
// that were acknowledged and are damaged: behind those, other appends are whole.
func refuseDamage(f *os.File, good commit, look int64) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	b := make([]byte, max(0, min(look, st.Size()-good.end)))
	if _, err := f.ReadAt(b, good.end); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for i := frameHead; i+frameHead <= len(b); i += frameHead {
		if b[i] == segment.FrameEntry && wholeAppend(b[i:]) {
			return fmt.Errorf("%w: what follows entry %d is not as it was written", ErrDamaged, good.last)
		}
	}
	return nil
}

// wholeAppend reports whether b begins with an append whose checksum is right.
func wholeAppend(b []byte) bool {
	for at := 0; at+frameHead <= len(b); {
		kind, value, ok := parseHead(b[at:])
		switch {
		case !ok:
			return false
		case kind == segment.FrameCommit:
			return value == crc32.Checksum(b[:at], castagnoli())
		}
		at += frameHead + int(pad(value))
	}
	return false
}

// parseHead reads the head of a frame.
func parseHead(b []byte) (kind uint8, value uint32, ok bool) {
	kind, value = b[0], binary.LittleEndian.Uint32(b[4:])
	ok = kind >= segment.FrameEntry && kind <= segment.FrameCommit && allZero(b[1:4]) &&
		(kind == segment.FrameCommit || value <= segment.MaxEntrySize)
	return kind, value, ok
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// frames reads frame after frame, and sums up what an append consists of.
type frames struct {
	r         *bufio.Reader
	sum       hash.Hash32 // since the last commit
	since     int         // frames since the last commit
	commitSum uint32      // what the commit frame just read should say
	at        int64       // offset
	zero      bool        // no frame, but zeros, or the end of the file
	err       error
}

// next reads a frame, and returns its type with its length or checksum.
func (f *frames) next() (kind uint8, value uint32, ok bool) {
	head, err := f.r.Peek(frameHead)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
		return 0, 0, false
	}
	if f.zero = allZero(head); f.zero || len(head) < frameHead {
		return 0, 0, false
	}
	kind, value, ok = parseHead(head)
	if !ok {
		return 0, 0, false
	}
	if kind == segment.FrameCommit {
		f.commitSum, f.since = f.sum.Sum32(), 0
		ok = f.skip(frameHead)
		f.sum.Reset()
		return kind, value, ok
	}
	f.since++
	return kind, value, f.skip(frameHead + int64(pad(value)))
}

// skip goes n bytes on, summing them up.
func (f *frames) skip(n int64) bool {
	done, err := io.CopyN(f.sum, f.r, n)
	f.at += done
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return err == nil
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// pad is a length with its padding.
func pad(n uint32) uint32 { return (n + frameHead - 1) &^ (frameHead - 1) }

// allOf as upTo keeps every commit.
const allOf = uint64(math.MaxUint64)
