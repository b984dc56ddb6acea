package meta

import (
	"context"
	"fmt"
	"math"
)

// putNode is the command behind [Store.PutNode].
type putNode struct {
	stamp
	Server   string   `cbor:"4,keyasint"`
	Name     string   `cbor:"5,keyasint"`
	Zone     string   `cbor:"6,keyasint,omitempty"`
	Address  string   `cbor:"7,keyasint,omitempty"`
	Role     NodeRole `cbor:"8,keyasint"`
	Version  string   `cbor:"9,keyasint,omitempty"`
	Level    uint16   `cbor:"10,keyasint"`
	Capacity int64    `cbor:"11,keyasint,omitempty"`
}

type putNodeReply struct {
	ID NodeID `cbor:"1,keyasint"`
}

// PutNode registers a node, or brings what is known of it up to date, and
// returns its id. Nodes are told apart by Server; ID, State and Joined are the
// store's to say. A Role left empty is [RoleFull], a Level of 0 this program's.
// What is known already costs no entry in the log.
//
// The first to register must be the node that the database was begun on: it
// gets [FirstNode], which the blobs that are there name as their holder.
//
// [ErrNode] for a node that was removed: it joins again with an empty disk, as
// another one. [ErrLevel] for a program older than commands already in use.
// [ErrConflict] when there are too many nodes, [ErrName] for what is too long.
func (s *Store) PutNode(ctx context.Context, n Node, actor string) (NodeID, error) {
	if n.Role == "" {
		n.Role = RoleFull
	}
	if n.Level == 0 {
		n.Level = Level
	}
	if old, err := s.Node(n.Server); err == nil && !old.Gone() {
		n.ID, n.State, n.Joined = old.ID, old.State, old.Joined
		if n == old {
			return old.ID, nil
		}
	}
	c := putNode{s.stamp(actor), n.Server, n.Name, n.Zone, n.Address, n.Role, n.Version, n.Level, n.Capacity}
	var reply putNodeReply
	if err := s.propose(ctx, typePutNode, c, &reply); err != nil {
		return 0, fmt.Errorf("put node %.255q: %w", n.Server, err)
	}
	return reply.ID, nil
}

func (cmd putNode) valid() bool {
	return within(cmd.Server, 1, serverMax) && within(cmd.Name, 1, nodeTextMax) && within(cmd.Zone, 0, nodeTextMax) &&
		within(cmd.Address, 0, serverMax) && within(cmd.Version, 0, nodeTextMax) && cmd.Capacity >= 0 &&
		(cmd.Role == RoleFull || cmd.Role == RoleWitness)
}

func (c *change) putNode(cmd putNode) (any, error) {
	if !cmd.valid() {
		return nil, ErrName
	}
	cl, err := c.cluster()
	if err != nil {
		return nil, err
	}
	if cmd.Level < max(cl.level, levelOf(typePutNode)) {
		return nil, ErrLevel
	}
	rec := nodeRecord{
		Server: cmd.Server, Name: cmd.Name, Zone: cmd.Zone, Address: cmd.Address, Role: cmd.Role, State: NodeActive,
		Version: cmd.Version, Level: cmd.Level, Capacity: cmd.Capacity, Joined: c.now,
	}
	all, err := readNodes(c.tx)
	if err != nil {
		return nil, err
	}
	for _, old := range all {
		if old.Server != cmd.Server {
			continue
		}
		if old.Gone() {
			return nil, ErrNode
		}
		rec.State, rec.Joined = old.State, old.Joined.UnixMilli()
		return putNodeReply{old.ID}, c.writeNode(old.ID, rec)
	}
	if len(all)-int(cl.gone) >= nodesMax || cl.last == math.MaxUint16 {
		return nil, ErrConflict
	}
	cl.last++
	if err := c.putCluster(cl); err != nil {
		return nil, err
	}
	return putNodeReply{cl.last}, c.writeNode(cl.last, rec)
}

func (c *change) writeNode(n NodeID, rec nodeRecord) error {
	return bucket(c.tx, bucketNodes).Put(keyNode(n), encode(rec))
}

// setNodeState is the command behind [Store.SetNodeState].
type setNodeState struct {
	stamp
	Node  NodeID    `cbor:"4,keyasint"`
	State NodeState `cbor:"5,keyasint"`
}

// SetNodeState says what may be expected of a node. One that is gone holds no
// blob from then on, however many records still name it: they are rewritten as
// they come along. There is no way back from [NodeGone].
//
// [ErrNode] for a node that is not there or gone, [ErrConflict] when no node
// would be left.
func (s *Store) SetNodeState(ctx context.Context, n NodeID, state NodeState, actor string) error {
	c := setNodeState{s.stamp(actor), n, state}
	if err := s.propose(ctx, typeSetNodeState, c, nil); err != nil {
		return fmt.Errorf("set state of node %d: %w", n, err)
	}
	return nil
}

func (c *change) setNodeState(cmd setNodeState) (any, error) {
	if !cmd.State.valid() {
		return nil, ErrName
	}
	rec, found, err := getNode(c.tx, cmd.Node)
	if err != nil {
		return nil, err
	}
	if !found || rec.State == NodeGone {
		return nil, ErrNode
	}
	if cmd.State == NodeGone {
		cl, err := c.cluster()
		if err != nil {
			return nil, err
		}
		if cl.last-cl.gone == 1 {
			return nil, ErrConflict
		}
		cl.gone++
		if err := c.putCluster(cl); err != nil {
			return nil, err
		}
	}
	rec.State = cmd.State
	return nil, c.writeNode(cmd.Node, rec)
}
