package raft

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"time"
)

// Config says who a node is and where its log rests. Only NodeID, Dir and Log
// are required.
type Config struct {
	// NodeID names this node for ever: "<name>.<disk id>", at most 255 bytes. A
	// wiped disk must come back under another one, or votes are forgotten.
	NodeID string

	// Dir holds the log and the vote. Created if absent, 0700.
	Dir string

	// SnapshotDir is where snapshots of other nodes are received. It must be on
	// the file system of the state machine; whatever lies in it is removed at
	// start. Empty means the directory "received" in Dir.
	SnapshotDir string

	// Log receives what the node and the guest libraries have to say.
	Log *slog.Logger

	// Listener takes connections of other nodes; Close closes it. Nil means
	// that this node is alone.
	Listener net.Listener

	// Dial connects to another node. Required with a Listener.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	// Address is how other nodes dial this one: a name, resolved at each dial.
	// Empty means the listener's address, or NodeID when alone.
	Address string

	// Peers forward commands and questions to the node that leads. Nil means
	// that a node that does not lead refuses them.
	Peers Peers

	// LeaderWait bounds how long a command waits for somebody to lead; 0 means
	// 2 s. Reads wait for as long as their context says.
	LeaderWait time.Duration

	// Roster tells what the state machine knows of servers; with one, the node
	// that leads gives and takes votes by itself, as Voters says. Nil leaves
	// votes to Promote and Demote.
	Roster Roster
	Voters VoterRules

	// Witness is for a node that votes and rather does not lead: it waits twice
	// as long for a leader. What else there is to it the Roster says.
	Witness bool

	// Join keeps a node with an empty Dir from founding a cluster of one: it
	// waits until a leader adds it.
	Join bool

	// Full is the error of the state machine that says its disk is full. The
	// node then waits for room instead of stopping. Nil means there is none.
	Full error

	// SegmentSize is how many bytes the log sets aside at a time; 0 means
	// 64 MiB. The log takes about two of them, and more for what is not yet cut.
	SegmentSize int

	// CommandMax is the size in bytes of the largest command; 0 means 16 MiB.
	CommandMax int

	// SnapshotThreshold: so many entries after the last checkpoint that cut the
	// log, the next is due; 0 means 8192. SnapshotInterval: how often that is
	// looked at, staggered up to twice; 0 means 2 minutes. SnapshotBytes: after
	// so many bytes of entries it is due at once; 0 means four segments.
	SnapshotThreshold uint64
	SnapshotInterval  time.Duration
	SnapshotBytes     int64

	// TrailingLogs is how many entries stay for nodes that lag, which else need
	// a whole snapshot; 0 means 16384, or 128 on a node alone.
	TrailingLogs uint64

	// Election is how long a node does without a leader before it wants to lead;
	// 0 means 500 ms. Behind slow links it should be ten round trips at least. A
	// node alone never waits for it. See guestConfig for what follows from it.
	Election time.Duration
}

// withDefaults returns c with every zero value replaced.
func (c Config) withDefaults() Config {
	def(&c.SnapshotDir, filepath.Join(c.Dir, "received"))
	def(&c.SegmentSize, 64<<20)
	def(&c.CommandMax, 16<<20)
	def(&c.SnapshotThreshold, 8192)
	def(&c.SnapshotInterval, 2*time.Minute)
	def(&c.SnapshotBytes, 4*int64(c.SegmentSize))
	if c.Listener == nil {
		def(&c.TrailingLogs, 128) // for nobody; but an empty log is a case of its own
	}
	def(&c.TrailingLogs, 16384)
	def(&c.Election, 500*time.Millisecond)
	def(&c.LeaderWait, 2*time.Second)
	def(&c.Voters.Max, 5)
	def(&c.Voters.Stable, 10*time.Second)
	def(&c.Voters.Failed, 30*time.Second)
	if c.Address == "" && c.Listener != nil {
		c.Address = c.Listener.Addr().String()
	}
	def(&c.Address, c.NodeID)
	return c
}

// def gives *v the value it has when the user left it alone.
func def[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// validate refuses what no default can repair.
func (c Config) validate() error {
	switch {
	case c.NodeID == "" || len(c.NodeID) > 255:
		return errors.New("raft: NodeID must have 1 to 255 bytes")
	case c.Dir == "":
		return errors.New("raft: Dir is missing")
	case c.Log == nil:
		return errors.New("raft: Log is missing")
	case c.Listener != nil && c.Dial == nil:
		return errors.New("raft: a Listener needs a Dial")
	}
	return nil
}
