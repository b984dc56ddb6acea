package meta

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// A TrashItem is a blob whose bytes this node may unlink: when it was condemned
// nothing referred to it (I3). The same digest may have been linked again since,
// under a new id: ask [DB.Known] before unlinking, under the lock that keeps the
// digest from being published meanwhile.
type TrashItem struct {
	ID     uint64
	Digest digest.Digest
	Size   int64
}

type trashRecord struct {
	Digest []byte `cbor:"1,keyasint"`
	Size   int64  `cbor:"2,keyasint"`
}

// Trash lists condemned blobs with ids above after, in the order of their ids,
// at most n.
func (db *DB) Trash(after uint64, n int) (items []TrashItem, err error) {
	err = db.view(func(tx *txn) error {
		for k, v := range following(bucket(tx, bucketTrash), nil, keyID(id(after))) {
			if len(items) >= n {
				return nil
			}
			i, ok := parseID(k)
			var rec trashRecord
			if err := decode(v, &rec); err != nil || !ok {
				return fmt.Errorf("trash item %x: %w", k, ErrCorrupt)
			}
			items = append(items, TrashItem{uint64(i), unpackDigest(rec.Digest), rec.Size})
		}
		return nil
	})
	return items, err
}

// swept is the command behind [Store.Swept].
type swept struct {
	stamp
	IDs []uint64 `cbor:"4,keyasint"`
}

// Swept tells that the bytes of these trash items are gone from this node, or
// are those of a blob that is known again. Ids that are no trash are nothing to it.
func (s *Store) Swept(ctx context.Context, ids []uint64) error {
	for len(ids) > 0 {
		n := min(len(ids), batch)
		if err := s.propose(ctx, typeSwept, swept{s.stamp(""), ids[:n]}, nil); err != nil {
			return fmt.Errorf("empty trash: %w", err)
		}
		ids = ids[n:]
	}
	return nil
}

func (c *change) swept(cmd swept) (any, error) {
	if len(cmd.IDs) > batchMax {
		return nil, ErrName
	}
	for _, i := range cmd.IDs {
		if err := bucket(c.tx, bucketTrash).Delete(keyID(id(i))); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
