package meta

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
)

// hold makes n a holder, and forgets those that are gone: so a list never has
// more names than there are nodes.
func (c *change) hold(rec *blobRecord, n NodeID) error {
	living, err := c.members.living(c.tx, rec.holders)
	rec.holders = with(living, n)
	return err
}

// addHolder is the command behind [Store.AddHolder].
type addHolder struct {
	stamp
	Node    NodeID   `cbor:"4,keyasint"`
	Digests [][]byte `cbor:"5,keyasint"`
}

type addHolderReply struct {
	Unknown [][]byte `cbor:"1,keyasint,omitempty"`
}

// AddHolder records that node n durably holds these blobs. Bytes and names must
// be synced before, and be kept from a sweep until it returns: what is trash
// there may be unlinked as long as the node is no holder.
//
// An [UnknownError] names those that are not known (any more): they were not
// recorded, and their bytes are to be dropped (I4). All others were. [ErrNode]
// for a node that is not there or gone.
func (s *Store) AddHolder(ctx context.Context, n NodeID, ds []digest.Digest) error {
	packed, err := packDigests(ds)
	if err != nil {
		return err
	}
	var unknown []digest.Digest
	for chunk := range slices.Chunk(packed, batch) {
		var reply addHolderReply
		if err := s.propose(ctx, typeAddHolder, addHolder{s.stamp(""), n, chunk}, &reply); err != nil {
			return fmt.Errorf("add node %d to the holders of %d blobs: %w", n, len(ds), err)
		}
		unknown = append(unknown, unpackDigests(reply.Unknown)...)
	}
	if unknown != nil {
		return fmt.Errorf("add node %d to the holders of %d blobs: %w", n, len(ds), &UnknownError{unknown})
	}
	return nil
}

func (c *change) addHolder(cmd addHolder) (any, error) {
	if !validBatch(cmd.Digests) {
		return nil, ErrName
	}
	if ok, err := c.members.alive(c.tx, cmd.Node); err != nil {
		return nil, err
	} else if !ok {
		return nil, ErrNode
	}
	var reply addHolderReply
	for _, packed := range cmd.Digests {
		i, known := findID(c.tx, kindBlob, packed)
		if !known {
			reply.Unknown = append(reply.Unknown, packed)
			continue
		}
		rec, err := getBlob(c.tx, i)
		if err != nil {
			return nil, err
		}
		if slices.Contains(rec.holders, cmd.Node) {
			continue
		}
		if err := c.hold(&rec, cmd.Node); err != nil {
			return nil, err
		}
		if err := c.putBlob(i, rec); err != nil {
			return nil, err
		}
	}
	return reply, nil
}

// validBatch says whether ds are digests, and not too many.
func validBatch(ds [][]byte) bool {
	return len(ds) <= batchMax && !slices.ContainsFunc(ds, func(d []byte) bool { return !validPacked(d) })
}

// A DropRule says when a node may cease to be a holder: [Lost] or [Surplus].
type DropRule interface{ surplus() *Surplus }

// Lost drops unconditionally: the bytes are not there.
type Lost struct{}

// Surplus drops a blob only while enough others hold it: this many nodes, in
// this many zones. Those count that are active and no witnesses; nodes without a
// zone are all in one. It is decided where the command is applied, so however
// many drop at once, so many stay.
type Surplus struct {
	Copies int `cbor:"1,keyasint"` // at least 1
	Zones  int `cbor:"2,keyasint,omitempty"`
}

func (Lost) surplus() *Surplus      { return nil }
func (r Surplus) surplus() *Surplus { return &r }

// dropHolder is the command behind [Store.DropHolder].
type dropHolder struct {
	stamp
	Node    NodeID   `cbor:"4,keyasint"`
	Digests [][]byte `cbor:"5,keyasint"`
	Surplus *Surplus `cbor:"6,keyasint,omitempty"` // nil: lost
}

type dropHolderReply struct {
	Refused [][]byte `cbor:"1,keyasint,omitempty"`
}

// DropHolder records that node n ceases to hold these blobs, and returns those
// that it is no holder of from then on: only now may their bytes be unlinked,
// and only if [DB.HeldBy] still says so with the blob locked. Those left out
// were refused by the rule. What n did not hold, and what nobody knows, is
// dropped: so the same may be asked for again.
func (s *Store) DropHolder(
	ctx context.Context, n NodeID, ds []digest.Digest, rule DropRule,
) (dropped []digest.Digest, err error) {
	packed, err := packDigests(ds)
	if err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(packed, batch) {
		var reply dropHolderReply
		c := dropHolder{s.stamp(""), n, chunk, rule.surplus()}
		if err := s.propose(ctx, typeDropHolder, c, &reply); err != nil {
			return dropped, fmt.Errorf("drop node %d from the holders of %d blobs: %w", n, len(ds), err)
		}
		refused := map[string]bool{}
		for _, d := range reply.Refused {
			refused[string(d)] = true
		}
		for _, d := range chunk {
			if !refused[string(d)] {
				dropped = append(dropped, unpackDigest(d))
			}
		}
	}
	return dropped, nil
}

func (c *change) dropHolder(cmd dropHolder) (any, error) {
	if r := cmd.Surplus; !validBatch(cmd.Digests) || r != nil && (r.Copies < 1 || r.Zones < 0) {
		return nil, ErrName
	}
	var reply dropHolderReply
	for _, packed := range cmd.Digests {
		i, known := findID(c.tx, kindBlob, packed)
		if !known {
			continue
		}
		rec, err := getBlob(c.tx, i)
		if err != nil {
			return nil, err
		}
		if rec.holders, err = c.members.living(c.tx, rec.holders); err != nil {
			return nil, err
		}
		if !slices.Contains(rec.holders, cmd.Node) {
			continue
		}
		rec.holders = without(rec.holders, cmd.Node)
		enough, err := c.enough(rec.holders, cmd.Surplus)
		if err != nil {
			return nil, err
		}
		if !enough {
			reply.Refused = append(reply.Refused, packed)
			continue
		}
		if err := c.putBlob(i, rec); err != nil {
			return nil, err
		}
	}
	return reply, nil
}

// enough says whether these holders are as many as the rule asks for, in as many zones.
func (c *change) enough(holders []NodeID, rule *Surplus) (bool, error) {
	if rule == nil {
		return true, nil
	}
	copies, zones := 0, map[string]bool{}
	for _, n := range holders {
		rec, err := c.members.node(c.tx, n)
		if err != nil {
			return false, err
		}
		if rec.State == NodeActive && rec.Role == RoleFull {
			copies++
			zones[rec.Zone] = true
		}
	}
	return copies >= rule.Copies && len(zones) >= rule.Zones, nil
}
