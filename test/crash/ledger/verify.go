//go:build crash

package ledger

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"

	"github.com/opencontainers/go-digest"
)

// Verify compares the registry with the ledger, and settles what was under way.
// Without all it reads the blobs of one image in ten, and every tag and
// manifest.
func (l *Ledger) Verify(ctx context.Context, c *Client, all bool) error {
	for tag, e := range l.tags {
		status, body, err := c.Do(ctx, http.MethodGet, "/v2/"+l.Repo+"/manifests/"+tag, "", nil)
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
				l.Repo, tag, at, was.acked, was.pending)
		}
	}
	for _, im := range l.Images {
		if err := l.verifyManifest(ctx, c, im); err != nil {
			return err
		}
		if all || rand.IntN(10) == 0 {
			if err := l.verifyBlobs(ctx, c, im); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Ledger) verifyManifest(ctx context.Context, c *Client, im *Image) error {
	path := "/v2/" + l.Repo + "/manifests/" + im.Digest.String()
	status, body, err := c.Do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	switch {
	case im.deleted == gone && status != http.StatusNotFound:
		return fmt.Errorf("manifest %s came back after an acknowledged delete: status %d", im.Digest, status)
	case im.deleted == kept && im.acked && status != http.StatusOK:
		return fmt.Errorf("acknowledged manifest %s: status %d: %s", im.Digest, status, body)
	case status == http.StatusOK && !bytes.Equal(body, im.manifest):
		return fmt.Errorf("manifest %s has other bytes", im.Digest)
	}
	switch {
	case im.deleted == perhaps && status == http.StatusNotFound:
		im.deleted = gone
	case status == http.StatusOK: // whoever saw it may rely on it
		im.deleted, im.acked = kept, true
	}
	return nil
}

func (l *Ledger) verifyBlobs(ctx context.Context, c *Client, im *Image) error {
	for _, b := range im.Blobs {
		if !b.Acked {
			continue
		}
		content := b.Bytes()
		path := "/v2/" + l.Repo + "/blobs/" + digest.FromBytes(content).String()
		status, body, err := c.Do(ctx, http.MethodGet, path, "", nil)
		if err != nil {
			return err
		}
		if status != http.StatusOK || !bytes.Equal(body, content) {
			return fmt.Errorf("acknowledged blob %s: status %d, %d bytes of %d", path, status, len(body), len(content))
		}
	}
	return nil
}
