package raft

import "context"

// A Server is a node as others know it.
type Server struct {
	ID      string // its Config.NodeID
	Address string // how others dial it: a name
}

// Peers take to another node what only the leader can answer. There, what
// arrives goes to ProposeHere and ReadIndexHere of the node, which never pass it
// on: there is one hop at most. Implementations are safe for concurrent use.
type Peers interface {
	// Propose has to.ID agree on a command, and returns what its ProposeHere
	// returned. An error is ErrNotSent if the other node certainly did not get
	// the command; the sentinels of ProposeHere survive the way. Any other error
	// leaves the fate of the command open.
	Propose(ctx context.Context, to Server, command []byte) (index uint64, answer []byte, err error)

	// ReadIndex returns what ReadIndexHere of to.ID returned. It must not return
	// an answer to an earlier question.
	ReadIndex(ctx context.Context, to Server) (index uint64, err error)
}
