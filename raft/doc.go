// Package raft agrees on commands: every node applies the same ones, in one
// order, and what was acknowledged survives.
//
// A [Node] keeps raft's log in a directory and feeds a [StateMachine], which
// it knows only as an interface. One node alone is a cluster of one voter: the
// same log, the same recovery, no network. The way of a command:
//
//	Propose(command)
//	   │  refused at once when the disk is full or the state machine stopped
//	   ▼
//	raft (leader)        batches what is waiting
//	   │
//	   ▼
//	logStore.StoreLogs   raft-wal: one append, one fsync ── durable here
//	   │
//	   ▼                 (with more voters: the same on a majority)
//	committed
//	   │
//	   ▼
//	machine.ApplyBatch   StateMachine.Apply: one transaction for the batch, which
//	   │                 also stores the position (index, term, configuration)
//	   ▼
//	Propose returns what Apply answered
//
// The state machine does not sync its transactions: the log is the durable
// thing. Now and then the state machine makes a checkpoint; at every start it
// stands at its last one, and what follows in the log is applied again, from
// exactly the next entry, so that each command takes effect once. With more voters,
// a node that meets none of them applies as much as it had before. A snapshot
// therefore is nothing but a checkpoint, and the log is cut only behind one.
//
// In Dir are the log's segments (*.wal), the list of them (wal-meta.db), the
// vote (vote), a note of what is agreed (agreed) and snapshots on their way in (received/). One process at a time
// may use it.
//
// With more voters, a node that does not lead forwards commands and questions
// through [Peers] to the one that does, and answers when its own state machine
// has caught up. Reads are confirmed, never leased:
//
//	ReadIndex ──▶ one question for all readers that wait ──▶ leader
//	                 commit index now; a majority that answers heartbeats sent
//	                 after that; still the same term ──▶ index
//	   wait until the state machine here reached index ◀──┘
//
// The package does not know what commands mean, opens no sockets (it is given
// a listener and a dial function) and reads no configuration files.
package raft
