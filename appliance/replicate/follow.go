package replicate

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// aheadMax is how far beyond what has arrived a reader may wait. Who wants what is
// farther, such as the end of a large layer, asks a node for it alone.
const aheadMax = 8 << 20

// errFar says that a reader is too far ahead of a transfer.
var errFar = errors.New("replicate: too far ahead of the transfer")

// A follower reads a blob while it arrives. One goroutine uses it.
type follower struct {
	tr    *transfer
	off   int64
	done  <-chan struct{} // the reader's context is over
	cause func() error    // why

	// instead opens the blob in another way when the transfer ended with an error.
	instead func(err error, off int64) (io.ReadSeekCloser, error)
	other   io.ReadSeekCloser // what it opened; nil while the transfer is read
	dirty   bool              // some bytes were handed out
	closed  bool
}

// Read reads what has arrived, or waits for it.
func (f *follower) Read(p []byte) (int, error) {
	for {
		if f.closed {
			return 0, os.ErrClosed
		}
		if f.other != nil {
			return f.other.Read(p)
		}
		n, err := f.step(p)
		if n > 0 {
			f.off += int64(n)
			f.dirty = true
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// await returns when there is something to read, or nothing will ever be.
func (f *follower) await() error {
	for f.other == nil {
		n, err := f.step(nil)
		if err == io.EOF { //nolint:errorlint // an empty blob: this very value
			return nil
		}
		if err != nil || n == 0 && f.tr.begun() {
			return err
		}
	}
	return nil
}

// step reads once, waits once, or turns to another way of reading.
func (f *follower) step(p []byte) (int, error) {
	n, wait, err := f.tr.readAt(p, f.off)
	if err == io.EOF { //nolint:errorlint // io.Reader: the end is this very value
		return n, err
	}
	if err == nil && wait == nil {
		return n, nil
	}
	if err == nil && f.off > f.tr.arrived()+aheadMax {
		err = errFar
	}
	if err != nil {
		if f.dirty && !errors.Is(err, errHere) && !errors.Is(err, errFar) {
			return 0, fmt.Errorf("follow transfer: %w", err)
		}
		f.other, err = f.instead(err, f.off)
		return 0, err
	}
	select {
	case <-wait:
		return 0, nil
	case <-f.done:
		return 0, f.cause()
	}
}

// Seek moves to another offset; what was read stays as it is.
func (f *follower) Seek(offset int64, whence int) (int64, error) {
	if f.other != nil {
		return f.other.Seek(offset, whence)
	}
	off, err := seek(f.off, f.tr.copies.Size, offset, whence)
	if err == nil {
		f.off = off
	}
	return off, err
}

// seek is io.Seeker's arithmetic.
func seek(off, size, offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += off
	case io.SeekEnd:
		offset += size
	}
	if offset < 0 {
		return off, errors.New("replicate: seek before the beginning")
	}
	return offset, nil
}

// Close lets go of the transfer, which goes on if somebody else needs it.
func (f *follower) Close() error {
	if f.closed {
		return os.ErrClosed
	}
	f.closed = true
	f.tr.leave()
	if f.other != nil {
		return f.other.Close()
	}
	return nil
}
