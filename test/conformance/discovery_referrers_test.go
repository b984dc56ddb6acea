//go:build conformance

package conformance_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// "Listing Referrers"
func TestListingReferrers(t *testing.T) {
	hold(
		t,
		sentence{"none", forAlgorithms(noReferrers)},
		sentence{"bad digests", badReferrersAreRefused},
		sentence{"descriptors", forAlgorithms(referrersAreDescribed)},
		sentence{"order of pushes", referrersComeInEitherOrder},
		sentence{"filter", forAlgorithms(filterIsApplied)},
		sentence{"once", referrerIsListedOnce},
		sentence{"belongs to its repository", referrersAreTheRepositorys},
		sentence{"deleted", deletedReferrersAreGone},
		sentence{"more than a manifest holds", referrersArePaged},
	)
}

// referrers decodes the answer to end-12: "this request MUST return a `200 OK`
// response code", "the response MUST be a JSON body with an image index" and "The
// `Content-Type` header MUST be set to `application/vnd.oci.image.index.v1+json`."
func (p *reply) referrers() []ocispec.Descriptor {
	p.t.Helper()
	p.want(http.StatusOK).wantHeader("Content-Type", ocispec.MediaTypeImageIndex)
	var index ocispec.Index
	if err := json.Unmarshal(p.body, &index); err != nil {
		p.fail("not an index: %v", err)
		p.t.FailNow()
	}
	if index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex || index.Manifests == nil {
		p.fail("not a valid index")
	}
	return index.Manifests
}

// wantReferrers demands the descriptors of exactly these manifests, in any order.
func (p *reply) wantReferrers(want ...manifest) *reply {
	p.t.Helper()
	got := map[digest.Digest]ocispec.Descriptor{}
	for _, d := range p.referrers() {
		if _, twice := got[d.Digest]; twice {
			p.fail("%s is listed twice", d.Digest)
		}
		got[d.Digest] = d
	}
	for _, m := range want {
		d, ok := got[m.digest]
		if !ok {
			p.fail("%s is not listed", m.digest)
			continue
		}
		delete(got, m.digest)
		w := m.referrer
		if d.MediaType != w.MediaType || d.Size != w.Size || d.ArtifactType != w.ArtifactType ||
			!maps.Equal(d.Annotations, w.Annotations) {
			p.fail("%s is listed as\n    %.300s\n  want\n    %.300s", m.digest, marshal(p.t, d), marshal(p.t, w))
		}
	}
	for d := range got {
		p.fail("%s is listed", d)
	}
	return p
}

// filtered asks for the referrers of one artifact type.
func (r *repository) filtered(subject digest.Digest, artifactType string) *reply {
	r.t.Helper()
	return r.get(r.referrersPath(subject) + "?artifactType=" + url.QueryEscape(artifactType))
}

// "If the registry supports the referrers API, the registry MUST NOT return a `404
// Not Found`" and "If a query results in no matching referrers, an empty manifest
// list MUST be returned."
func noReferrers(r *repository, alg digest.Algorithm) {
	none := randomBlob(alg, 64).digest
	r.get(r.referrersPath(none)).wantReferrers() // no repository yet
	b, m := smallImage(r.t, alg)
	r.push(b)
	for _, d := range []digest.Digest{none, m.digest, b.blobs[0].digest} {
		r.get(r.referrersPath(d)).wantReferrers().wantNoHeader("Link").wantNoHeader("OCI-Filters-Applied")
	}
}

// "If the request is invalid, such as a `<digest>` with an invalid syntax, a `400
// Bad Request` MUST be returned."
func badReferrersAreRefused(r *repository) {
	b, _ := smallImage(r.t, digest.SHA256)
	r.push(b)
	for _, d := range []string{"latest", "sha256:short", "sha256:" + strings.Repeat("G", 64), "sha256", "unknown:abc"} {
		r.get(r.referrersPath(digest.Digest(d))).want(http.StatusBadRequest)
	}
}

// referring pushes a subject and one referrer of each kind; the last manifests of
// the bundle are the referrers.
func referring(r *repository, alg digest.Algorithm) (subject ocispec.Descriptor, referrers []manifest) {
	r.t.Helper()
	b := newBundle(r.t, alg)
	subject = b.image(ocispec.Manifest{})
	note := func(s string) map[string]string {
		return map[string]string{"org.example.note": s, "org.example/ä": "<&>"}
	}
	b.image(ocispec.Manifest{Subject: &subject}) // an image, known by its configuration's type
	b.image(ocispec.Manifest{Subject: &subject, Config: b.config(otherType), Annotations: note("by config")})
	b.image(b.artifact(exampleType, &subject))
	b.image(b.artifact(otherType, &subject))
	b.index(ocispec.Index{Subject: &subject, ArtifactType: exampleType, Annotations: note("index")})
	b.index(ocispec.Index{Subject: &subject, Annotations: note("index without a type")})
	r.push(b)
	return subject, b.manifests[1:]
}

// "The descriptors MUST include an `artifactType` field that is set to the value of
// the `artifactType` in the image manifest or index, if present. If the
// `artifactType` is empty or missing in the image manifest, the value of
// `artifactType` MUST be set to the config descriptor `mediaType` value. If the
// `artifactType` is empty or missing in an index, the `artifactType` MUST be
// omitted. The descriptors MUST include annotations".
func referrersAreDescribed(r *repository, alg digest.Algorithm) {
	subject, referrers := referring(r, alg)
	r.get(r.referrersPath(subject.Digest)).wantReferrers(referrers...).wantNoHeader("OCI-Filters-Applied")
	p := r.get(r.referrersPath(subject.Digest))
	var raw struct {
		Manifests []map[string]any `json:"manifests"`
	}
	if err := json.Unmarshal(p.body, &raw); err != nil {
		r.t.Fatal(err)
	}
	for _, d := range raw.Manifests {
		if v, present := d["artifactType"]; present && v == "" {
			p.fail("artifactType of %v is empty, not omitted", d["digest"])
		}
	}
}

