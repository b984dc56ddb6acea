// Package meta is what the registry knows: repositories, tags and their history, manifests with their
// content, which repository may read which blob and which nodes hold it, accounts, robots and what all of
// them may, configuration objects, secrets, the nodes of the cluster. It is a state machine: every node
// applies the same commands in the same order and holds the same answer.
//
// # Types
//
// A [DB] is the state on this node's disk. It answers every read locally, in one read transaction, and
// applies what the log has agreed upon ([DB.Apply]); it cannot decide anything itself. A [Store] adds
// the writes: each method turns into one command, which a [Proposer] gets agreed and applied, on every
// node or, with one node, on this one. A [Snapshot] is the DB at one index, to be read or shipped.
//
//	handler ──▶ Store.PutManifest ──▶ Proposer (log, majority) ──▶ DB.Apply ──▶ result
//	handler ──▶ DB.TagManifest ──▶ one read transaction
//
// # On the disk
//
// The log is what is durable. The database is bbolt that does not sync its commits, and would be lost
// in most power cuts, but for this:
//
//   - A checkpoint, about one a second, commits the list of free pages, opens a read transaction on
//     that state (the pin), syncs the file, and saves the two meta pages that lead to the state, with
//     the file's name, in CURRENT, by rename. bbolt never writes a page that an open reader can reach,
//     so whatever is applied later, in whatever part it reaches the disk, the pages of the checkpoint
//     stay as they are. The pin of the one before goes when CURRENT is durable.
//   - Every start, after a crash or not, writes the meta pages of CURRENT back into the file, which
//     makes it the checkpoint again, and the log applies the rest a second time.
//
// So there is one way to start and it is always taken. Install, which replaces the whole state by a
// snapshot from another node, is one rename of CURRENT too. FORMAT.md has the layout, ADR 0003 the
// reasons and the numbers.
//
// # Caveats
//
// Dir must be a local file system whose fsync and rename keep their promise. A long [Snapshot] keeps
// every page it sees, so the file grows while it is open; a database file never shrinks. Memory handed
// out by bbolt dies with its transaction: whatever leaves this package is copied.
//
// A node is named in a holder list until it is gone for good, then it counts for nothing ([NodeGone]);
// whether it answers is not known here. Trash waits for each node that held it ([DB.Trash]).
//
// The package knows nothing of raft, of HTTP, of blobs' bytes or of time: commands carry theirs.
package meta
