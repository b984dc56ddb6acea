package raft

import (
	"encoding/binary"
	"fmt"

	hraft "github.com/hashicorp/raft"
)

// positionVersion is the first byte of an encoded position.
const positionVersion = 1

// A position is where a state machine stands in the log, with what raft must
// know to go on from there without the entries before.
//
// Encoded: the version byte 1, then as unsigned varints index, term and the
// index of the configuration, then the configuration in raft's own encoding.
type position struct {
	index, term uint64
	confIndex   uint64
	conf        hraft.Configuration
}

func (p position) encode() []byte {
	conf := hraft.EncodeConfiguration(p.conf)
	b := make([]byte, 1, 1+3*binary.MaxVarintLen64+len(conf))
	b[0] = positionVersion
	b = binary.AppendUvarint(b, p.index)
	b = binary.AppendUvarint(b, p.term)
	b = binary.AppendUvarint(b, p.confIndex)
	return append(b, conf...)
}

func decodePosition(b []byte) (p position, err error) {
	if len(b) == 0 || b[0] != positionVersion {
		return position{}, fmt.Errorf("%w: position of an unknown version", ErrMismatch)
	}
	b = b[1:]
	for _, field := range []*uint64{&p.index, &p.term, &p.confIndex} {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return position{}, fmt.Errorf("%w: position is cut short", ErrMismatch)
		}
		*field, b = v, b[n:]
	}
	// The guest panics at what it cannot decode.
	defer func() {
		if r := recover(); r != nil {
			p, err = position{}, fmt.Errorf("%w: decode configuration: %v", ErrMismatch, r)
		}
	}()
	p.conf = hraft.DecodeConfiguration(b)
	return p, nil
}

// snapshotMeta says the same in the guest's words.
func (p position) snapshotMeta(id string, size int64) *hraft.SnapshotMeta {
	return &hraft.SnapshotMeta{
		Version:            hraft.SnapshotVersionMax,
		ID:                 id,
		Index:              p.index,
		Term:               p.term,
		Configuration:      p.conf,
		ConfigurationIndex: p.confIndex,
		Size:               size,
	}
}

// soleVoter reports whether id alone decides in this configuration.
func soleVoter(c hraft.Configuration, id string) bool {
	voters, mine := 0, false
	for _, s := range c.Servers {
		if s.Suffrage == hraft.Voter {
			voters++
			mine = mine || s.ID == hraft.ServerID(id)
		}
	}
	return voters == 1 && mine
}
