//go:build conformance

package conformance_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// "Pushing Manifests" on the main branch: "When pushing a manifest by digest, the
// registry MAY support the pushing of tags specified by addition of `tag` query
// parameters." Here it must.
func TestPushingTagsByParameter(t *testing.T) {
	hold(
		t,
		sentence{"accepted", forAlgorithms(tagsAreAccepted)},
		sentence{"ten", tenTagsAreAccepted},
		sentence{"too many", tooManyTagsAreRefused},
		sentence{"existing", tagParameterMovesTags},
		sentence{"bad tags", badTagParameters},
		sentence{"with a subject", tagsAndSubject},
	)
}

// acceptedTags returns what the OCI-Tag headers list.
func (p *reply) acceptedTags() []string {
	var tags []string
	for _, line := range p.header.Values("OCI-Tag") {
		for tag := range strings.SplitSeq(line, ",") {
			tags = append(tags, strings.TrimSpace(tag))
		}
	}
	slices.Sort(tags)
	return tags
}

// tagQuery returns the query that asks for the tags.
func tagQuery(tags []string) string { return "?tag=" + strings.Join(tags, "&tag=") }

// pushTagged pushes m by digest with tags, and demands that all of them point at it.
func (r *repository) pushTagged(m manifest, tags ...string) *reply {
	r.t.Helper()
	p := r.putManifest(m, m.digest.String(), tagQuery(tags)).want(http.StatusCreated).wantDigest(m.digest)
	if got := p.acceptedTags(); !slices.Equal(got, tags) {
		p.fail("OCI-Tag lists %q, want %q", got, tags)
	}
	for _, tag := range tags {
		r.get(r.manifestPath(tag)).want(http.StatusOK).wantBody(m.bytes).wantDigest(m.digest)
		r.head(r.manifestPath(tag)).want(http.StatusOK).wantDigest(m.digest)
	}
	return p
}

// "MUST include an `OCI-Tag` response header, in accordance with RFC 9110
// semantics, for each accepted tag."
func tagsAreAccepted(r *repository, alg digest.Algorithm) {
	b, m := smallImage(r.t, alg)
	for _, bl := range b.blobs {
		r.pushBlob(bl)
	}
	r.pushTagged(m, "1", "1.2", "1.2.3", "latest")
	r.get(r.tagsPath("")).want(http.StatusOK).wantTags(r.name, "1", "1.2", "1.2.3", "latest")
	r.putManifest(m, m.digest.String(), "").want(http.StatusCreated).wantNoHeader("OCI-Tag")
}

// "SHOULD support pushing at least 10 tags per request."
func tenTagsAreAccepted(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	r.push(b)
	tags := make([]string, 10)
	for i := range tags {
		tags[i] = fmt.Sprintf("%d%s", i, strings.Repeat("t", 127))
	}
	r.pushTagged(m, tags...)
}

// "MAY return a `414 Request-URI Too Long` status if too many tags are included in
// the request." and "Clients MAY see other status codes (`431 …`)". What is refused
// sets no tag.
func tooManyTagsAreRefused(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	r.push(b)
	tags := numbered(2000)
	p := r.putManifest(m, m.digest.String(), tagQuery(tags))
	if p.status == http.StatusCreated {
		if got := p.acceptedTags(); !slices.Equal(got, tags) {
			p.fail("%d of %d tags are accepted", len(got), len(tags))
		}
		return
	}
	p.want(http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge)
	r.get(r.tagsPath("")).want(http.StatusOK).wantTags(r.name)
}

// A tag that is there moves.
func tagParameterMovesTags(r *repository) {
	b := newBundle(r.t, digest.SHA256)
	b.image(ocispec.Manifest{})
	b.tag("latest", "old")
	b.image(ocispec.Manifest{})
	r.push(b)
	r.pushTagged(b.manifest(), "latest", "new")
	r.get(r.manifestPath("old")).want(http.StatusOK).wantBody(b.manifests[0].bytes)
	r.get(r.tagsPath("")).want(http.StatusOK).wantTags(r.name, "latest", "new", "old")
}

// What does not match the tags' grammar is not accepted, and does not pass unseen.
func badTagParameters(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	for _, bl := range b.blobs {
		r.pushBlob(bl)
	}
	for _, bad := range []string{"-dash", "a%20b", "a%2Cb", strings.Repeat("t", 129), m.digest.String()} {
		p := r.putManifest(m, m.digest.String(), "?tag=good&tag="+bad)
		if p.status == http.StatusCreated {
			if got := p.acceptedTags(); !slices.Equal(got, []string{"good"}) {
				p.fail("OCI-Tag lists %q, want good alone", got)
			}
			continue
		}
		p.want(http.StatusBadRequest)
		r.get(r.manifestPath("good")).want(http.StatusNotFound)
	}
}

