package meta

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// BlobCopies says which nodes hold a blob. Those that are gone are left out.
type BlobCopies struct {
	ID      uint64 // grows with each blob that becomes known, and is never used again
	Digest  digest.Digest
	Size    int64
	Holders []NodeID // ascending
	Created time.Time
	Lease   time.Time // unreferenced, it is kept at least until then
}

// copiesOf is what a record says, but for the nodes that m knows to be gone.
func copiesOf(tx *txn, m *members, i id, rec blobRecord) (BlobCopies, error) {
	holders, err := m.living(tx, rec.holders)
	return BlobCopies{
		ID: uint64(i), Digest: unpackDigest(rec.packed), Size: rec.size, Holders: holders,
		Created: time.UnixMilli(rec.created), Lease: time.UnixMilli(rec.lease),
	}, err
}

// Copies says who holds each of these blobs, in their order; those that are not
// known are left out.
func (db *DB) Copies(ds ...digest.Digest) (copies []BlobCopies, err error) {
	packed, err := packDigests(ds)
	if err != nil {
		return nil, err
	}
	err = db.view(func(tx *txn) error {
		var m members
		for _, d := range packed {
			i, known := findID(tx, kindBlob, d)
			if !known {
				continue
			}
			rec, err := getBlob(tx, i)
			if err != nil {
				return err
			}
			c, err := copiesOf(tx, &m, i, rec)
			if err != nil {
				return err
			}
			copies = append(copies, c)
		}
		return nil
	})
	return copies, err
}

// CopiesAfter says who holds the blobs with ids above after, in the order of
// their ids, at most n: a page of all there are, which ends with an empty one.
func (db *DB) CopiesAfter(after uint64, n int) (copies []BlobCopies, err error) {
	err = db.view(func(tx *txn) error {
		var m members
		for k, v := range following(bucket(tx, bucketBlobs), nil, keyID(id(after))) {
			if len(copies) >= n {
				return nil
			}
			i, ok := parseID(k)
			rec, err := unpackBlob(v)
			if err != nil || !ok {
				return fmt.Errorf("blob %x: %w", k, errors.Join(ErrCorrupt, err))
			}
			c, err := copiesOf(tx, &m, i, rec)
			if err != nil {
				return err
			}
			copies = append(copies, c)
		}
		return nil
	})
	return copies, err
}

// HeldBy says whether node n should have the bytes of d: d is known, and n is
// one of its holders and not gone.
func (db *DB) HeldBy(n NodeID, d digest.Digest) (held bool, err error) {
	packed, err := appendDigest(nil, d)
	if err != nil {
		return false, err
	}
	err = db.view(func(tx *txn) error {
		i, known := findID(tx, kindBlob, packed)
		if !known {
			return nil
		}
		rec, err := getBlob(tx, i)
		if err != nil || !slices.Contains(rec.holders, n) {
			return err
		}
		var m members
		held, err = m.alive(tx, n)
		return err
	})
	return held, err
}
