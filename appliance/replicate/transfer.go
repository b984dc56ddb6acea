package replicate

import (
	"container/list"
	"io"
	"sync"
	"sync/atomic"

	"skerry.dev/skerry/meta"
)

// holdBack is how much of the end of a blob readers get only when its hash was found
// right: whoever got wrong bytes sees them end too soon. No blob that is not longer
// is ever seen unverified.
const holdBack = 64 << 10

// A transfer brings one blob here. Any number of readers follow it.
type transfer struct {
	copies meta.BlobCopies // when it was queued
	urgent atomic.Bool     // no bound on its rate
	kept   atomic.Bool     // it is wanted here, whether somebody reads it or not

	// Guarded by transfers.mu.
	bucket  int           // that it waits in
	element *list.Element // in its bucket; nil when it runs

	mu      sync.Mutex
	file    io.ReaderAt   // what has arrived; nil at first
	close   func() error  // of file, called by the last who uses it
	users   int           // readers, and whoever fills it
	ready   int64         // bytes that readers may have
	ended   bool          // nothing follows
	err     error         // why not
	changed chan struct{} // closed when ready or ended changes
}

func newTransfer(c meta.BlobCopies) *transfer {
	return &transfer{copies: c, users: 1, changed: make(chan struct{})}
}

// begin says where the bytes are.
func (t *transfer) begin(file io.ReaderAt, closeFile func() error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.file, t.close = file, closeFile
}

// grow says how many bytes arrived.
func (t *transfer) grow(n int64) { t.show(min(n, t.copies.Size-holdBack)) }

// verified says that all arrived, and are right.
func (t *transfer) verified() { t.show(t.copies.Size) }

func (t *transfer) show(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n > t.ready {
		t.ready = n
		t.wakeLocked()
	}
}

func (t *transfer) wakeLocked() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// end says that nothing follows. Readers get what is ready, and then the error.
func (t *transfer) end(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended, t.err = true, err
	t.wakeLocked()
}

// join makes a reader a user of the transfer. transfers.mu is held, so that nobody
// joins one that is over.
func (t *transfer) join() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.users++
}

// leave ends the use of the transfer; the last closes the file.
func (t *transfer) leave() {
	t.mu.Lock()
	t.users--
	last, closeFile := t.users == 0, t.close
	if last {
		t.close = nil
	}
	t.mu.Unlock()
	if last && closeFile != nil {
		_ = closeFile() // it was only read
	}
}

// readers is how many follow.
func (t *transfer) readers() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.users - 1
}

// readAt reads what is ready at off. When nothing is, it returns what to wait for.
func (t *transfer) readAt(p []byte, off int64) (n int, wait <-chan struct{}, err error) {
	t.mu.Lock()
	file, ready, ended, changed, cause := t.file, t.ready, t.ended, t.changed, t.err
	t.mu.Unlock()
	switch {
	case off >= t.copies.Size:
		return 0, nil, io.EOF
	case off < ready:
		// The caller is a user, so that the file is open.
		n, err = file.ReadAt(p[:min(int64(len(p)), ready-off)], off)
		if n > 0 {
			err = nil
		}
		return n, nil, err
	case ended && cause == nil:
		return 0, nil, io.ErrUnexpectedEOF
	case ended:
		return 0, nil, cause
	}
	return 0, changed, nil
}

// arrived is how many bytes readers may have.
func (t *transfer) arrived() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ready
}

// begun says whether readers may have any byte.
func (t *transfer) begun() bool { return t.arrived() > 0 }
