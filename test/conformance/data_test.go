//go:build conformance

package conformance_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A dataset is one shape of content that image-spec allows.
type dataset struct {
	name  string
	build func(*bundle)
}

// datasets returns the shapes that TestContent takes through a life.
func datasets() []dataset {
	return []dataset{
		{"image", func(b *bundle) { b.image(ocispec.Manifest{}); b.tag("image") }},
		{"image, uncompressed", func(b *bundle) {
			b.image(ocispec.Manifest{Layers: []ocispec.Descriptor{b.layer(ocispec.MediaTypeImageLayer)}})
			b.tag("uncompressed")
		}},
		{"image, large manifest", largeManifest},
		{"image, no layers", func(b *bundle) {
			b.image(ocispec.Manifest{Layers: []ocispec.Descriptor{}})
			b.tag("no-layers")
		}},
		{"image, 127 layers", func(b *bundle) { b.image(ocispec.Manifest{Layers: b.layers(127)}); b.tag("many") }},
		{"image, empty layers", emptyLayers},
		{"image, shared layers", sharedLayers},
		{"image, non-distributable layers", nonDistributable},
		{"image, data field", dataField},
		{"image, no media type", noMediaType},
		{"index", func(b *bundle) { b.index(ocispec.Index{Manifests: b.platforms()}); b.tag("index") }},
		{"index, nested", nestedIndex},
		{"index, empty", func(b *bundle) { b.index(ocispec.Index{}); b.tag("index") }},
		{"index, sparse", sparseIndex},
		{"custom fields", customFields},
		{"artifact", func(b *bundle) { b.image(b.artifact(exampleType, nil)); b.tag("artifact") }},
		{"artifact without layers", func(b *bundle) {
			b.image(ocispec.Manifest{ArtifactType: exampleType, Config: b.empty(), Layers: []ocispec.Descriptor{b.empty()}})
			b.tag("artifact")
		}},
		{"artifact index", artifactIndex},
		{"subject, image", subjectImage},
		{"subject, index", subjectIndex},
		{"subject, missing", missingSubject},
		{"docker image", func(b *bundle) { dockerImage(b); b.tag("docker") }},
		{"docker list", func(b *bundle) {
			image := dockerImage(b)
			image.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
			b.index(ocispec.Index{MediaType: dockerList, Manifests: []ocispec.Descriptor{image}})
			b.tag("docker")
		}},
	}
}

// largeManifest is an image with 3.9 MB of annotations.
func largeManifest(b *bundle) {
	annotations := map[string]string{}
	for i := range 390 {
		annotations[fmt.Sprintf("org.example.large.%d", i)] = strings.Repeat("A", 10_000)
	}
	b.image(ocispec.Manifest{Annotations: annotations})
	b.tag("large")
}

// emptyLayers has a layer of no bytes and one of two.
func emptyLayers(b *bundle) {
	b.image(ocispec.Manifest{Layers: []ocispec.Descriptor{b.add(ocispec.MediaTypeImageLayer, nil), b.empty()}})
	b.tag("empty-layers")
}

// sharedLayers is two images on one base, the second of which has it twice.
func sharedLayers(b *bundle) {
	base := b.layers(2)
	b.image(ocispec.Manifest{Layers: base})
	b.tag("base")
	b.image(ocispec.Manifest{Layers: append([]ocispec.Descriptor{base[0], base[1], base[0]}, b.layers(1)...)})
	b.tag("derived")
}

// nonDistributable names layers that are nowhere in the registry.
func nonDistributable(b *bundle) {
	var layers []ocispec.Descriptor
	//nolint:staticcheck // deprecated, and still pushed
	types := []string{ocispec.MediaTypeImageLayerNonDistributable, ocispec.MediaTypeImageLayerNonDistributableGzip}
	for _, mediaType := range types {
		d := b.alg.FromString(rand.Text())
		layers = append(layers, ocispec.Descriptor{
			MediaType: mediaType, Digest: d, Size: 123456, URLs: []string{"https://store.example.org/" + d.Encoded()},
		})
	}
	b.image(ocispec.Manifest{Layers: append(layers, b.layers(1)...)})
	b.tag("non-distributable")
}

// dataField embeds what the descriptors describe.
func dataField(b *bundle) {
	embed := func(d ocispec.Descriptor) ocispec.Descriptor {
		d.Data = b.blobs[len(b.blobs)-1].bytes
		return d
	}
	config := embed(b.config(ocispec.MediaTypeImageConfig))
	layer := embed(b.layer(ocispec.MediaTypeImageLayerGzip))
	b.image(ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{layer}})
	b.tag("data")
}

