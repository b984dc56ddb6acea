package meta

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"github.com/opencontainers/go-digest"
)

// Digest hashes all that the state machine wrote, bucket by bucket, keys and
// values in their order, and says at which index of the log. Two databases that
// applied the same log up to the same index have the same, however their files
// differ. It reads everything there is; ctx ends it.
func (db *DB) Digest(ctx context.Context) (sum digest.Digest, index uint64, err error) {
	err = db.view(func(tx *txn) error {
		m, err := getMark(tx.Tx)
		if err != nil {
			return err
		}
		index = m.index
		hash := sha256.New()
		write := func(field []byte) { // with its length, so that no two contents read the same
			hash.Write(binary.AppendUvarint(nil, uint64(len(field))))
			hash.Write(field)
		}
		for name := range bucketCount {
			write([]byte(name.String()))
			n := uint64(0)
			for k, v := range under(bucket(tx, name), nil) {
				if n++; n%4096 == 0 && ctx.Err() != nil {
					return ctx.Err()
				}
				write(k)
				write(v)
			}
			hash.Write(binary.BigEndian.AppendUint64(nil, n))
		}
		sum = digest.NewDigest(digest.SHA256, hash)
		return nil
	})
	return sum, index, err
}
