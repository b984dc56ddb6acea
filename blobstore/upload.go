package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
)

// An Upload is one blob being received, held by one goroutine. Its bytes are
// in a file from the first Write on, hashed as they pass, each once.
type Upload struct {
	store *Store
	state *session
	held  bool // false after Close, Commit and Cancel
}

// ID names the upload for [Store.Resume]. It is random and tells nothing.
func (u *Upload) ID() string { return u.state.key.id() }

// Size is how many bytes have been received.
func (u *Upload) Size() int64 { return u.state.size.Load() }

// StartedAt is when the upload was created.
func (u *Upload) StartedAt() time.Time { return u.state.started }

// allocateMin is the size from which space is worth setting aside: below, a
// file is one extent anyway, and the call costs more than it saves.
const allocateMin = 1 << 20

// Expect sets space aside for n more bytes, so that a disk too full for them
// says so before they are sent: [ErrFull]. Fewer may come, or more. n ≤ 0
// means that nobody knows.
func (u *Upload) Expect(n int64) error {
	if err := u.check(); err != nil {
		return err
	}
	if n < allocateMin {
		return nil
	}
	st := u.state
	st.end = max(st.end, st.size.Load()+n)
	if err := u.store.disk.allocate(st.file, st.size.Load(), n); err != nil {
		return fmt.Errorf("set %d bytes aside: %w", n, asFull(err))
	}
	return nil
}

// flushEvery so many bytes the disk is told to begin writing them. Left to
// itself the kernel waits for half a minute or a tenth of the memory, so that
// most of a large layer would only be written while its client waits for
// Commit, and other files' syncs behind it.
const flushEvery = 16 << 20

// Use makes alg the algorithm that is hashed while bytes arrive: for a request
// that names the digest before it sends the body. Bytes that were hashed with
// another are read again.
func (u *Upload) Use(alg digest.Algorithm) error {
	if err := u.check(); err != nil {
		return err
	}
	if !alg.Available() {
		return fmt.Errorf("hash upload: algorithm %q: %w", alg, digest.ErrDigestUnsupported)
	}
	if alg != u.state.alg {
		u.state.use(alg)
	}
	return nil
}

// Write appends p. When the disk is full it returns [ErrFull] and how much was
// taken; the upload can go on when there is room again.
func (u *Upload) Write(p []byte) (int, error) {
	if err := u.check(); err != nil {
		return 0, err
	}
	if err := u.catchUp(); err != nil {
		return 0, err
	}
	st := u.state
	size := st.size.Load()
	n, err := u.store.disk.write(st.file, p, size)
	_, _ = st.hash.Write(p[:n]) // never fails
	u.store.metrics.received.Add(float64(n))
	st.hashed = size + int64(n)
	st.size.Store(st.hashed)
	if size/flushEvery != st.hashed/flushEvery {
		u.store.disk.flush(st.file)
	}
	if err != nil {
		st.end = max(st.end, size+int64(len(p)))
		return n, fmt.Errorf("write upload: %w", asFull(err))
	}
	return n, nil
}