// noMediaType leaves out the field that "SHOULD" be there.
func noMediaType(b *bundle) {
	content := fmt.Sprintf(`{"schemaVersion":2,"config":%s,"layers":%s}`,
		marshal(b.t, b.config(ocispec.MediaTypeImageConfig)), marshal(b.t, b.layers(1)))
	b.put(ocispec.MediaTypeImageManifest, []byte(content), nil, "", nil)
	b.tag("untyped")
}

// nestedIndex is an index of two indexes.
func nestedIndex(b *bundle) {
	var inner []ocispec.Descriptor
	for range 2 {
		inner = append(inner, b.index(ocispec.Index{Manifests: b.platforms()}))
	}
	b.index(ocispec.Index{Manifests: inner})
	b.tag("index-of-indexes")
}

// sparseIndex names an image that was never pushed. The specification lets a
// registry reject it; this one must not, so that one platform can be mirrored.
func sparseIndex(b *bundle) {
	here := b.image(ocispec.Manifest{})
	absent := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: b.alg.FromString(rand.Text()), Size: 1024,
		Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64"},
	}
	b.index(ocispec.Index{Manifests: []ocispec.Descriptor{here, absent}})
	b.tag("sparse")
}

// customFields puts fields that nobody has specified at every level.
func customFields(b *bundle) {
	config := b.add(ocispec.MediaTypeImageConfig, fmt.Appendf(nil, `{"org.example":%q,"rootfs":{"x":[{}]}}`, rand.Text()))
	layer := b.layer(ocispec.MediaTypeImageLayerGzip)
	for i, m := range []struct {
		mediaType string
		content   any
	}{
		{ocispec.MediaTypeImageManifest, ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{layer},
		}},
		{ocispec.MediaTypeImageIndex, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}},
	} {
		var fields map[string]any
		if err := json.Unmarshal(marshal(b.t, m.content), &fields); err != nil {
			b.t.Fatal(err)
		}
		fields["schemaVersion"] = 2
		fields["org.example."+rand.Text()] = map[string]any{"deep": []any{1.5, nil, rand.Text()}}
		if i == 1 {
			child := b.manifest()
			fields["manifests"] = []any{map[string]any{
				"mediaType": child.mediaType, "digest": child.digest, "size": len(child.bytes), "org.example.child": true,
			}}
		}
		b.put(m.mediaType, marshal(b.t, fields), nil, "", nil)
	}
	b.tag("custom")
}

// artifactIndex is an index of artifacts, and one itself.
func artifactIndex(b *bundle) {
	children := []ocispec.Descriptor{b.image(b.artifact(exampleType, nil)), b.image(b.artifact(otherType, nil))}
	b.index(ocispec.Index{ArtifactType: exampleType, Manifests: children})
	b.tag("artifacts")
}

// subjectImage is an image with three referrers.
func subjectImage(b *bundle) {
	subject := b.image(ocispec.Manifest{})
	b.tag("image")
	b.image(ocispec.Manifest{Subject: &subject})
	b.image(b.artifact(exampleType, &subject))
	b.tag("signature")
	b.image(b.artifact(otherType, &subject))
	b.tag("sbom")
}

// subjectIndex is an index that an index of artifacts refers to.
func subjectIndex(b *bundle) {
	subject := b.index(ocispec.Index{Manifests: b.platforms()})
	b.tag("index")
	var children []ocispec.Descriptor
	for range 2 {
		children = append(children, b.image(b.artifact(exampleType, &subject)))
	}
	b.index(ocispec.Index{
		ArtifactType: exampleType, Manifests: children, Subject: &subject, Annotations: map[string]string{"a": "b"},
	})
	b.tag("signatures")
}

// missingSubject refers to nothing.
func missingSubject(b *bundle) {
	d := b.alg.FromString(rand.Text())
	b.image(b.artifact(exampleType, &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Size: 123, Digest: d}))
	b.tag("signature")
}

// dockerImage is a schema 2 image with a layer that is elsewhere.
func dockerImage(b *bundle) ocispec.Descriptor {
	foreign := ocispec.Descriptor{
		MediaType: dockerForeignLayer, Digest: digest.SHA256.FromString(rand.Text()), Size: 123456,
		URLs: []string{"https://store.example.org/layer"},
	}
	return b.image(ocispec.Manifest{
		MediaType: dockerManifest, Config: b.config(dockerConfig),
		Layers: []ocispec.Descriptor{foreign, b.layer(dockerLayer)},
	})
}
