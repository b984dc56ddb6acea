//go:build clients

package clients

import (
	"bytes"
	"context"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// TestOrasCopiesAGraph pushes an image and an artifact that refers to it with
// oras-go, finds the artifact through the image, and copies both away together.
func TestOrasCopiesAGraph(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, gzipImage)
	ctx := t.Context()
	repo := b.oras("oras/app")
	local, err := oci.New(img.dir)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := oras.Copy(ctx, local, "latest", repo, "1", oras.DefaultCopyOptions)
	if err != nil {
		t.Fatal(err)
	}
	if subject.Digest != img.manifest {
		t.Errorf("pushed %s, want %s", subject.Digest, img.manifest)
	}

	text := []byte("what is known about it")
	artifact := b.attach(ctx, repo, subject, "text/x.note", text)
	var found []ocispec.Descriptor
	err = repo.Referrers(ctx, subject, "text/x.note", func(page []ocispec.Descriptor) error {
		found = append(found, page...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].Digest != artifact.Digest || found[0].ArtifactType != "text/x.note" {
		t.Errorf("referrers %v, want %s", found, artifact.Digest)
	}

	there := b.oras("oras/copy")
	if _, err := oras.ExtendedCopy(ctx, repo, "1", there, "1", oras.DefaultExtendedCopyOptions); err != nil {
		t.Fatal(err)
	}
	_, raw, err := oras.FetchBytes(ctx, there, artifact.Digest.String(), oras.DefaultFetchBytesOptions)
	if err != nil {
		t.Fatal(err)
	}
	var manifest ocispec.Manifest
	b.decode(&manifest, string(raw))
	if back, err := content.FetchAll(ctx, there, manifest.Layers[0]); err != nil || !bytes.Equal(back, text) {
		t.Errorf("the artifact's file came back as %q (%v), want %q", back, err, text)
	}
	b.skopeoLogin()
	checkLayout(t, b.copyOut("oras/copy:1"), img)
}

// attach pushes an artifact of one file that refers to subject.
func (b *box) attach(
	ctx context.Context, repo *remote.Repository, subject ocispec.Descriptor, kind string, text []byte,
) ocispec.Descriptor {
	b.t.Helper()
	layer, err := oras.PushBytes(ctx, repo, "text/plain", text)
	if err != nil {
		b.t.Fatal(err)
	}
	artifact, err := oras.PackManifest(ctx, repo, oras.PackManifestVersion1_1, kind,
		oras.PackManifestOptions{Subject: &subject, Layers: []ocispec.Descriptor{layer}})
	if err != nil {
		b.t.Fatal(err)
	}
	return artifact
}

// oras returns a repository of the registry, logged in.
func (b *box) oras(name string) *remote.Repository {
	b.t.Helper()
	repo, err := remote.NewRepository(b.ref(name))
	if err != nil {
		b.t.Fatal(err)
	}
	repo.Client = &auth.Client{
		Client: b.Client(),
		Cache:  auth.NewCache(),
		Credential: auth.StaticCredential(b.Addr, auth.Credential{
			Username: b.User, Password: b.Password,
		}),
	}
	return repo
}
