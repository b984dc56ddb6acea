package raft

import "io"

// A StateMachine is what a node feeds. Apply, Checkpoint and Install are never
// called concurrently with Apply or Install, except that Checkpoint without a
// position may run beside Apply.
type StateMachine interface {
	// Apply applies commands in order, in one transaction that also stores
	// position, and returns one result per command. indexes rise, and lie above
	// every index given before. It need not be durable. It must depend on
	// nothing but the state and the commands. The slices are the caller's again
	// when it returns. An error means that nothing was applied; if it is the
	// error Config.Full names, the node offers the same entries again, on any
	// other it stops.
	Apply(indexes []uint64, commands [][]byte, position []byte) (results [][]byte, err error)

	// Position returns the index and position stored last, durable or not; nil
	// if nothing was ever stored.
	Position() (index uint64, position []byte)

	// Durable returns the index and position of the last checkpoint: what a
	// power loss leaves. When a node starts, it equals Position.
	Durable() (index uint64, position []byte)

	// Checkpoint makes everything applied durable. A position that is not nil
	// is stored first, as index: entries that are no commands move the log on
	// without an Apply. With a nil position, index says nothing.
	Checkpoint(index uint64, position []byte) error

	// Snapshot opens one consistent copy, with the position stored in it.
	Snapshot() (*Snapshot, error)

	// Install replaces the whole state by the copy in the file at path, which
	// another node's Snapshot wrote. The file is synced; it lies in
	// Config.SnapshotDir, and Install takes it away from there. Install is
	// atomic and durable when it returns; reads may go on meanwhile.
	Install(path string) error
}

// A Snapshot is a copy of a state machine at one index.
type Snapshot struct {
	Index    uint64
	Position []byte
	Size     int64 // bytes that WriteTo will write
	io.WriterTo
	io.Closer
}
