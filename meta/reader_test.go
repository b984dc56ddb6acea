package meta_test

import (
	"sync"
	"testing"

	"go.etcd.io/bbolt"
)

// Read transactions are kept for the next read; a write in between must end them, whoever holds them.
func TestAReadSeesWhatWasAppliedBeforeIt(t *testing.T) {
	s := kvSeam()
	s.Apply = func(tx *bbolt.Tx, _ uint64, command []byte) ([]byte, error) {
		return nil, tx.Bucket([]byte("kv")).Put([]byte("last"), command)
	}
	db := openKV(t, ramDir(t), s)
	applyKV(t, db, 1)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for seen := uint64(0); seen < 500; {
				before, _ := db.Position()
				if err := db.View(func(tx *bbolt.Tx) error {
					seen = parseSeedKV(tx.Bucket([]byte("kv")).Get([]byte("last")))
					return nil
				}); err != nil || seen < before {
					t.Errorf("read %d after %d was applied: %v", seen, before, err)
					return
				}
			}
		})
	}
	for range 500 {
		applyKV(t, db, 1)
	}
	readers.Wait()
}
