package peer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
)

// Blob opens the bytes of d at a node from an offset on; size is that of the
// whole. The context bounds reading, too; the caller closes the body, and checks
// the digest: another node may be wrong. A node that stops bringing bytes is
// [ErrStalled]; one that ends too early is io.ErrUnexpectedEOF.
func (c *Client) Blob(
	ctx context.Context, to Node, d digest.Digest, offset int64,
) (body io.ReadCloser, size int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() {
		if err != nil {
			cancel(nil)
		}
	}()
	req, err := request(ctx, http.MethodGet, to, pathBlobs+d.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	late := time.AfterFunc(stallMax, func() { cancel(ErrStalled) })
	resp, err := c.send(c.bulk, req, to)
	late.Stop()
	if err != nil {
		return nil, 0, err
	}
	if size, err = sizeIn(resp, d, offset); err != nil {
		_ = resp.Body.Close()
		return nil, 0, fmt.Errorf("%s: %w", to.Server, err)
	}
	return &stream{body: resp.Body, ctx: ctx, cancel: cancel, late: late, server: to.Server}, size, nil
}

// sizeIn says how large the blob is of which an answer brings the rest.
func sizeIn(resp *http.Response, d digest.Digest, offset int64) (int64, error) {
	if got := resp.Header.Get("ETag"); got != etag(d) {
		return 0, fmt.Errorf("%w: asked for %s, not for %.300q", ErrAnswer, d, got)
	}
	if resp.ContentLength < 0 {
		return 0, fmt.Errorf("%w: no length", ErrAnswer)
	}
	size := offset + resp.ContentLength
	want, got := "", resp.Header.Get("Content-Range")
	if offset > 0 {
		want = fmt.Sprintf("bytes %d-%d/%s", offset, size-1, strconv.FormatInt(size, 10))
	}
	if got != want {
		return 0, fmt.Errorf("%w: range %.100q, want %q", ErrAnswer, got, want)
	}
	return size, nil
}

// A stream is a body whose bytes have to keep coming while somebody reads.
type stream struct {
	body   io.ReadCloser
	ctx    context.Context //nolint:containedctx // for its cause, which the transport does not tell
	cancel context.CancelCauseFunc
	late   *time.Timer // cancels
	server string
}

// Read implements io.Reader.
func (s *stream) Read(b []byte) (int, error) {
	s.late.Reset(stallMax)
	n, err := s.body.Read(b)
	s.late.Stop()
	if err == nil || err == io.EOF {
		return n, err
	}
	if cause := context.Cause(s.ctx); cause != nil {
		return n, fmt.Errorf("%s: %w: %w", s.server, cause, err)
	}
	return n, fmt.Errorf("%s: %w", s.server, err)
}

// Close implements io.Closer. The connection is used again if all was read.
func (s *stream) Close() error {
	err := s.body.Close()
	s.late.Stop()
	s.cancel(nil)
	return err
}
