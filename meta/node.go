package meta

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// A NodeID names a node in holder lists. Ids are dense, given out in the order in
// which nodes register, from 1, and never used again.
type NodeID uint16

// FirstNode is the id of the node that a database was begun on. Until that node
// registers it is the only one there is, and records that name no node mean it.
const FirstNode NodeID = 1

// Limits of nodes, in bytes and in number.
const (
	serverMax   = 512 // of a server's id, and of an address
	nodeTextMax = 255 // of name, zone and version
	nodesMax    = 256 // not gone; a list of holders is never longer
)

// A NodeRole says what a node is for.
type NodeRole string

// The roles of nodes.
const (
	RoleFull    NodeRole = "full"    // votes, serves, and keeps blobs
	RoleWitness NodeRole = "witness" // votes, and keeps no blobs
)

// A NodeState says what may be expected of a node. Whether it answers is not known here.
type NodeState string

// The states of nodes.
const (
	NodeActive   NodeState = "active"
	NodeDraining NodeState = "draining" // its blobs count, but are to be had elsewhere before it goes
	NodeGone     NodeState = "gone"     // for good: it holds nothing from then on, and does not come back
)

func (s NodeState) valid() bool { return s == NodeActive || s == NodeDraining || s == NodeGone }

// A Node is a member of the cluster, or was one.
type Node struct {
	ID       NodeID // given by the store
	Server   string // its id in the agreement: name and disk
	Name     string // host name
	Zone     string // "" for none
	Address  string // host:port that others dial; resolved at every dial
	Role     NodeRole
	State    NodeState // changed by [Store.SetNodeState] alone
	Version  string    // of its program
	Level    uint16    // what commands its program knows: its [Level]
	Capacity int64     // bytes that its disk has for blobs
	Joined   time.Time // given by the store
}

// Gone says whether the node was removed for good.
func (n Node) Gone() bool { return n.State == NodeGone }

type nodeRecord struct {
	Server   string    `cbor:"1,keyasint"`
	Name     string    `cbor:"2,keyasint"`
	Zone     string    `cbor:"3,keyasint,omitempty"`
	Address  string    `cbor:"4,keyasint,omitempty"`
	Role     NodeRole  `cbor:"5,keyasint"`
	State    NodeState `cbor:"6,keyasint"`
	Version  string    `cbor:"7,keyasint,omitempty"`
	Level    uint16    `cbor:"8,keyasint"`
	Capacity int64     `cbor:"9,keyasint,omitempty"`
	Joined   int64     `cbor:"10,keyasint"`
}

func (r nodeRecord) node(n NodeID) Node {
	return Node{
		ID: n, Server: r.Server, Name: r.Name, Zone: r.Zone, Address: r.Address, Role: r.Role, State: r.State,
		Version: r.Version, Level: r.Level, Capacity: r.Capacity, Joined: time.UnixMilli(r.Joined),
	}
}

func keyNode(n NodeID) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }

func parseNode(b []byte) (NodeID, bool) {
	if len(b) != 2 {
		return 0, false
	}
	return NodeID(binary.BigEndian.Uint16(b)), true
}

// getNode returns the record of a node that registered.
func getNode(tx *txn, n NodeID) (rec nodeRecord, found bool, err error) {
	v := bucket(tx, bucketNodes).Get(keyNode(n))
	if v == nil {
		return rec, false, nil
	}
	return rec, true, decode(v, &rec)
}

// Nodes lists all nodes that ever registered, gone ones too, by id. It is one
// atomic load: the list is kept between changes, and shared, so it must not be
// changed. A change is in it before the command that made it is answered.
func (db *DB) Nodes() []Node {
	if all := db.nodes.Load(); all != nil {
		return *all
	}
	return nil
}

// Node finds a node by its id in the agreement. [ErrNotFound].
func (db *DB) Node(server string) (Node, error) {
	all := db.Nodes()
	at := slices.IndexFunc(all, func(n Node) bool { return n.Server == server })
	if at < 0 {
		return Node{}, fmt.Errorf("node %.255q: %w", server, ErrNotFound)
	}
	return all[at], nil
}

// readNodes reads the list that [DB.Nodes] gives.
func readNodes(tx *txn) (all []Node, err error) {
	for k, v := range under(bucket(tx, bucketNodes), nil) {
		n, ok := parseNode(k)
		var rec nodeRecord
		if err := decode(v, &rec); err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("node %x: %w", k, ErrCorrupt)
		}
		all = append(all, rec.node(n))
	}
	return all, nil
}

// loadNodes reads the list of a database that becomes current.
func (h *handle) loadNodes() (all []Node, err error) {
	err = h.bolt.View(func(tx *bbolt.Tx) error {
		if tx.Bucket([]byte(bucketNodes.String())) == nil { // another state machine, in tests of the engine
			return nil
		}
		all, err = readNodes(&txn{Tx: tx})
		return err
	})
	return all, err
}

// changesNodes says whether a command is one of those that [DB.Nodes] shows.
func changesNodes(command []byte) bool {
	t, _, err := splitCommand(command)
	return err == nil && (t == typePutNode || t == typeSetNodeState)
}
