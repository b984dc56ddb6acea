package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// This file is distribution's view of a namespace and a repository: each method is
// one of repository's, with errors that App understands.

// A grant says that the front asked the Authorizer before it handed a request to App.
// App has no access controller of its own; without a grant in its context it gets no
// repository and no list, whatever its router makes of a path.
type grant struct{ actor string }

type grantKey struct{}

func withGrant(ctx context.Context, g grant) context.Context {
	return context.WithValue(ctx, grantKey{}, g)
}

// Scope implements distribution.Namespace: there are no names that belong elsewhere.
func (n *namespace) Scope() distribution.Scope { return distribution.GlobalScope }

// Repository implements distribution.Namespace.
func (n *namespace) Repository(ctx context.Context, name reference.Named) (distribution.Repository, error) {
	g, ok := ctx.Value(grantKey{}).(grant)
	if !ok {
		return nil, asDistribution(target{}, ErrDenied)
	}
	repo, err := meta.ParseRepoName(name.Name())
	if err != nil {
		return nil, distribution.ErrRepositoryNameInvalid{Name: name.Name(), Reason: err}
	}
	return service{n.repository(repo, g.actor), name}, nil
}

// Repositories implements distribution.Namespace.
func (n *namespace) Repositories(ctx context.Context, into []string, last string) (int, error) {
	if _, ok := ctx.Value(grantKey{}).(grant); !ok {
		return 0, asDistribution(target{}, ErrDenied)
	}
	names, more, err := n.meta.Repositories(last, len(into))
	if err != nil {
		return 0, err
	}
	for i, name := range names {
		into[i] = string(name)
	}
	if !more {
		return len(names), io.EOF
	}
	return len(names), nil
}

// Blobs implements distribution.Namespace. Nothing enumerates through it: only
// distribution's own collector would, and collecting is meta's business.
func (n *namespace) Blobs() distribution.BlobEnumerator { return nil }

// BlobStatter implements distribution.Namespace. Nobody asks: a digest is no permission.
func (n *namespace) BlobStatter() distribution.BlobStatter { return nil }

// A service is a repository as distribution.Repository.
type service struct {
	repository
	named reference.Named
}

func (s service) Named() reference.Named { return s.named }

func (s service) Manifests(context.Context, ...distribution.ManifestServiceOption) (
	distribution.ManifestService, error,
) {
	return manifestService{s}, nil
}

func (s service) Blobs(context.Context) distribution.BlobStore { return blobService{s} }
func (s service) Tags(context.Context) distribution.TagService { return tagService{s} }

func (s service) manifest(d digest.Digest) target {
	return target{kind: kindManifest, repo: s.name, ref: d.String(), digest: d}
}

func (s service) tag(tag string) target {
	t, _ := meta.ParseTag(tag)
	return target{kind: kindManifest, repo: s.name, ref: tag, tag: t}
}

func (s service) blob(d digest.Digest) target { return target{kind: kindBlob, repo: s.name, digest: d} }

type manifestService struct{ service }

func (s manifestService) Exists(_ context.Context, d digest.Digest) (bool, error) {
	_, _, err := s.meta.StatManifest(s.name, d)
	return known(err)
}

func (s manifestService) Get(_ context.Context, d digest.Digest, _ ...distribution.ManifestServiceOption) (
	distribution.Manifest, error,
) {
	m, err := s.meta.Manifest(s.name, d)
	if err != nil {
		return nil, asDistribution(s.manifest(d), err)
	}
	dm, _, err := distribution.UnmarshalManifest(m.MediaType, m.Payload)
	return dm, err
}

// Put stores the manifest and its tag in one command. App calls Tag right after; by
// then there is nothing left to do.
func (s manifestService) Put(
	ctx context.Context, dm distribution.Manifest, opts ...distribution.ManifestServiceOption,
) (digest.Digest, error) {
	mediaType, payload, err := dm.Payload()
	if err != nil {
		return "", fmt.Errorf("encode manifest: %w", err)
	}
	p := push{digest: digest.FromBytes(payload), mediaType: mediaType, payload: payload}
	for _, o := range opts {
		if with, ok := o.(distribution.WithTagOption); ok {
			tag, err := meta.ParseTag(with.Tag)
			if err != nil {
				return "", asDistribution(target{}, tagInvalid(with.Tag))
			}
			p.tags = append(p.tags, tag)
		}
	}
	m, err := s.push(ctx, p)
	if err != nil {
		return "", asDistribution(s.manifest(p.digest), err)
	}
	if m.Subject != "" {
		setHeader(ctx, "Oci-Subject", m.Subject.String())
	}
	return p.digest, nil
}

// setHeader sets a header that App knows nothing of on the answer it is making.
func setHeader(ctx context.Context, key, value string) {
	if w, ok := ctx.Value("http.response").(http.ResponseWriter); ok {
		w.Header()[key] = []string{value}
	}
}

func (s manifestService) Delete(ctx context.Context, d digest.Digest) error {
	err := asDistribution(s.manifest(d), s.deleteManifest(ctx, d))
	if errors.As(err, new(distribution.ErrManifestUnknownRevision)) {
		return distribution.ErrBlobUnknown // App compares with this one here
	}
	return err
}

