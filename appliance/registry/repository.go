package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// linkTimeout bounds how long a committed blob waits to be known.
const linkTimeout = 30 * time.Second

// A namespace is all repositories. It is immutable and implements
// distribution.Namespace (services.go).
type namespace struct {
	meta     *meta.Store
	blobs    Blobs
	redirect func(*http.Request, digest.Digest) (string, error) // nil: nowhere
	cluster  Cluster                                            // nil: this node is alone
	log      *slog.Logger
	metrics  *Metrics
}

// A repository is one repository as seen by one actor, who was allowed what it is
// used for. Front and App both do here whatever they do; errors are those of meta
// and blobstore, and faults where only this package knows.
type repository struct {
	*namespace
	name  meta.RepoName
	actor string
}

func (n *namespace) repository(name meta.RepoName, actor string) repository {
	return repository{namespace: n, name: name, actor: actor}
}

// uploadScope is whose an upload is: what one actor began in one repository, nobody
// else finds, even if they know its id and may push there. The blob store keeps a hash
// of it in the name of the upload's file; nothing else remembers, so there is nothing
// that a restart could forget. A repository's name has no space in it.
func (r repository) uploadScope() string { return string(r.name) + " " + r.actor }

// A push is a manifest on its way in. Its digest was computed from the payload.
type push struct {
	digest    digest.Digest
	mediaType string
	payload   []byte
	tags      []meta.Tag
}

// push stores the manifest and sets its tags, in one agreed command, which checks
// that everything referenced is linked. It returns what the payload says.
func (r repository) push(ctx context.Context, p push) (Manifest, error) {
	m, err := ParseManifest(p.mediaType, p.payload)
	if err != nil {
		return m, err
	}
	c := meta.PutManifest{
		Repo: r.name, Digest: p.digest, MediaType: m.MediaType, Payload: p.payload, Tags: p.tags, Actor: r.actor,
		Blobs: m.Blobs, Manifests: m.Manifests,
		Subject: m.Subject, ArtifactType: m.ArtifactType, Annotations: m.Annotations,
	}
	if err := r.sort(ctx, m, &c); err != nil {
		return m, err
	}
	if err := r.spread(ctx, c.Blobs); err != nil {
		return m, fmt.Errorf("put manifest %s@%s: %w", r.name, p.digest, err)
	}
	if err := r.meta.PutManifest(ctx, c); err != nil {
		return m, fmt.Errorf("put manifest %s@%s: %w", r.name, p.digest, err)
	}
	r.metrics.manifestPushed.Inc()
	r.log.InfoContext(ctx, "manifest pushed", "repo", r.name, "digest", p.digest, "tags", p.tags, "actor", r.actor)
	return m, nil
}

// sort decides about references whose descriptor does not tell what they are: by
// what the repository holds. Meta checks again when it applies the command; a blob
// that is unlinked in between makes the push fail, never the reference dangle.
func (r repository) sort(ctx context.Context, m Manifest, c *meta.PutManifest) error {
	if r.cluster != nil && len(m.Foreign)+len(m.Either) > 0 {
		if err := r.cluster.Confirm(ctx); err != nil { // they may have been pushed to another node
			return err
		}
	}
	for _, d := range m.Foreign {
		_, err := r.meta.Blob(r.name, d)
		linked, err := known(err)
		if err != nil {
			return err
		}
		if linked { // somebody pushed it all the same: keep it as long as the manifest
			c.Blobs = append(c.Blobs, d)
		}
	}
	for _, e := range m.Either {
		_, err := r.meta.Blob(r.name, e.Digest)
		linked, err := known(err)
		if err != nil {
			return err
		}
		if linked {
			c.Blobs = append(c.Blobs, e.Digest)
			continue
		}
		_, _, err = r.meta.StatManifest(r.name, e.Digest)
		here, err := known(err)
		if err != nil {
			return err
		}
		if here || e.Sparse {
			c.Manifests = append(c.Manifests, e.Digest)
		} else {
			c.Blobs = append(c.Blobs, e.Digest) // which reports it missing
		}
	}
	return nil
}

// known turns "not found" into false.
func known(err error) (bool, error) {
	if errors.Is(err, meta.ErrNotFound) || errors.Is(err, meta.ErrRepositoryUnknown) {
		return false, nil
	}
	return err == nil, err
}