// ReadFrom appends all of r, through one large buffer. What arrived before r
// failed is kept; the error of r is returned as it is.
func (u *Upload) ReadFrom(r io.Reader) (n int64, err error) {
	b := u.store.buffers.Get().(*buffer)
	defer u.store.buffers.Put(b)
	for {
		got, rerr := fill(b[:], r)
		if got > 0 {
			wrote, err := u.Write(b[:got])
			n += int64(wrote)
			if err != nil {
				return n, err
			}
		}
		if rerr == io.EOF { //nolint:errorlint // io.Reader: the end is this very value
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}

// fill reads until p is full, because TLS hands out 16 KiB at most. It is not
// io.ReadFull, which makes an end of one that came too soon, and so the other.
func fill(p []byte, r io.Reader) (n int, err error) {
	for n < len(p) && err == nil {
		var got int
		got, err = r.Read(p[n:])
		n += got
	}
	return n, err
}

// catchUp hashes what is in the file and not yet in the hash.
func (u *Upload) catchUp() error {
	st := u.state
	size := st.size.Load()
	if st.hashed == size {
		return nil
	}
	b := u.store.buffers.Get().(*buffer)
	defer u.store.buffers.Put(b)
	n, err := io.CopyBuffer(st.hash, onlyReader{io.NewSectionReader(st.file, st.hashed, size-st.hashed)}, b[:])
	st.hashed += n
	if err != nil {
		return fmt.Errorf("read upload again: %w", err)
	}
	if st.hashed != size {
		return fmt.Errorf("read upload again: %d bytes of %d: %w", st.hashed, size, io.ErrUnexpectedEOF)
	}
	return nil
}

// onlyReader hides what would make io.CopyBuffer ignore its buffer.
type onlyReader struct{ io.Reader }

// Commit publishes the upload as d and returns when the blob outlives a power
// cut. The pin keeps the blob from [Store.Remove]: release it when the
// metadata knows the blob.
//
// On [ErrDigest], and on errors that another try may survive, such as
// [ErrFull], the upload stays, still held; on others it is gone: Close, Cancel
// and Size may be called in either case. If d's algorithm is not the one that
// was hashed, the bytes are read once more. A blob already there is replaced by
// the fresh bytes: a push heals what rotted.
//
// ctx bounds what a [Publisher] does; writing to this disk is not broken off.
func (u *Upload) Commit(ctx context.Context, d digest.Digest) (*Pin, error) {
	b, err := parseDigest(d)
	if err != nil {
		return nil, fmt.Errorf("commit blob: %w", err)
	}
	pin, err := u.commit(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("commit blob %s: %w", d, err)
	}
	return pin, nil
}

func (u *Upload) commit(ctx context.Context, b blobName) (*Pin, error) {
	if err := u.compare(b); err != nil {
		return nil, err
	}
	st := u.state
	if err := u.trim(); err != nil {
		return nil, err
	}
	if u.store.cfg.Publish != nil {
		return u.publishElsewhere(ctx, b)
	}
	pin, spent, err := u.store.publish(st.file, st.path(), b)
	if spent {
		return nil, errors.Join(asFull(err), u.Cancel())
	}
	if err != nil {
		return nil, asFull(err)
	}
	u.held = false
	u.store.metrics.committed.Inc()
	u.store.sessions.forget(st)
	_ = st.file.Close() // synced: there is nothing left that could fail
	return pin, nil
}

// publishElsewhere ends an upload whose bytes are not to stay on this disk.
func (u *Upload) publishElsewhere(ctx context.Context, b blobName) (*Pin, error) {
	pin, err := u.store.cfg.Publish(ctx, b.digest(), u.state.file, u.state.size.Load())
	if err != nil {
		return nil, err
	}
	if err := u.drop(); err != nil { // its bytes are kept: PurgeUploads will find it
		u.store.log.WarnContext(ctx, "upload left behind", "digest", b.digest(), "err", err)
	}
	u.store.metrics.committed.Inc()
	return pin, nil
}

// trim gives back what was set aside beyond the bytes received, and cuts off
// what a failed write may have left there.
func (u *Upload) trim() error {
	st := u.state
	size := st.size.Load()
	if st.end <= size {
		return nil
	}
	if err := u.store.disk.truncate(st.file, size); err != nil {
		return err
	}
	st.end = size
	return nil
}

// Close lets go of the upload and keeps its bytes for a later [Store.Resume].
// They are not synced: only Commit promises anything. Space that was set aside
// and not used is given back. Close does nothing after Commit or Cancel.
func (u *Upload) Close() error {
	if !u.held {
		return nil
	}
	u.held = false
	err := u.trim()
	if spare := u.store.sessions.letGo(u.state); spare != nil {
		err = errors.Join(err, spare.Close())
	}
	if err != nil {
		return fmt.Errorf("close upload: %w", err)
	}
	return nil
}

// Cancel drops the upload and its bytes. It does nothing after Commit or Close.
func (u *Upload) Cancel() error {
	if !u.held {
		return nil
	}
	u.store.metrics.cancelled.Inc()
	if err := u.drop(); err != nil {
		return fmt.Errorf("cancel upload: %w", err)
	}
	return nil
}

// drop lets go of the upload and removes its file.
func (u *Upload) drop() error {
	u.held = false
	err := u.store.disk.remove(u.state.path())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	u.store.sessions.forget(u.state)
	return errors.Join(err, u.state.file.Close())
}

func (u *Upload) check() error {
	if !u.held {
		return fmt.Errorf("upload %s: %w", u.ID(), os.ErrClosed)
	}
	return nil
}