// "allowing clients to push a manifest and referrers to that manifest in either
// order"
func referrersComeInEitherOrder(r *repository) {
	b := newBundle(r.t, digest.SHA256)
	subject := b.image(ocispec.Manifest{})
	b.image(b.artifact(exampleType, &subject))
	b.image(b.artifact(otherType, &subject))
	before, after := b.manifests[1], b.manifests[2]
	for _, bl := range b.blobs {
		r.pushBlob(bl)
	}
	r.putManifest(before, before.digest.String(), "").want(http.StatusCreated)
	r.get(r.referrersPath(subject.Digest)).wantReferrers(before)
	r.putManifest(b.manifests[0], "latest", "").want(http.StatusCreated)
	r.get(r.referrersPath(subject.Digest)).wantReferrers(before)
	r.putManifest(after, "sbom", "").want(http.StatusCreated)
	r.get(r.referrersPath(subject.Digest)).wantReferrers(before, after)
}

// "The registry SHOULD support filtering on `artifactType`." "If filtering is
// requested and applied, the response MUST include a header `OCI-Filters-Applied:
// artifactType`".
func filterIsApplied(r *repository, alg digest.Algorithm) {
	subject, referrers := referring(r, alg)
	types := map[string][]manifest{"application/vnd.example.none": nil}
	for _, m := range referrers {
		if t := m.referrer.ArtifactType; t != "" {
			types[t] = append(types[t], m)
		}
	}
	for t, want := range types {
		r.filtered(subject.Digest, t).wantReferrers(want...).wantHeader("OCI-Filters-Applied", "artifactType")
	}
	none := randomBlob(alg, 64).digest
	r.filtered(none, exampleType).wantReferrers().wantHeader("OCI-Filters-Applied", "artifactType")
}

// The list is one of manifests: pushed twice, by digest and by tag, it is one.
func referrerIsListedOnce(r *repository) {
	subject, referrers := referring(r, digest.SHA256)
	for i, m := range referrers {
		r.putManifest(m, m.digest.String(), "").want(http.StatusCreated)
		r.putManifest(m, fmt.Sprintf("v%d", i), "").want(http.StatusCreated)
	}
	r.get(r.referrersPath(subject.Digest)).wantReferrers(referrers...)
}

// "Each descriptor is of an image manifest or index in the same `<name>` namespace"
func referrersAreTheRepositorys(r *repository) {
	subject, _ := referring(r, digest.SHA256)
	other := r.repo(r.t)
	b, _ := smallImage(r.t, digest.SHA256)
	other.push(b)
	other.get(other.referrersPath(subject.Digest)).wantReferrers()
}

// A descriptor is "of an image manifest or index in the same `<name>` namespace",
// which a deleted one is not. A deleted subject still may have referrers.
func deletedReferrersAreGone(r *repository) {
	subject, referrers := referring(r, digest.SHA256)
	r.delete(r.manifestPath(referrers[0].digest.String())).want(http.StatusAccepted)
	r.get(r.referrersPath(subject.Digest)).wantReferrers(referrers[1:]...)
	r.delete(r.manifestPath(subject.Digest.String())).want(http.StatusAccepted)
	r.get(r.referrersPath(subject.Digest)).want(http.StatusOK)
	for _, m := range referrers[1:] {
		r.delete(r.manifestPath(m.digest.String())).want(http.StatusAccepted, http.StatusNotFound)
	}
	r.get(r.referrersPath(subject.Digest)).wantReferrers()
}

// "A `Link` header MUST be included in the response when the descriptor list
// cannot be returned in a single manifest. Each response is an image index with
// different descriptors". A client expects manifests of 4 megabytes at most, and a
// filter holds on every page.
func referrersArePaged(r *repository) {
	const referrers, noteBytes = 25, 200_000
	b := newBundle(r.t, digest.SHA256)
	subject := b.image(ocispec.Manifest{})
	for i := range referrers {
		m := b.artifact([]string{exampleType, otherType}[i%2], &subject)
		m.Annotations["pad"] = strings.Repeat("A", noteBytes)
		b.image(m)
	}
	r.push(b)
	for _, query := range []string{"", "?artifactType=" + url.QueryEscape(otherType)} {
		want := map[digest.Digest]bool{}
		for _, m := range b.manifests[1:] {
			if query == "" || m.referrer.ArtifactType == otherType {
				want[m.digest] = true
			}
		}
		for to := r.referrersPath(subject.Digest) + query; to != ""; {
			p := r.get(to)
			if len(p.body) > 4<<20 {
				p.fail("a page of %d bytes", len(p.body))
			}
			for _, d := range p.referrers() {
				if !want[d.Digest] {
					p.fail("%s is listed, unasked or again", d.Digest)
				}
				delete(want, d.Digest)
			}
			if query != "" {
				p.wantHeader("OCI-Filters-Applied", "artifactType")
			}
			to = p.next()
		}
		if len(want) > 0 {
			r.t.Errorf("query %q: %d referrers are on no page", query, len(want))
		}
	}
}
