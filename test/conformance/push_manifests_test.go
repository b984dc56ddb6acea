//go:build conformance

package conformance_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// "Pushing Manifests"
func TestPushingManifests(t *testing.T) {
	hold(
		t,
		sentence{"created", forAlgorithms(manifestIsCreated)},
		sentence{"exact bytes", bytesAreKept},
		sentence{"wrong digest", forAlgorithms(wrongManifestDigestIsRefused)},
		sentence{"not a manifest", notAManifestIsRefused},
		sentence{"docker schema 1", schema1IsRefused},
		sentence{"4 megabytes", fourMegabytesAreAccepted},
		sentence{"too large", tooLargeIs413},
		sentence{"tag moves", tagMoves},
		sentence{"missing references", missingReferencesAreNamed},
		sentence{"references elsewhere", referencesAreTheRepositorys},
		sentence{"unknown media type", unknownTypeIsKeptOrRefused},
	)
}

// "Upon a successful upload, the registry MUST return response code `201
// Created`, and MUST have the following header: Location", "The `<location>` is a
// pullable manifest URL." and Docker-Content-Digest "MUST be equal to the client
// provided digest".
func manifestIsCreated(r *repository, alg digest.Algorithm) {
	b := newBundle(r.t, alg)
	b.index(ocispec.Index{Manifests: b.platforms()})
	for _, bl := range b.blobs {
		r.pushBlob(bl)
	}
	for _, m := range b.manifests {
		for range 2 { // the second time nothing is new, and nothing differs
			p := r.putManifest(m, m.digest.String(), "").want(http.StatusCreated).wantDigest(m.digest)
			r.get(p.location()).want(http.StatusOK).wantBody(m.bytes).wantHeader("Content-Type", m.mediaType)
			p.wantNoHeader("OCI-Subject")
		}
	}
	if alg != digest.SHA256 {
		return // a tag alone says nothing of the algorithm
	}
	m := b.manifest()
	p := r.putManifest(m, "latest", "").want(http.StatusCreated).wantDigest(m.digest)
	r.get(p.location()).want(http.StatusOK).wantBody(m.bytes).wantHeader("Content-Type", m.mediaType)
}

// "The registry MUST store the manifest in the exact byte representation
// provided by the client."
func bytesAreKept(r *repository) {
	b := newBundle(r.t, digest.SHA256)
	config, layer := b.config(ocispec.MediaTypeImageConfig), b.layer(ocispec.MediaTypeImageLayerGzip)
	for i, form := range []string{
		"{\"schemaVersion\":2,\"mediaType\":%[1]q,\"config\":%[2]s,\"layers\":[%[3]s]}",
		"\n\t{ \"layers\" : [%[3]s],\r\n \"config\":%[2]s , \"mediaType\" : %[1]q, \"schemaVersion\":   2}\n\n",
		"{\"schemaVersion\":2,\"mediaType\":%[1]q,\"config\":%[2]s,\"layers\":[%[3]s]," +
			"\"annotations\":{\"z\":\"\\u00e4<>&\u2028ä\",\"a\":\"\\/\"}," +
			"\"org.example\":{\"b\":[1e3,null],\"a\":9007199254740993}}",
	} {
		content := fmt.Sprintf(form, ocispec.MediaTypeImageManifest, marshal(r.t, config), marshal(r.t, layer))
		b.put(ocispec.MediaTypeImageManifest, []byte(content), nil, "", nil)
		b.tag(fmt.Sprintf("v%d", i))
	}
	r.push(b)
	for _, m := range b.manifests {
		r.get(r.manifestPath(m.digest.String())).want(http.StatusOK).wantBody(m.bytes).wantDigest(m.digest).
			wantHeader("Content-Type", ocispec.MediaTypeImageManifest)
	}
}

// The digest "MUST be equal to the client provided digest", so a body that has
// another one is refused, and found under neither.
func wrongManifestDigestIsRefused(r *repository, alg digest.Algorithm) {
	b, m := smallImage(r.t, alg)
	for _, bl := range b.blobs {
		r.pushBlob(bl)
	}
	padded := m
	padded.bytes = append(bytes.Clone(m.bytes), "  "...)
	r.putManifest(padded, m.digest.String(), "").wantError(http.StatusBadRequest, "DIGEST_INVALID")
	r.get(r.manifestPath(m.digest.String())).want(http.StatusNotFound)
	r.get(r.manifestPath(alg.FromBytes(padded.bytes).String())).want(http.StatusNotFound)
}

