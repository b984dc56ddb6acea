package meta

// Stats counts without walking. Sizes in bytes.
type Stats struct {
	Repositories int64 // that hold a manifest
	Manifests    int64 // one in two repositories counts twice
	Tags         int64
	Blobs        int64
	BlobBytes    int64 // sum of the sizes of known blobs, each once
	DatabaseBytes,
	FreeBytes int64 // of the database file, and how much of it is free to be used again
	AppliedIndex, DurableIndex uint64
}

// Stats returns the counters. It costs one read, whatever the totals.
func (db *DB) Stats() (st Stats, err error) {
	err = db.view(func(tx *txn) error {
		s, err := getState(tx)
		st = Stats{
			Repositories: s.Repositories, Manifests: s.Manifests, Tags: s.Tags,
			Blobs: s.Blobs, BlobBytes: s.BlobBytes, DatabaseBytes: tx.Size(),
		}
		return err
	})
	st.AppliedIndex, _ = db.Position()
	st.DurableIndex, _ = db.Durable()
	st.FreeBytes = db.freeBytes()
	return st, err
}

// freeBytes is how much of the file new pages may come from.
func (db *DB) freeBytes() int64 {
	db.writing.Lock()
	defer db.writing.Unlock()
	if h := db.current.Load(); h != nil {
		return h.free
	}
	return 0
}
