package meta

import "go.etcd.io/bbolt"

func createBuckets(tx *bbolt.Tx) error { return nil }

func apply(tx *bbolt.Tx, index uint64, command []byte) (result []byte, err error) { return nil, nil }