// code-6, MANIFEST_INVALID: "manifest invalid"
func notAManifestIsRefused(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	r.push(b)
	for _, content := range []string{
		"", "not json", "[]", "null", "42", `{"schemaVersion":2`, string(m.bytes[:len(m.bytes)-1]), string(m.bytes) + "}",
		`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","config":"x","layers":[]}`,
	} {
		bad := m
		bad.bytes = []byte(content)
		r.putManifest(bad, "bad", "").wantError(http.StatusBadRequest, "MANIFEST_INVALID")
		r.putManifest(bad, digest.FromString(content).String(), "").wantError(http.StatusBadRequest, "MANIFEST_INVALID")
		r.get(r.manifestPath("bad")).want(http.StatusNotFound)
	}
}

// Not the specification's: Docker's schema 1 is refused with a word why.
func schema1IsRefused(r *repository) {
	m := manifest{mediaType: schema1, blob: newBlob(digest.SHA256, []byte(`{"schemaVersion":1,"name":"a","tag":"b",
		"architecture":"amd64","fsLayers":[],"history":[],"signatures":[]}`))}
	r.putManifest(m, "old", "").wantRefused()
	r.get(r.manifestPath("old")).want(http.StatusNotFound)
}

// imageOfSize returns an image whose manifest has exactly size bytes.
func imageOfSize(r *repository, size int) (*bundle, manifest) {
	b := newBundle(r.t, digest.SHA256)
	m := ocispec.Manifest{Config: b.empty(), Layers: []ocispec.Descriptor{}, Annotations: map[string]string{"pad": ""}}
	b.image(m)
	m.Annotations["pad"] = strings.Repeat("A", size-len(b.manifest().bytes))
	b.image(m)
	return b, b.manifest()
}

// "Client and registry implementations SHOULD expect to be able to support
// manifest pushes of at least 4 megabytes." Either kind of megabyte.
func fourMegabytesAreAccepted(r *repository) {
	for _, size := range []int{4_000_000, 4 << 20} {
		b, m := imageOfSize(r, size)
		r.pushBlob(b.blobs[0])
		tag := fmt.Sprint("size-", size)
		r.putManifest(m, tag, "").want(http.StatusCreated)
		r.get(r.manifestPath(tag)).want(http.StatusOK).wantBody(m.bytes)
		r.head(r.manifestPath(tag)).want(http.StatusOK).wantHeader("Content-Length", fmt.Sprint(size))
	}
}

// "A registry that enforces this limit SHOULD respond to a request to push a
// manifest over this limit with a response code `413 Payload Too Large`."
func tooLargeIs413(r *repository) {
	b, m := imageOfSize(r, 32<<20)
	r.pushBlob(b.blobs[0])
	for _, stream := range []bool{false, true} {
		r.do(call{
			method: http.MethodPut, to: r.manifestPath("large"), body: m.bytes, stream: stream,
			header: map[string]string{"Content-Type": m.mediaType},
		}).want(http.StatusRequestEntityTooLarge)
	}
	r.get(r.manifestPath("large")).want(http.StatusNotFound)
}

// A tag is a "pointer to a manifest. A manifest digest may have zero, one, or many
// tags referencing it." (Definitions)
func tagMoves(r *repository) {
	b := newBundle(r.t, digest.SHA256)
	b.image(ocispec.Manifest{})
	old := b.manifest()
	b.image(ocispec.Manifest{})
	r.push(b)
	for _, m := range []manifest{old, b.manifest(), old} {
		r.putManifest(m, "latest", "").want(http.StatusCreated)
		r.get(r.manifestPath("latest")).want(http.StatusOK).wantBody(m.bytes).wantDigest(m.digest)
		r.head(r.manifestPath("latest")).want(http.StatusOK).wantDigest(m.digest)
	}
	r.putManifest(old, "other", "").want(http.StatusCreated)
	r.get(r.manifestPath(b.manifest().digest.String())).want(http.StatusOK)
	r.get(r.tagsPath("")).want(http.StatusOK).wantTags(r.name, "latest", "other")
}

