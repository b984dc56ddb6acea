package replicate_test

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
)

// A serving is how a node sends a blob.
type serving = func(context.Context, digest.Digest, io.ReadSeekCloser, int64) (io.ReadCloser, int64, error)

// A sender is a body made of a function.
type sender struct {
	read func(p []byte) (int, error)
	io.Closer
}

func (s sender) Read(p []byte) (int, error) { return s.read(p) }

// lying flips a bit of the byte at offset at.
func lying(at int64) serving {
	return func(_ context.Context, _ digest.Digest, f io.ReadSeekCloser, size int64) (io.ReadCloser, int64, error) {
		off, err := f.Seek(0, io.SeekCurrent)
		return sender{func(p []byte) (int, error) {
			n, err := f.Read(p)
			if i := at - off; i >= 0 && i < int64(n) {
				p[i] ^= 1
			}
			off += int64(n)
			return n, err
		}, f}, size, err
	}
}

// sips hangs up after 60,000 bytes, each time, and flips a bit of the byte at offset
// wrong.
func sips(wrong int64) serving {
	lie := lying(wrong)
	return func(ctx context.Context, d digest.Digest, f io.ReadSeekCloser, size int64) (io.ReadCloser, int64, error) {
		body, size, err := lie(ctx, d, f, size)
		return sender{io.LimitReader(body, 60_000).Read, body}, size, err
	}
}

// after sends a MiB and then does what then does.
func after(then func(ctx context.Context) error) serving {
	return func(ctx context.Context, _ digest.Digest, f io.ReadSeekCloser, size int64) (io.ReadCloser, int64, error) {
		left := int64(mib)
		return sender{func(p []byte) (int, error) {
			if left == 0 {
				return 0, then(ctx)
			}
			got, err := f.Read(p[:min(int64(len(p)), left)])
			left -= int64(got)
			return got, err
		}, f}, size, nil
	}
}

var errCut = errors.New("connection reset by peer")

func cut(context.Context) error { return errCut }

// half is the end of a body that nothing is wrong with, but that it comes too soon.
func half(context.Context) error { return io.EOF }

// stall sends nothing more, and does not hang up.
func stall(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// mute does not even answer.
func mute(ctx context.Context, _ digest.Digest, f io.ReadSeekCloser, _ int64) (io.ReadCloser, int64, error) {
	<-ctx.Done()
	return nil, 0, errors.Join(ctx.Err(), f.Close())
}

// wrongSize says that the blob is longer than it is.
func wrongSize(_ context.Context, _ digest.Digest, f io.ReadSeekCloser, size int64) (io.ReadCloser, int64, error) {
	return f, size + 1, nil
}

// tooLong goes on when the blob is over.
func tooLong(_ context.Context, _ digest.Digest, f io.ReadSeekCloser, size int64) (io.ReadCloser, int64, error) {
	return sender{func(p []byte) (int, error) {
		n, err := f.Read(p)
		if n == 0 && errors.Is(err, io.EOF) {
			p[0], n, err = 'x', 1, nil
		}
		return n, err
	}, f}, size, nil
}

// first does what serve does for the first that asks, and serves all others well.
func first(serve serving) serving {
	var once sync.Once
	return func(ctx context.Context, d digest.Digest, f io.ReadSeekCloser, size int64) (io.ReadCloser, int64, error) {
		wrong := false
		if once.Do(func() { wrong = true }); wrong {
			return serve(ctx, d, f, size)
		}
		return f, size, nil
	}
}

// gated waits for open before it sends what follows the first n bytes.
func gated(n int64, open <-chan struct{}) serving {
	return func(ctx context.Context, _ digest.Digest, f io.ReadSeekCloser, size int64) (io.ReadCloser, int64, error) {
		left := n
		return sender{func(p []byte) (int, error) {
			if left == 0 {
				select {
				case <-open:
					return f.Read(p)
				case <-ctx.Done():
					return 0, ctx.Err()
				}
			}
			got, err := f.Read(p[:min(int64(len(p)), left)])
			left -= int64(got)
			return got, err
		}, f}, size, nil
	}
}
