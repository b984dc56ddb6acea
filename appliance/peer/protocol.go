package peer

import (
	"context"
	"time"
)

// The protocols of connections, as Peer() of one names them.
const (
	protocolPeer = "skerry-peer/1"
	protocolJoin = "skerry-join/1"
)

// The paths.
const (
	pathCommands  = "/peer/v1/commands"
	pathReadIndex = "/peer/v1/read-index"
	pathStatus    = "/peer/v1/status"
	pathBlobs     = "/peer/v1/blobs/"
	pathWant      = "/peer/v1/want"
	pathRenew     = "/peer/v1/renew"
	pathSweep     = "/peer/v1/sweep"
	pathPublic    = "/peer/v1/public" // the original path follows
	pathJoin      = "/peer/v1/join"
)

// The headers of ours. All begin with headerOurs; none comes in from a client.
const (
	headerOurs   = "Skerry-"
	headerIndex  = "Skerry-Index"  // of a command, or to read at
	headerError  = "Skerry-Error"  // code of a Sentinel
	headerHop    = "Skerry-Hop"    // set: it was passed on already
	headerAsker  = "Skerry-Asker"  // base64 of who asked, in the appliance's words
	headerRemote = "Skerry-Remote" // the client's address
	headerProto  = "Skerry-Proto"  // http or https: how the client asks
)

// Limits. What waits longer than stallMax for a byte is given up.
const (
	stallMax       = 30 * time.Second
	callMax        = time.Minute // a call whose context has no end
	headerMax      = 64 << 10
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute // of the server; the client ends idle ones earlier
	clientIdle     = 90 * time.Second
	smallMax       = 64 << 10 // bodies of words
	messageMax     = 4 << 10  // of an error
	admissionMax   = 4 << 20  // the answer to who joins: members and keys
	commandMax     = 16 << 20 // unless configured
	wantMax        = 1000     // digests at once
	controlConns   = 32       // per node, for commands and questions
	bulkConns      = 64       // per node, for blobs and clients' requests
	idleConns      = 16
	joiningAtOnce  = 4
	refusedLogWait = 5 * time.Second
)

// A Node is who to talk to: its server id, which must be the one that answers,
// and its address, a name and a port.
type Node struct{ Server, Address string }

// A Status is what a node says of itself.
type Status struct {
	Server      string        `json:"server"`
	Leader      string        `json:"leader,omitempty"` // server id; "" when nobody leads
	Leading     bool          `json:"leading,omitempty"`
	Term        uint64        `json:"term"`
	LastIndex   uint64        `json:"lastIndex"`
	Applied     uint64        `json:"applied"`
	LastContact time.Duration `json:"lastContact"` // nanoseconds since the leader was heard; 0 if it leads
	Free        int64         `json:"free"`        // bytes for blobs
	Capacity    int64         `json:"capacity"`    // bytes
	Version     string        `json:"version"`
	Level       uint16        `json:"level"`
}

// An Asker is a client whose request another node passed on.
type Asker struct {
	Server   string // of the node that passed it on
	Identity []byte // as given to [Client.Forward]
	Remote   string // the client's address
	Proto    string // http or https
}

type askerKey struct{}

// AskerOf says whose request it is, if another node passed it on.
func AskerOf(ctx context.Context) (Asker, bool) {
	a, ok := ctx.Value(askerKey{}).(Asker)
	return a, ok
}

func withAsker(ctx context.Context, a Asker) context.Context {
	return context.WithValue(ctx, askerKey{}, a)
}