// "A registry MAY reject a manifest … with descriptors in other fields that
// reference a manifest or blob that does not exist in the registry. When a
// manifest is rejected for this reason, it MUST result in one or more
// `MANIFEST_BLOB_UNKNOWN` errors". Here a missing blob must be rejected; a missing
// manifest of an index must not (see the sparse content).
func missingReferencesAreNamed(r *repository) {
	for _, left := range []int{0, 1, 2} { // a layer, the other, the configuration
		b := newBundle(r.t, digest.SHA256)
		b.image(ocispec.Manifest{})
		for i, bl := range b.blobs {
			if i != left {
				r.pushBlob(bl)
			}
		}
		p := r.putManifest(b.manifest(), "latest", "").wantRefused()
		p.wantError(p.status, "MANIFEST_BLOB_UNKNOWN")
		r.get(r.manifestPath("latest")).want(http.StatusNotFound)
		r.pushBlob(b.blobs[left])
		r.putManifest(b.manifest(), "latest", "").want(http.StatusCreated)
		r.delete(r.manifestPath("latest")).want(http.StatusAccepted)
	}
}

// The same sentence for a blob that only another repository has: whoever knows a
// digest does not have the bytes yet.
func referencesAreTheRepositorys(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	r.repo(r.t).push(b)
	r.pushBlob(b.blobs[0])
	p := r.putManifest(m, "latest", "").wantRefused()
	p.wantError(p.status, "MANIFEST_BLOB_UNKNOWN")
}

// "The specification is designed to be agnostic of content types." A manifest of a
// type nobody knows is kept as it is, or refused; it is never changed.
func unknownTypeIsKeptOrRefused(r *repository) {
	m := manifest{
		mediaType: "application/vnd.example.unknown.v7+json",
		blob:      newBlob(digest.SHA256, []byte(`{"mediaType":"application/vnd.example.unknown.v7+json", "x": [1, 2]}`)),
	}
	p := r.putManifest(m, "latest", "")
	if p.status == http.StatusCreated {
		r.get(r.manifestPath("latest")).want(http.StatusOK).wantBody(m.bytes).wantHeader("Content-Type", m.mediaType)
		return
	}
	p.wantRefused()
	r.get(r.manifestPath("latest")).want(http.StatusNotFound)
}

// "Pushing Manifests with Subject", and "Push"
func TestPushingManifestsWithSubject(t *testing.T) {
	hold(
		t,
		sentence{"processed", forAlgorithms(subjectIsAcknowledged)},
		sentence{"missing", forAlgorithms(missingSubjectIsAccepted)},
	)
}

// "a registry implementation that supports the referrers API MUST respond with
// the response header `OCI-Subject: <subject digest>`"
func subjectIsAcknowledged(r *repository, alg digest.Algorithm) {
	b := newBundle(r.t, alg)
	subject := b.image(ocispec.Manifest{})
	b.image(b.artifact(exampleType, &subject))
	b.index(ocispec.Index{Subject: &subject})
	for _, bl := range b.blobs {
		r.pushBlob(bl)
	}
	for i, m := range b.manifests {
		p := r.putManifest(m, m.digest.String(), "").want(http.StatusCreated)
		if i == 0 {
			p.wantNoHeader("OCI-Subject")
			continue
		}
		p.wantHeader("OCI-Subject", subject.Digest.String())
		r.putManifest(m, fmt.Sprintf("v%d", i), "").want(http.StatusCreated).
			wantHeader("OCI-Subject", subject.Digest.String())
	}
}

// "A registry MUST initially accept an otherwise valid manifest with a `subject`
// field that references a manifest that does not exist in the repository"
func missingSubjectIsAccepted(r *repository, alg digest.Algorithm) {
	b := newBundle(r.t, alg)
	missing := alg.FromString("missing content")
	subject := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Size: 123, Digest: missing}
	b.image(b.artifact(exampleType, &subject))
	for _, bl := range b.blobs {
		r.pushBlob(bl)
	}
	m := b.manifest()
	r.putManifest(m, m.digest.String(), "").want(http.StatusCreated).wantHeader("OCI-Subject", subject.Digest.String())
	r.get(r.manifestPath(subject.Digest.String())).want(http.StatusNotFound)
	r.get(r.referrersPath(subject.Digest)).wantReferrers(m)
}