type tagService struct{ service }

func (s tagService) Get(_ context.Context, tag string) (ocispec.Descriptor, error) {
	t := s.tag(tag)
	if t.tag == "" {
		return ocispec.Descriptor{}, distribution.ErrTagUnknown{Tag: tag}
	}
	m, size, err := s.meta.StatTag(s.name, t.tag)
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: size}, asDistribution(t, err)
}

// Tag has nothing to do: App's only call comes right after Put set the tag. Comparing
// would be wrong, because another push may have moved it in between.
func (s tagService) Tag(context.Context, string, ocispec.Descriptor) error { return nil }

func (s tagService) Untag(ctx context.Context, tag string) error {
	t := s.tag(tag)
	if t.tag == "" {
		return distribution.ErrTagUnknown{Tag: tag}
	}
	return asDistribution(t, s.deleteTag(ctx, t.tag))
}

func (s tagService) All(ctx context.Context) ([]string, error) {
	tags, err := s.List(ctx, -1, "")
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return tags, err
}

// Lookup finds no tags to remove: Delete took them along in its command.
func (s tagService) Lookup(context.Context, ocispec.Descriptor) ([]string, error) { return nil, nil }

// List returns io.EOF with the last page.
func (s tagService) List(_ context.Context, limit int, last string) ([]string, error) {
	var all []string
	for {
		n := pageMax
		if limit >= 0 {
			n = min(limit-len(all), pageMax)
		}
		tags, more, err := s.meta.Tags(s.name, last, n)
		if err != nil {
			return nil, asDistribution(target{kind: kindTags, repo: s.name}, err)
		}
		for _, tag := range tags {
			all = append(all, string(tag))
		}
		if !more {
			return all, io.EOF
		}
		if limit >= 0 && len(all) >= limit {
			return all, nil
		}
		last = all[len(all)-1]
	}
}

type blobService struct{ service }

func (s blobService) Stat(_ context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	b, err := s.meta.Blob(s.name, d)
	desc := ocispec.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: b.Size}
	return desc, asDistribution(s.blob(d), err)
}

func (s blobService) Get(ctx context.Context, d digest.Digest) ([]byte, error) {
	f, err := s.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return io.ReadAll(f)
}

func (s blobService) Open(ctx context.Context, d digest.Digest) (io.ReadSeekCloser, error) {
	b, err := s.meta.Blob(s.name, d)
	if err != nil {
		return nil, asDistribution(s.blob(d), err)
	}
	f, err := s.open(ctx, b)
	if err != nil {
		return nil, asDistribution(s.blob(d), err)
	}
	return f, nil
}

func (s blobService) ServeBlob(_ context.Context, w http.ResponseWriter, r *http.Request, d digest.Digest) error {
	return asDistribution(s.blob(d), s.serve(w, r, s.blob(d)))
}

// Put is not reached: App sends every blob through Create.
func (s blobService) Put(context.Context, string, []byte) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, distribution.ErrUnsupported
}

func (s blobService) Create(ctx context.Context, opts ...distribution.BlobCreateOption) (
	distribution.BlobWriter, error,
) {
	var create distribution.CreateOptions
	for _, o := range opts {
		if err := o.Apply(&create); err != nil {
			return nil, fmt.Errorf("create upload: %w", err)
		}
	}
	if from := create.Mount.From; create.Mount.ShouldMount {
		source, err := meta.ParseRepoName(from.Name())
		mounted := false
		if err == nil {
			_, mounted, err = s.mount(ctx, source, from.Digest())
		}
		if err != nil {
			return nil, asDistribution(s.blob(from.Digest()), err)
		}
		if mounted {
			return nil, distribution.ErrBlobMounted{From: from, Descriptor: ocispec.Descriptor{Digest: from.Digest()}}
		}
	}
	u, err := s.blobs.Create(s.uploadScope(), "", -1)
	return &writer{u, s}, asDistribution(target{kind: kindUploads, repo: s.name}, err)
}

func (s blobService) Resume(_ context.Context, id string) (distribution.BlobWriter, error) {
	u, err := s.blobs.Resume(s.uploadScope(), id)
	return &writer{u, s}, asDistribution(target{kind: kindUpload, repo: s.name}, err)
}

func (s blobService) Delete(ctx context.Context, d digest.Digest) error {
	err := s.deleteBlob(ctx, d)
	if errors.Is(err, meta.ErrUnavailable) {
		setHeader(ctx, "Retry-After", retryAfter)
	}
	return asDistribution(s.blob(d), err)
}

// A writer is an upload as distribution.BlobWriter.
type writer struct {
	*blobstore.Upload
	blobService
}

func (w *writer) Commit(ctx context.Context, p ocispec.Descriptor) (ocispec.Descriptor, error) {
	p.Size = w.Size()
	err := w.commit(ctx, w.Upload, p.Digest)
	if errors.Is(err, blobstore.ErrDigest) {
		return p, distribution.ErrBlobInvalidDigest{Digest: p.Digest, Reason: err}
	}
	return p, asDistribution(target{kind: kindUpload, repo: w.name}, err)
}

func (w *writer) Cancel(context.Context) error { return w.Upload.Cancel() }