// The two headers do not exclude each other.
func tagsAndSubject(r *repository) {
	b := newBundle(r.t, digest.SHA256)
	none := digest.SHA512.FromString("none")
	subject := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Size: 1, Digest: none}
	b.image(b.artifact(exampleType, &subject))
	for _, bl := range b.blobs {
		r.pushBlob(bl)
	}
	r.pushTagged(b.manifest(), "sbom").wantHeader("OCI-Subject", subject.Digest.String())
	r.get(r.referrersPath(subject.Digest)).wantReferrers(b.manifest())
}

// "Pushing a blob in chunks" on the main branch: "When pushing a blob with a
// digest algorithm other than `sha256`, the post request SHOULD include the
// `digest-algorithm` parameter".
func TestDigestAlgorithm(t *testing.T) {
	hold(
		t,
		sentence{"known", forAlgorithms(algorithmIsAccepted)},
		sentence{"another than announced", announcedAlgorithmDoesNotBind},
		sentence{"unknown", unknownAlgorithmIsRefused},
	)
}

// "`<digest-algorithm>` is the algorithm the registry should use for the blob, e.g.
// `digest-algorithm=sha512`."
func algorithmIsAccepted(r *repository, alg digest.Algorithm) {
	for _, finish := range []func(*upload, blob) *reply{
		func(u *upload, b blob) *reply { return u.finish(b.digest, b.bytes) },
		func(u *upload, b blob) *reply { return u.chunks(b, false) },
		func(u *upload, b blob) *reply { return u.chunks(b, true) },
		func(u *upload, b blob) *reply {
			u.stream(b.bytes).want(http.StatusAccepted)
			return u.finish(b.digest, nil)
		},
	} {
		b := randomBlob(alg, 3*1024-5)
		p := finish(r.begin("?digest-algorithm="+alg.String()), b).want(http.StatusCreated).wantDigest(b.digest)
		r.get(p.location()).want(http.StatusOK).wantBody(b.bytes).wantDigest(b.digest)
	}
}

// The closing request's digest decides. A registry that hashed by what was
// announced refuses another algorithm (400), or hashes again.
func announcedAlgorithmDoesNotBind(r *repository) {
	b := randomBlob(digest.SHA512, 2048)
	p := r.begin("?digest-algorithm=sha256").finish(b.digest, b.bytes)
	if p.status == http.StatusBadRequest {
		p.wantError(http.StatusBadRequest, "DIGEST_INVALID")
		return
	}
	p.want(http.StatusCreated).wantDigest(b.digest)
	r.get(r.blobPath(b.digest)).want(http.StatusOK).wantBody(b.bytes)
}

// "if the client provided digest … uses an unsupported algorithm, the registry
// SHOULD respond with a response code `400 Bad Request`": at once, or at the end.
func unknownAlgorithmIsRefused(r *repository) {
	for _, alg := range []string{"md5", "unknown", ""} {
		p := r.do(call{method: http.MethodPost, to: r.uploadsPath() + "?digest-algorithm=" + alg})
		p.want(http.StatusBadRequest, http.StatusAccepted)
		if p.status == http.StatusAccepted {
			u := &upload{repo: r, location: p.location()}
			u.finish(digest.Digest(alg+":"+strings.Repeat("a", 32)), []byte("x")).want(http.StatusBadRequest)
		}
	}
}

// "Registry Proxying" (main)
func TestRegistryProxying(t *testing.T) {
	hold(t, sentence{"ns", nsIsHonouredOrIgnored})
}

// "A registry MAY choose to ignore the `ns` query parameter. A registry that uses
// the `ns` query parameter to scope the request SHOULD return the `ns` query
// parameter value in the `OCI-Namespace` header."
func nsIsHonouredOrIgnored(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	r.push(b)
	r.tag(m, "latest")
	for path, want := range map[string][]byte{
		r.manifestPath("latest"):          m.bytes,
		r.manifestPath(m.digest.String()): m.bytes,
		r.blobPath(b.blobs[0].digest):     b.blobs[0].bytes,
	} {
		p := r.get(path+"?ns=registry.example.org").want(http.StatusOK, http.StatusNotFound)
		if ns := p.header.Get("OCI-Namespace"); ns != "" {
			p.wantHeader("OCI-Namespace", "registry.example.org")
			continue
		}
		p.want(http.StatusOK).wantBody(want) // ignored
	}
}
