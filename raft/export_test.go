package raft

import (
	"context"
	"testing"

	hraft "github.com/hashicorp/raft"
)

// AtIndex is a position moved to another index.
func AtIndex(tb testing.TB, encoded []byte, index uint64) []byte {
	tb.Helper()
	p, err := decodePosition(encoded)
	if err != nil {
		tb.Fatal(err)
	}
	p.index = index
	return p.encode()
}

// WriteTerm writes a vote file that knows of term.
func WriteTerm(tb testing.TB, dir string, term uint64) {
	tb.Helper()
	v, err := openVote(dir)
	if err != nil {
		tb.Fatal(err)
	}
	if err := v.SetUint64(keyTerm(), term); err != nil {
		tb.Fatal(err)
	}
	if err := v.close(); err != nil {
		tb.Fatal(err)
	}
}

// ReadTerm reads the term of a vote file.
func ReadTerm(dir string) (uint64, error) {
	v, err := openVote(dir)
	if err != nil {
		return 0, err
	}
	return v.term(), v.close()
}

// AddVoter makes another node a member. Joining has no public face yet.
func (n *Node) AddVoter(_ context.Context, id, address string) error {
	return n.raft.AddVoter(hraft.ServerID(id), hraft.ServerAddress(address), 0, 0).Error()
}