// deleteManifest takes the manifest away, and every tag on it.
func (r repository) deleteManifest(ctx context.Context, d digest.Digest) error {
	if err := r.meta.DeleteManifest(ctx, r.name, d, r.actor); err != nil {
		return fmt.Errorf("delete manifest %s@%s: %w", r.name, d, err)
	}
	r.metrics.manifestDeleted.Inc()
	r.log.InfoContext(ctx, "manifest deleted", "repo", r.name, "digest", d, "actor", r.actor)
	return nil
}

// deleteTag takes the tag away; the manifest stays.
func (r repository) deleteTag(ctx context.Context, tag meta.Tag) error {
	if err := r.meta.DeleteTag(ctx, r.name, tag, r.actor); err != nil {
		return fmt.Errorf("delete tag %s:%s: %w", r.name, tag, err)
	}
	r.metrics.tagDeleted.Inc()
	r.log.InfoContext(ctx, "tag deleted", "repo", r.name, "tag", tag, "actor", r.actor)
	return nil
}

// deleteBlob takes the blob out of this repository; others that link it keep it.
func (r repository) deleteBlob(ctx context.Context, d digest.Digest) error {
	if err := r.meta.UnlinkBlob(ctx, r.name, d, r.actor); err != nil {
		return fmt.Errorf("delete blob %s@%s: %w", r.name, d, err)
	}
	r.metrics.blobDeleted.Inc()
	r.log.InfoContext(ctx, "blob deleted", "repo", r.name, "digest", d, "actor", r.actor)
	return nil
}

// open returns the bytes of a blob of this repository. Bytes that are not there are a
// fault of ours (I6), not a 404: the metadata promised them. The caller closes the file.
func (r repository) open(ctx context.Context, b meta.Blob) (io.ReadSeekCloser, error) {
	f, err := r.blobs.Open(ctx, b.Digest)
	if errors.Is(err, blobstore.ErrNotFound) {
		err = bytesMissing(b.Digest, err)
	}
	return f, err
}

// mount links d from another repository that links it; the caller may pull that
// one. Without the bytes, or the link, there is nothing to mount: false.
func (r repository) mount(ctx context.Context, from meta.RepoName, d digest.Digest) (meta.Blob, bool, error) {
	pin, err := r.blobs.Pin(ctx, d) // nothing may collect d between its check and its link
	if errors.Is(err, blobstore.ErrNotFound) {
		return meta.Blob{}, false, nil
	}
	if err != nil {
		return meta.Blob{}, false, fmt.Errorf("mount blob %s: %w", d, err)
	}
	defer pin.Release()
	b, err := r.meta.MountBlob(ctx, r.name, from, d, r.actor)
	mounted, err := known(err)
	if err != nil {
		return meta.Blob{}, false, fmt.Errorf("mount blob %s from %s: %w", d, from, err)
	}
	if mounted {
		r.metrics.blobMounted.Inc()
		r.log.DebugContext(ctx, "blob mounted", "repo", r.name, "digest", d, "from", from, "actor", r.actor)
	}
	return b, mounted, nil
}

// commit publishes u as d and makes it known. On [blobstore.ErrDigest] u is still
// held, and the caller's to cancel.
func (r repository) commit(ctx context.Context, u *blobstore.Upload, d digest.Digest) error {
	size := u.Size()
	// A client that hung up after its last byte gets its blob all the same: it, or
	// another, will ask for it when it comes back.
	ctx = context.WithoutCancel(ctx)
	pin, err := u.Commit(ctx, d)
	if err != nil {
		return err
	}
	// A crash here leaves bytes that no metadata knows: the client got no answer and
	// pushes again, and the next scrub removes them if it does not.
	link := func(ctx context.Context) error { return r.meta.LinkBlob(ctx, r.name, d, size, r.actor) }
	ctx, cancel := context.WithTimeout(ctx, linkTimeout)
	defer cancel()
	err = link(ctx)
	if errors.Is(err, meta.ErrUnsettled) && r.cluster != nil {
		r.cluster.Unsettled(pin, link)
	} else {
		pin.Release()
	}
	if err != nil {
		return fmt.Errorf("link blob %s@%s: %w", r.name, d, err)
	}
	r.linked(d, size)
	r.metrics.blobPushed.Inc()
	r.log.DebugContext(ctx, "blob pushed", "repo", r.name, "digest", d, "bytes", size, "actor", r.actor)
	return nil
}
