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

// readCommits reads a segment through. It is clean if zeros follow the last
// commit; what a crash may have left still further behind shows when the log
// gets there, by a checksum that is of something else. A commit with a wrong
// checksum is the trace of an append that a crash interrupted, unless a good one
// follows: then acknowledged entries are damaged, and that is an error.
func readCommits(f *os.File, base uint64) (commits []commit, clean bool, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, false, err
	}
	r := frames{r: bufio.NewReaderSize(f, 1<<18), sum: crc32.New(crc32.MakeTable(crc32.Castagnoli))}
	if !r.skip(segmentHeader) {
		return nil, r.zero, r.err
	}
	last, sealed, torn, open := base-1, uint64(0), false, false
	for {
		kind, value, ok := r.next()
		if !ok {
			return commits, r.zero && !torn && !open, r.err
		}
		open = kind != segment.FrameCommit
		switch kind {
		case segment.FrameEntry:
			last++
		case segment.FrameIndex:
			sealed = uint64(r.at) - uint64(pad(value))
		case segment.FrameCommit:
			good := value == r.commitSum
			if good && torn {
				return nil, false, fmt.Errorf("%w: an entry before %d is not as it was written", ErrDamaged, last)
			}
			torn = !good
			if good {
				commits = append(commits, commit{end: r.at, last: last, sealed: sealed})
			}
		}
	}
}

// frames reads frame after frame, and sums up what an append consists of.
type frames struct {
	r         *bufio.Reader
	sum       hash.Hash32 // since the last commit
	commitSum uint32      // what the commit frame just read should say
	at        int64       // offset
	zero      bool        // no frame, but zeros, or the end of the file
	err       error
}

// next reads a frame, and returns its type with its length or checksum.
func (f *frames) next() (kind uint8, value uint32, ok bool) {
	head, err := f.r.Peek(frameHead)
	if errors.Is(err, io.EOF) {
		f.zero = allZero(head)
		return 0, 0, false
	}
	if err != nil {
		f.err = err
		return 0, 0, false
	}
	kind, value = head[0], binary.LittleEndian.Uint32(head[4:])
	switch kind {
	case segment.FrameInvalid:
		f.zero = allZero(head)
		return 0, 0, false
	case segment.FrameEntry, segment.FrameIndex:
		return kind, value, f.skip(frameHead + int64(pad(value)))
	case segment.FrameCommit:
		f.commitSum = f.sum.Sum32()
		ok := f.skip(frameHead)
		f.sum.Reset()
		return kind, value, ok
	}
	return 0, 0, false
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
