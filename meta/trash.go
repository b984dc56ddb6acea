package meta

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
)

// A TrashItem is a blob whose bytes a node may unlink: when it was condemned
// nothing referred to it (I3). The same digest may have been linked again since,
// under a new id, and the node may hold that: ask [DB.HeldBy] before unlinking,
// under the lock that keeps the digest from being published meanwhile. Where all
// nodes share one store of bytes ask [DB.Known] instead.
type TrashItem struct {
	ID     uint64
	Digest digest.Digest
	Size   int64
}

type trashRecord struct {
	Digest  []byte   `cbor:"1,keyasint"`
	Size    int64    `cbor:"2,keyasint"`
	Holders []NodeID `cbor:"3,keyasint,omitempty"` // who has not swept it yet, ascending; none: the first node
}

// holders says who has not swept the item yet.
func (r trashRecord) holders() []NodeID {
	if len(r.Holders) == 0 {
		return []NodeID{FirstNode}
	}
	return r.Holders
}

func decodeTrash(k, v []byte) (i id, rec trashRecord, err error) {
	i, ok := parseID(k)
	if err := decode(v, &rec); err != nil || !ok {
		return 0, rec, fmt.Errorf("trash item %x: %w", k, ErrCorrupt)
	}
	return i, rec, nil
}

// Trash lists condemned blobs that node n held and has not swept, with ids above
// after, in the order of their ids, at most limit. They wait for the node as long
// as it takes, or until it is gone (I4).
//
// A node that comes up must know what it said before it went down, so that it
// does not take for trash what it linked last: it asks for a confirmed read first.
func (db *DB) Trash(n NodeID, after uint64, limit int) (items []TrashItem, err error) {
	err = db.view(func(tx *txn) error {
		var m members
		if ok, err := m.alive(tx, n); err != nil || !ok {
			return err
		}
		for k, v := range following(bucket(tx, bucketTrash), nil, keyID(id(after))) {
			if len(items) >= limit {
				return nil
			}
			i, rec, err := decodeTrash(k, v)
			if err != nil {
				return err
			}
			if slices.Contains(rec.holders(), n) {
				items = append(items, TrashItem{uint64(i), unpackDigest(rec.Digest), rec.Size})
			}
		}
		return nil
	})
	return items, err
}

// discard makes a blob trash of its holders. Committed, this entry is what allows
// the bytes to be unlinked; without it they stay (I3). Where the first node alone
// held them the entry names nobody, as all did before there were more nodes.
func (c *change) discard(i id, packed []byte, size int64, holders []NodeID) error {
	switch {
	case len(holders) == 0: // lost, and nobody has anything to unlink
		return nil
	case len(holders) == 1 && holders[0] == FirstNode:
		holders = nil
	}
	return bucket(c.tx, bucketTrash).Put(keyID(i), encode(trashRecord{packed, size, holders}))
}

// swept is what the first node says, and said before there were more.
type swept struct {
	stamp
	IDs []uint64 `cbor:"4,keyasint"`
}

// sweptBy is what every other node says, and what is said for those that are
// gone. Both are the commands behind [Store.Swept].
type sweptBy struct {
	stamp
	IDs  []uint64 `cbor:"4,keyasint"`
	Node NodeID   `cbor:"5,keyasint"`
}

// Swept tells that the bytes of these trash items are gone from node n, or are
// those of a blob that is known again. The items go when no node is left that
// has them. Ids that are no trash are nothing to it.
func (s *Store) Swept(ctx context.Context, n NodeID, ids []uint64) error {
	for chunk := range slices.Chunk(ids, batch) {
		var err error
		if n == FirstNode {
			err = s.propose(ctx, typeSwept, swept{s.stamp(""), chunk}, nil)
		} else {
			err = s.propose(ctx, typeSweptBy, sweptBy{s.stamp(""), chunk, n}, nil)
		}
		if err != nil {
			return fmt.Errorf("empty trash: %w", err)
		}
	}
	return nil
}

func (c *change) swept(cmd swept) (any, error) { return nil, c.sweep(FirstNode, cmd.IDs) }

func (c *change) sweptBy(cmd sweptBy) (any, error) { return nil, c.sweep(cmd.Node, cmd.IDs) }

// sweep takes n, and all nodes that are gone, out of trash items.
func (c *change) sweep(n NodeID, ids []uint64) error {
	if len(ids) > batchMax {
		return ErrName
	}
	trash := bucket(c.tx, bucketTrash)
	for _, i := range ids {
		key := keyID(id(i))
		v := trash.Get(key)
		if v == nil {
			continue
		}
		_, rec, err := decodeTrash(key, v)
		if err != nil {
			return err
		}
		left, err := c.members.living(c.tx, without(rec.holders(), n))
		if err != nil {
			return err
		}
		if len(left) == 0 {
			err = trash.Delete(key)
		} else if len(left) < len(rec.holders()) {
			err = c.discard(id(i), rec.Digest, rec.Size, left)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
