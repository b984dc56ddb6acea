//go:build crash

package crash_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/test/skerry"
)

// A client speaks to one server as its administrator.
type client struct {
	http *http.Client
	s    *skerry.Server
}

func newClient(s *skerry.Server) *client { return &client{s.Client(), s} }

// do returns the status and the body; an error means that no whole answer came.
func (c *client) do(ctx context.Context, method, path, kind string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.s.URL+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.SetBasicAuth(c.s.User, c.s.Password)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

// A worker changes the registry and keeps its ledger, until an answer fails to
// come or ctx ends.
type worker struct {
	*client
	*ledger
	rand *rand.Rand
}

// refusal is an answer that a healthy registry must not give.
type refusal struct{ error }

// run works until the registry dies. An answer that is neither success nor
// silence is returned as a [refusal].
func (w *worker) run(ctx context.Context) error {
	for ctx.Err() == nil {
		var err error
		switch n := w.rand.IntN(20); {
		case n < 13 || len(w.order) == 0:
			err = w.push(ctx, fmt.Sprintf("t%d", len(w.order)))
		case n < 16:
			err = w.push(ctx, w.order[w.rand.IntN(len(w.order))])
		case n < 19:
			err = w.untag(ctx, w.order[w.rand.IntN(len(w.order))])
		default:
			err = w.remove(ctx)
		}
		if _, refused := err.(refusal); refused { //nolint:errorlint // made here
			return err
		}
		if err != nil {
			return nil // it died: what was under way stays pending
		}
	}
	return nil
}

// want turns an answer into an error: nil if it is status.
func want(what string, status int, got int, body []byte, err error) error {
	if err == nil && got != status {
		return refusal{fmt.Errorf("%s: status %d, want %d: %s", what, got, status, body)}
	}
	return err
}

func (w *worker) push(ctx context.Context, tag string) error {
	im := newImage(w.rand)
	w.images[im.digest] = im
	for i := range im.blobs {
		content := im.blobs[i].bytes()
		path := "/v2/" + w.repo + "/blobs/uploads/?digest=" + digest.FromBytes(content).String()
		status, body, err := w.do(ctx, http.MethodPost, path, layerType, content)
		if err := want("push blob", http.StatusCreated, status, body, err); err != nil {
			return err
		}
		im.blobs[i].acked = true
	}
	e := w.tag(tag)
	e.begin(im.digest)
	status, body, err := w.do(ctx, http.MethodPut, "/v2/"+w.repo+"/manifests/"+tag, manifestType, im.manifest)
	if err := want("push manifest", http.StatusCreated, status, body, err); err != nil {
		return err
	}
	e.acknowledge(im.digest)
	im.acked = true
	return nil
}

func (w *worker) untag(ctx context.Context, tag string) error {
	e := w.tags[tag]
	if e.acked == absent {
		return nil
	}
	e.begin(absent)
	status, body, err := w.do(ctx, http.MethodDelete, "/v2/"+w.repo+"/manifests/"+tag, "", nil)
	if err := want("delete tag", http.StatusAccepted, status, body, err); err != nil {
		return err
	}
	e.acknowledge(absent)
	return nil
}

// remove deletes some image by digest, with the tags on it.
func (w *worker) remove(ctx context.Context) error {
	tag := w.order[w.rand.IntN(len(w.order))]
	im := w.images[w.tags[tag].acked]
	if im == nil {
		return nil
	}
	w.tags[tag].begin(absent)
	im.deleted = perhaps
	status, body, err := w.do(ctx, http.MethodDelete, "/v2/"+w.repo+"/manifests/"+im.digest.String(), "", nil)
	if err := want("delete manifest", http.StatusAccepted, status, body, err); err != nil {
		return err
	}
	w.tags[tag].acknowledge(absent)
	im.deleted = gone
	return nil
}

// verify compares the registry with the ledger. Without all it reads the bytes
// of one image in ten, and every tag and manifest.
func verify(ctx context.Context, c *client, l *ledger, all bool) error {
	for tag, e := range l.tags {
		status, body, err := c.do(ctx, http.MethodGet, "/v2/"+l.repo+"/manifests/"+tag, "", nil)
		if err != nil {
			return err
		}
		at := absent
		if status == http.StatusOK {
			at = digest.FromBytes(body)
		} else if status != http.StatusNotFound {
			return fmt.Errorf("tag %s: status %d: %s", tag, status, body)
		}
		was := *e
		if !e.may(at) {
			return fmt.Errorf("tag %s:%s points at %q; acknowledged was %q, under way were %q",
				l.repo, tag, at, was.acked, was.pending)
		}
	}
	for _, im := range l.images {
		if err := verifyImage(ctx, c, l, im, all || rand.IntN(10) == 0); err != nil {
			return err
		}
	}
	return nil
}

func verifyImage(ctx context.Context, c *client, l *ledger, im *image, bytesToo bool) error {
	status, body, err := c.do(ctx, http.MethodGet, "/v2/"+l.repo+"/manifests/"+im.digest.String(), "", nil)
	if err != nil {
		return err
	}
	switch {
	case im.deleted == gone && status != http.StatusNotFound:
		return fmt.Errorf("manifest %s came back after an acknowledged delete: status %d", im.digest, status)
	case im.deleted == kept && im.acked && status != http.StatusOK:
		return fmt.Errorf("acknowledged manifest %s: status %d: %s", im.digest, status, body)
	case status == http.StatusOK && !bytes.Equal(body, im.manifest):
		return fmt.Errorf("manifest %s has other bytes", im.digest)
	}
	if im.deleted == perhaps && status == http.StatusNotFound {
		im.deleted = gone
	}
	for _, b := range im.blobs {
		if !bytesToo || !b.acked {
			continue
		}
		content := b.bytes()
		path := "/v2/" + l.repo + "/blobs/" + digest.FromBytes(content).String()
		status, body, err := c.do(ctx, http.MethodGet, path, "", nil)
		if err != nil {
			return err
		}
		if status != http.StatusOK || !bytes.Equal(body, content) {
			return fmt.Errorf("acknowledged blob %s: status %d, %d bytes of %d", path, status, len(body), len(content))
		}
	}
	return nil
}
