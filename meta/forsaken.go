package meta

import (
	"context"
	"fmt"
	"slices"
)

// forsake empties the trash of nodes that are gone: nobody else will say that it
// is swept. Trash that a node has which only is away stays for it.
func (c *collection) forsake(ctx context.Context) error {
	gone, ids, err := c.forsaken(ctx)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(ids, batch) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.store.propose(ctx, typeSweptBy, sweptBy{c.store.stamp(""), chunk, gone}, nil); err != nil {
			return fmt.Errorf("empty trash of nodes that are gone: %w", err)
		}
	}
	return nil
}

// forsaken lists the trash that only nodes which are gone have not swept, and
// one of these nodes. While none is gone it reads nothing.
func (c *collection) forsaken(ctx context.Context) (gone NodeID, ids []uint64, err error) {
	err = c.store.view(func(tx *txn) error {
		var m members
		if err := m.load(tx); err != nil || m.gone == 0 {
			return err
		}
		n := 0
		for k, v := range under(bucket(tx, bucketTrash), nil) {
			if n++; n%4096 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			i, rec, err := decodeTrash(k, v)
			if err != nil {
				return err
			}
			left, err := m.living(tx, rec.holders())
			if err != nil {
				return err
			}
			if len(left) == 0 {
				gone, ids = rec.holders()[0], append(ids, uint64(i))
			}
		}
		return nil
	})
	return gone, ids, err
}
