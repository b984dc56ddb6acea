//go:build crash

package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"

	"github.com/opencontainers/go-digest"
)

// A Worker changes the registry and keeps its ledger.
type Worker struct {
	client *Client
	ledger *Ledger
	rand   *rand.Rand
}

// NewWorker returns a worker that does what r says.
func NewWorker(c *Client, l *Ledger, r *rand.Rand) *Worker { return &Worker{c, l, r} }

// Run works until an answer fails to come or ctx ends. Only a [Refusal] is an
// error: what was under way when the registry died stays pending.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.again(ctx); err != nil {
		return refusal(err)
	}
	for ctx.Err() == nil {
		if err := w.step(ctx); err != nil {
			return refusal(err)
		}
	}
	return nil
}

// refusal is err if it is one, and nil if the registry just died.
func refusal(err error) error {
	if r := (Refusal{}); errors.As(err, &r) {
		return err
	}
	return nil
}

func (w *Worker) step(ctx context.Context) error {
	tags := w.ledger.order
	switch n := w.rand.IntN(20); {
	case n < 13 || len(tags) == 0:
		return w.Push(ctx, fmt.Sprintf("t%d", len(tags)))
	case n < 16:
		return w.Push(ctx, tags[w.rand.IntN(len(tags))])
	case n < 19:
		return w.untag(ctx, tags[w.rand.IntN(len(tags))])
	default:
		return w.remove(ctx)
	}
}

// again does what clients do whose push broke off: they push the same image
// once more, and leave out the blobs that the registry says it has.
func (w *Worker) again(ctx context.Context) error {
	if len(w.ledger.sent) == 0 || w.rand.IntN(2) == 0 {
		return nil
	}
	im := w.ledger.Images[w.ledger.sent[len(w.ledger.sent)-1]]
	if im.acked || im.deleted != kept {
		return nil
	}
	for i := range im.Blobs {
		path := "/v2/" + w.ledger.Repo + "/blobs/" + digest.FromBytes(im.Blobs[i].Bytes()).String()
		status, _, err := w.client.Do(ctx, http.MethodHead, path, "", nil)
		if err != nil {
			return err
		}
		if status == http.StatusOK {
			im.Blobs[i].Acked = true
			continue
		}
		if err := w.pushBlob(ctx, &im.Blobs[i]); err != nil {
			return err
		}
	}
	return w.pushManifest(ctx, im)
}

// Push makes an image and pushes it as tag.
func (w *Worker) Push(ctx context.Context, tag string) error {
	im := newImage(w.rand, tag)
	w.ledger.Images[im.Digest] = im
	w.ledger.sent = append(w.ledger.sent, im.Digest)
	for i := range im.Blobs {
		if err := w.pushBlob(ctx, &im.Blobs[i]); err != nil {
			return err
		}
	}
	return w.pushManifest(ctx, im)
}

func (w *Worker) pushBlob(ctx context.Context, b *Blob) error {
	content := b.Bytes()
	path := "/v2/" + w.ledger.Repo + "/blobs/uploads/?digest=" + digest.FromBytes(content).String()
	status, body, err := w.client.Do(ctx, http.MethodPost, path, BlobType, content)
	if err := Want("push blob", http.StatusCreated, status, body, err); err != nil {
		return err
	}
	b.Acked = true
	return nil
}

func (w *Worker) pushManifest(ctx context.Context, im *Image) error {
	e := w.ledger.tag(im.tag)
	e.begin(im.Digest)
	status, body, err := w.client.Do(ctx, http.MethodPut, w.manifest(im.tag), manifestType, im.manifest)
	if err := Want("push manifest", http.StatusCreated, status, body, err); err != nil {
		return err
	}
	e.acknowledge(im.Digest)
	im.acked = true
	return nil
}

func (w *Worker) untag(ctx context.Context, tag string) error {
	e := w.ledger.tags[tag]
	if e.acked == absent {
		return nil
	}
	e.begin(absent)
	status, body, err := w.client.Do(ctx, http.MethodDelete, w.manifest(tag), "", nil)
	if err := Want("delete tag", http.StatusAccepted, status, body, err); err != nil {
		return err
	}
	e.acknowledge(absent)
	return nil
}

// remove deletes some image by digest, with the tags on it.
func (w *Worker) remove(ctx context.Context) error {
	tag := w.ledger.order[w.rand.IntN(len(w.ledger.order))]
	im := w.ledger.Images[w.ledger.tags[tag].acked]
	if im == nil {
		return nil
	}
	w.ledger.tags[tag].begin(absent)
	im.deleted = perhaps
	status, body, err := w.client.Do(ctx, http.MethodDelete, w.manifest(im.Digest.String()), "", nil)
	if err := Want("delete manifest", http.StatusAccepted, status, body, err); err != nil {
		return err
	}
	w.ledger.tags[tag].acknowledge(absent)
	im.deleted = gone
	return nil
}

func (w *Worker) manifest(ref string) string { return "/v2/" + w.ledger.Repo + "/manifests/" + ref }
