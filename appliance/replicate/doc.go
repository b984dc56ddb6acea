// Package replicate keeps as many copies of each blob as the policy asks for, spread as
// it asks, and reads blobs that are on other nodes.
//
// Records in the metadata say which nodes hold a blob; they are the truth. [Wanted], a
// pure function of the digest and the nodes there are, says which should. Whatever
// differs is repaired, by one mechanism, the transfer: a node fetches what it should
// have from one that has it, compares it with its digest, makes it durable, and then
// records itself. Nobody sends what was not asked for.
//
//	push ─▶ Linked ─▶ hint to the nodes wanted ─▶ Hint ┐
//	PUT manifest ─▶ Wait ─▶ hint to whoever lacks it ──┤
//	nodes changed, now and then ─▶ scan ───────────────┤
//	client ─▶ Store.Open ──────────────────────────────┴▶ transfer ─▶ AddHolder
//	                                      readers follow it ◀┘
//
// A [Replicator] does this for one node. [Replicator.Wait] is the barrier before a
// manifest (I1). [Replicator.Store] is what a registry serves blobs from: it reads
// through to other nodes, and any number of readers of a blob share one transfer.
//
// A transfer may get its bytes from several nodes, one after the other. Readers get
// them before the hash is known, apart from the last 64 KiB: wrong bytes break the
// connection, are neither kept nor recorded, and the node that sent them is avoided.
//
// Copies that nobody needs are dropped after a while by a command that is checked where
// it is applied, so that however many nodes drop at once, enough stay. A node that is
// draining drops each copy as soon as others have enough.
//
// The package does not know how nodes talk ([Peers]) nor how they are ([Condition]). A
// node alone does nothing: no entry in the log, no timer, no goroutine that wakes up.
//
// The decisions behind it are in appliance/doc/adr/0023-place-copies-and-wait-for-them.md.
package replicate
