package meta

// Changed returns a channel that is closed when the next batch of commands has
// been applied, or a snapshot installed, or the database closed. Take it before
// reading what is waited for: then nothing can change unseen in between. While
// nobody waits it costs nothing.
func (db *DB) Changed() <-chan struct{} {
	for {
		if ch := db.waiting.Load(); ch != nil {
			return *ch
		}
		ch := make(chan struct{})
		if db.waiting.CompareAndSwap(nil, &ch) {
			return ch
		}
	}
}

// changed wakes all who wait. What they wait for can be read by now.
func (db *DB) changed() {
	if db.waiting.Load() == nil { // one load, where nobody waits
		return
	}
	if ch := db.waiting.Swap(nil); ch != nil {
		close(*ch)
	}
}
