//go:build conformance

package conformance_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	_ "crypto/sha256" // go-digest knows only what is linked
	_ "crypto/sha512"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	dockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList         = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig       = "application/vnd.docker.container.image.v1+json"
	dockerLayer        = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	dockerForeignLayer = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	schema1            = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	exampleType        = "application/vnd.example.skerry.v1+json"
	otherType          = "application/vnd.example.skerry.v2"

	accept = ocispec.MediaTypeImageIndex + ", " + ocispec.MediaTypeImageManifest + ", " +
		dockerManifest + ", " + dockerList
)

// A blob is bytes under their digest.
type blob struct {
	digest digest.Digest
	bytes  []byte
}

func newBlob(alg digest.Algorithm, b []byte) blob {
	return blob{digest: alg.FromBytes(b), bytes: b}
}

func randomBlob(alg digest.Algorithm, size int) blob {
	b := make([]byte, size)
	_, _ = rand.Read(b) // never fails
	return newBlob(alg, b)
}

// A manifest is a JSON document with its media type.
type manifest struct {
	blob
	mediaType string
	subject   digest.Digest // "" when it has none
	// referrer is the descriptor that a list of the subject's referrers must show.
	referrer ocispec.Descriptor
}

// A bundle is content that belongs together: the blobs, the manifests that name
// them (children before parents), and the tags.
type bundle struct {
	t         *testing.T
	alg       digest.Algorithm
	blobs     []blob
	manifests []manifest
	tags      map[string]digest.Digest
	tagParam  bool // push tags as parameters of the push by digest
}

func newBundle(t *testing.T, alg digest.Algorithm) *bundle {
	t.Helper()
	return &bundle{t: t, alg: alg, tags: map[string]digest.Digest{}}
}

// manifest returns the last manifest that was added.
func (b *bundle) manifest() manifest { return b.manifests[len(b.manifests)-1] }

// tag names the last manifest that was added.
func (b *bundle) tag(names ...string) {
	for _, name := range names {
		b.tags[name] = b.manifest().digest
	}
}

// add takes content in as a blob and returns its descriptor.
func (b *bundle) add(mediaType string, content []byte) ocispec.Descriptor {
	bl := newBlob(b.alg, content)
	b.blobs = append(b.blobs, bl)
	return ocispec.Descriptor{MediaType: mediaType, Digest: bl.digest, Size: int64(len(content))}
}

// layer adds a layer with one random file, gzipped where its type says so.
func (b *bundle) layer(mediaType string) ocispec.Descriptor {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	content := []byte(rand.Text())
	if err := w.WriteHeader(&tar.Header{Name: "etc/motd", Size: int64(len(content)), Mode: 0o644}); err != nil {
		b.t.Fatal(err)
	}
	_, _ = w.Write(content) // to memory
	_ = w.Close()
	if mediaType == ocispec.MediaTypeImageLayer {
		return b.add(mediaType, archive.Bytes())
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(archive.Bytes())
	_ = z.Close()
	return b.add(mediaType, packed.Bytes())
}

// layers adds n ordinary layers.
func (b *bundle) layers(n int) []ocispec.Descriptor {
	ls := make([]ocispec.Descriptor, n)
	for i := range ls {
		ls[i] = b.layer(ocispec.MediaTypeImageLayerGzip)
	}
	return ls
}

// config adds an image's configuration, distinct from every other.
func (b *bundle) config(mediaType string) ocispec.Descriptor {
	return b.add(mediaType, fmt.Appendf(nil,
		`{"author":%q,"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`, rand.Text()))
}

// empty adds the two bytes that stand for "nothing".
func (b *bundle) empty() ocispec.Descriptor { return b.add(ocispec.MediaTypeEmptyJSON, []byte("{}")) }

// image adds m as a manifest. Where m names no configuration and no layers (nil,
// not empty), it gets an ordinary one and two of them.
func (b *bundle) image(m ocispec.Manifest) ocispec.Descriptor {
	if m.Config.Digest == "" {
		m.Config = b.config(ocispec.MediaTypeImageConfig)
	}
	if m.Layers == nil {
		m.Layers = b.layers(2)
	}
	if m.MediaType == "" {
		m.MediaType = ocispec.MediaTypeImageManifest
	}
	m.Versioned = specs.Versioned{SchemaVersion: 2}
	artifactType := m.ArtifactType
	if artifactType == "" {
		artifactType = m.Config.MediaType
	}
	return b.put(m.MediaType, marshal(b.t, m), m.Subject, artifactType, m.Annotations)
}

// index adds x as an index.
func (b *bundle) index(x ocispec.Index) ocispec.Descriptor {
	if x.Manifests == nil {
		x.Manifests = []ocispec.Descriptor{}
	}
	if x.MediaType == "" {
		x.MediaType = ocispec.MediaTypeImageIndex
	}
	x.Versioned = specs.Versioned{SchemaVersion: 2}
	return b.put(x.MediaType, marshal(b.t, x), x.Subject, x.ArtifactType, x.Annotations)
}

// platforms adds an image for each of two platforms and returns their descriptors.
func (b *bundle) platforms() []ocispec.Descriptor {
	var ds []ocispec.Descriptor
	for _, architecture := range []string{"amd64", "arm64"} {
		d := b.image(ocispec.Manifest{})
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture}
		ds = append(ds, d)
	}
	return ds
}

// put adds content as a manifest, and knows how its subject's referrers list it.
func (b *bundle) put(
	mediaType string, content []byte, subject *ocispec.Descriptor, artifactType string, annotations map[string]string,
) ocispec.Descriptor {
	m := manifest{blob: newBlob(b.alg, content), mediaType: mediaType}
	d := ocispec.Descriptor{MediaType: mediaType, Digest: m.digest, Size: int64(len(content))}
	if subject != nil {
		m.subject = subject.Digest
		m.referrer = d
		m.referrer.ArtifactType = artifactType
		m.referrer.Annotations = annotations
	}
	b.manifests = append(b.manifests, m)
	return d
}

// artifact describes an artifact manifest: no configuration, one layer of a type
// that no image has.
func (b *bundle) artifact(artifactType string, subject *ocispec.Descriptor) ocispec.Manifest {
	return ocispec.Manifest{
		ArtifactType: artifactType,
		Config:       b.empty(),
		Layers:       []ocispec.Descriptor{b.add(exampleType, []byte(rand.Text()))},
		Subject:      subject,
		Annotations:  map[string]string{"org.example.skerry.id": rand.Text()},
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// smallImage returns a bundle of one image with one configuration and one layer.
func smallImage(t *testing.T, alg digest.Algorithm) (*bundle, manifest) {
	t.Helper()
	b := newBundle(t, alg)
	b.image(ocispec.Manifest{Layers: b.layers(1)})
	return b, b.manifest()
}
