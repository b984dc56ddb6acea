package meta

import (
	"context"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
)

// resetAtOnce is how many records one transaction of [DB.ResetNodes] reads.
const resetAtOnce = 4096

// ResetNodes makes this the database of one node that has not registered yet:
// no others are known, and every blob and all trash is the first node's. It is
// for a database that was restored into a new cluster, before its log begins; it
// is no command, and interrupted it is to be run again. What is missing on the
// node's disk is for the node to say ([Store.DropHolder]).
func (db *DB) ResetNodes(ctx context.Context) error {
	for _, part := range []struct {
		bucket bucketName
		reset  func(k, v []byte) (changed []byte, err error)
	}{
		{bucketBlobs, resetBlob},
		{bucketTrash, resetTrash},
	} {
		for last, more := []byte(nil), true; more; {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("reset nodes: %w", err)
			}
			err := db.offLog(func(tx *txn) (err error) {
				last, more, err = resetSome(tx, part.bucket, last, part.reset)
				return err
			})
			if err != nil {
				return fmt.Errorf("reset nodes: %w", err)
			}
		}
	}
	err := db.offLog(func(tx *txn) error {
		r, err := getCluster(tx)
		if err != nil {
			return err
		}
		if r.last == 0 {
			return nil
		}
		if _, err := emptied(tx, bucketNodes); err != nil {
			return err
		}
		return bucket(tx, bucketSystem).Put([]byte(clusterKey), clusterRecord{level: r.level}.pack())
	})
	if err != nil {
		return fmt.Errorf("reset nodes: %w", err)
	}
	db.nodes.Store(&[]Node{})
	db.changed()
	return nil
}

// offLog changes the database in a transaction of its own that is none of the log's.
func (db *DB) offLog(fn func(*txn) error) error {
	db.writing.Lock()
	defer db.writing.Unlock()
	return db.update(roomAlways, func(tx *bbolt.Tx) error { return fn(&txn{Tx: tx}) })
}

// resetSome reads records after last, writes what reset makes of them, and
// returns the last it read and whether there may be more.
func resetSome(
	tx *txn, name bucketName, last []byte, reset func(k, v []byte) ([]byte, error),
) (_ []byte, more bool, err error) {
	var keys, values [][]byte
	n := 0
	for k, v := range following(bucket(tx, name), nil, last) {
		if n++; n > resetAtOnce {
			more = true
			break
		}
		changed, err := reset(k, v)
		if err != nil {
			return nil, false, err
		}
		last = slices.Clone(k)
		if changed != nil {
			keys, values = append(keys, last), append(values, changed)
		}
	}
	for i, k := range keys {
		if err := bucket(tx, name).Put(k, values[i]); err != nil {
			return nil, false, err
		}
	}
	return last, more, nil
}

func resetBlob(_, v []byte) ([]byte, error) {
	rec, err := unpackBlob(v)
	if err != nil || slices.Equal(rec.holders, []NodeID{FirstNode}) {
		return nil, err
	}
	rec.holders = []NodeID{FirstNode}
	return rec.pack(), nil
}

func resetTrash(k, v []byte) ([]byte, error) {
	_, rec, err := decodeTrash(k, v)
	if err != nil || rec.Holders == nil {
		return nil, err
	}
	rec.Holders = nil
	return encode(rec), nil
}
