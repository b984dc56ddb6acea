// Package peer is what the nodes of a cluster say to each other beside raft:
// HTTP/1.1 over connections that show who is at the other end.
//
// [Handler] answers, on connections that tell of themselves by a method Peer()
// (those of tls.Peers), behind [Server], which has the limits. [Client] asks.
//
//	POST  /peer/v1/commands         a command for the leader; its index and answer
//	POST  /peer/v1/read-index       the leader's read index
//	GET   /peer/v1/status           how the node is
//	GET   /peer/v1/blobs/{digest}   bytes, also of a range; HEAD
//	POST  /peer/v1/want             digests that the node should fetch now
//	POST  /peer/v1/renew            renew what clients were told of: garbage is collected
//	POST  /peer/v1/sweep            garbage was collected
//	ANY   /peer/v1/public/…         a client's request, for the node it concerns
//	POST  /peer/v1/join             who joins: by skerry-join/1, and on from there
//
// Who asks is a member, by the certificate of its connection and by
// Config.Member; a node that joins is none yet, can ask for nothing else, and
// has a [Token].
//
// Errors keep their identity on the way: both sides have the same table of
// [Sentinel], and an error that is one of them there, by errors.Is, is the same
// one here, in a [RemoteError] that names the node. Of those without an answer,
// [ErrNotSent] says that the other node certainly did not act; of all others
// nothing is known.
//
// Bodies that should be small are bounded; those that may be large have to go
// on: whoever takes or brings nothing for half a minute is cut off.
//
// The package knows neither raft nor meta nor tls: what it needs of them stands
// in its interfaces, with plain arguments.
package peer
