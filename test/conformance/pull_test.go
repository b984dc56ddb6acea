//go:build conformance

package conformance_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// "Determining Support"
func TestDeterminingSupport(t *testing.T) {
	hold(
		t,
		sentence{"api root", rootAnswers},
		sentence{"login is asked for", loginIsAskedFor},
	)
}

// "If the response is `200 OK`, then the registry implements this specification."
func rootAnswers(r *repository) {
	r.get("/v2/").want(http.StatusOK)
}

// "This endpoint MAY be used for authentication/authorization purposes". A
// registry that has accounts must say so in a way that clients can follow: 401
// with a challenge (RFC 9110, 11.6.1) and the code UNAUTHORIZED.
func loginIsAskedFor(r *repository) {
	if !r.protected {
		r.do(call{to: "/v2/", anonymous: true}).want(http.StatusOK)
		return
	}
	for _, c := range []call{
		{to: "/v2/"},
		{to: r.manifestPath("latest")},
		{method: http.MethodPost, to: r.uploadsPath()},
		{method: http.MethodPut, to: r.manifestPath("latest"), body: []byte("{}")},
		{method: http.MethodDelete, to: r.manifestPath("latest")},
	} {
		c.anonymous = true
		p := r.do(c).wantError(http.StatusUnauthorized, "UNAUTHORIZED")
		if challenge := p.header.Get("WWW-Authenticate"); challenge == "" {
			p.fail("401 without a challenge")
		}
	}
}

// "Pulling manifests"
func TestPullingManifests(t *testing.T) {
	hold(
		t,
		sentence{"existing", forAlgorithms(manifestIsServed)},
		sentence{"content type as pushed", contentTypeIsAsPushed},
		sentence{"accept is optional", acceptIsOptional},
		sentence{"missing", missingManifestIs404},
		sentence{"belongs to its repository", manifestBelongsToRepository},
		sentence{"names", namesFollowGrammar},
		sentence{"bad names", badNamesAreRefused},
		sentence{"tags", tagsFollowGrammar},
		sentence{"bad references", badReferencesAreRefused},
	)
}

// "A GET request to an existing manifest URL MUST provide the expected manifest,
// with a response code that MUST be `200 OK`." and, since the main branch, "A
// successful response MUST contain the digest of the uploaded blob in the header
// `Docker-Content-Digest`." (v1.1.1: SHOULD).
func manifestIsServed(r *repository, alg digest.Algorithm) {
	b, m := smallImage(r.t, alg)
	r.push(b)
	r.tag(m, "latest")
	for _, ref := range []string{m.digest.String(), "latest"} {
		p := r.get(r.manifestPath(ref)).want(http.StatusOK).wantBody(m.bytes).wantDigest(m.digest)
		p.wantHeader("Content-Length", fmt.Sprint(len(m.bytes)))
	}
}

// "The `Content-Type` header SHOULD match what the client pushed", "The registry
// SHOULD NOT include parameters on the `Content-Type` header" and, for pushing,
// "The registry SHOULD ignore parameters on the `Content-Type` header."
func contentTypeIsAsPushed(r *repository) {
	b := newBundle(r.t, digest.SHA256)
	image := b.image(ocispec.Manifest{})
	b.index(ocispec.Index{Manifests: []ocispec.Descriptor{image}})
	docker := b.image(ocispec.Manifest{
		MediaType: dockerManifest, Config: b.config(dockerConfig), Layers: []ocispec.Descriptor{b.layer(dockerLayer)},
	})
	b.index(ocispec.Index{MediaType: dockerList, Manifests: []ocispec.Descriptor{docker}})
	r.push(b)
	for i, m := range b.manifests {
		r.get(r.manifestPath(m.digest.String())).want(http.StatusOK).wantHeader("Content-Type", m.mediaType)
		parameterized := m
		parameterized.mediaType += "; charset=utf-8"
		tag := fmt.Sprintf("v%d", i)
		r.putManifest(parameterized, tag, "").want(http.StatusCreated)
		r.get(r.manifestPath(tag)).want(http.StatusOK).wantHeader("Content-Type", m.mediaType)
		r.head(r.manifestPath(tag)).want(http.StatusOK).wantHeader("Content-Type", m.mediaType)
	}
}

// "The client SHOULD include an `Accept` header": one that does not, or that
// accepts anything, still asks for an existing manifest, which MUST be 200.
func acceptIsOptional(r *repository) {
	b := newBundle(r.t, digest.SHA256)
	image := b.image(ocispec.Manifest{})
	b.index(ocispec.Index{Manifests: []ocispec.Descriptor{image}})
	r.push(b)
	for _, m := range b.manifests {
		path := r.manifestPath(m.digest.String())
		r.do(call{to: path}).want(http.StatusOK).wantBody(m.bytes)
		for _, accepted := range []string{"*/*", m.mediaType, "application/json;q=0.1, " + m.mediaType + ";q=0.9"} {
			r.do(call{to: path, header: map[string]string{"Accept": accepted}}).want(http.StatusOK).wantBody(m.bytes)
		}
	}
}

// "If the manifest is not found in the repository, the response code MUST be
// `404 Not Found`." and "An attempt to pull a nonexistent repository MUST return
// response code `404 Not Found`."
func missingManifestIs404(r *repository) {
	refs := []string{"latest", digest.SHA256.FromString("none").String(), digest.SHA512.FromString("none").String()}
	for _, ref := range refs { // no repository yet
		r.get(r.manifestPath(ref)).want(http.StatusNotFound)
		r.head(r.manifestPath(ref)).want(http.StatusNotFound)
	}
	b, _ := smallImage(r.t, digest.SHA256)
	r.push(b)
	for _, ref := range refs {
		r.get(r.manifestPath(ref)).wantError(http.StatusNotFound, "MANIFEST_UNKNOWN")
		r.head(r.manifestPath(ref)).want(http.StatusNotFound)
	}
}

// A repository is "a scope for API calls" (Definitions), so what one holds is
// "not found in the repository" next to it.
func manifestBelongsToRepository(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	r.push(b)
	other := r.repo(r.t)
	stranger, _ := smallImage(r.t, digest.SHA256)
	other.push(stranger)
	other.get(other.manifestPath(m.digest.String())).want(http.StatusNotFound)
	other.head(other.manifestPath(m.digest.String())).want(http.StatusNotFound)
}

// "`<name>` MUST match the following regular expression"
func namesFollowGrammar(r *repository) {
	id := strings.TrimPrefix(r.name, "conformance/")
	for _, name := range []string{
		id,
		id + "/b/c/d/e/f",
		id + "/a.b_c__d-e---f",
		id + "/0",
		id + "/manifests/blobs/tags/list", // words of the API are names, too
		id + "/v2/uploads/referrers",
		id + "/" + strings.Repeat("n", 200-len(id)),
	} {
		named := &repository{registry: r.registry, t: r.t, name: name}
		b, m := smallImage(r.t, digest.SHA256)
		named.push(b)
		named.putManifest(m, "latest", "").want(http.StatusCreated)
		named.get(named.manifestPath("latest")).want(http.StatusOK).wantBody(m.bytes)
		named.get(named.tagsPath("")).want(http.StatusOK).wantTags(name, "latest")
	}
}

// The same sentence, for names that do not match. (What clients send never
// contains an empty, "." or ".." element: HTTP libraries clean such paths.)
func badNamesAreRefused(r *repository) {
	for _, name := range []string{
		"Upper", "a/Upper", "-a", "a-", "a..b", "a.-b", "a___b", "_a", ".a", "a/_b", "a@b", "a%20b", "%C3%A4",
		strings.Repeat("n", 300), // "registries should avoid" names that clients cannot use
	} {
		named := &repository{registry: r.registry, t: r.t, name: name}
		named.do(call{method: http.MethodPost, to: named.uploadsPath()}).wantRefused()
		named.get(named.manifestPath("latest")).wantRefused()
		_, m := smallImage(r.t, digest.SHA256)
		named.putManifest(m, "latest", "").wantRefused()
	}
}

// "`<reference>` as a tag MUST be at most 128 characters in length and MUST match
// the following regular expression"
func tagsFollowGrammar(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	r.push(b)
	for _, tag := range []string{
		"a", "0", "_", "_under", "UPPER", "v1.0-rc_1", "a..b--c__d", "a-", "a.", strings.Repeat("t", 128),
	} {
		r.putManifest(m, tag, "").want(http.StatusCreated)
		r.get(r.manifestPath(tag)).want(http.StatusOK).wantBody(m.bytes)
	}
}

// "`<reference>` MUST be either (a) the digest of the manifest or (b) a tag. The
// `<reference>` MUST NOT be in any other format."
func badReferencesAreRefused(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	r.push(b)
	for _, ref := range []string{
		"sha256:totallywrong", "sha256:baddigeststring", "sha256:", "sha256:" + strings.Repeat("Z", 64),
		"sha256:" + strings.Repeat("a", 63), "sha512:" + strings.Repeat("a", 64), "unknown:" + strings.Repeat("a", 64),
	} {
		r.putManifest(m, ref, "").wantError(http.StatusBadRequest, "DIGEST_INVALID")
		r.get(r.manifestPath(ref)).want(http.StatusBadRequest, http.StatusNotFound)
		// A body says nothing in a GET (RFC 9110, 9.3.1), and does no harm.
		r.do(call{
			to: r.manifestPath(ref), body: []byte("blabla"), header: map[string]string{"Content-Type": m.mediaType},
		}).want(http.StatusBadRequest, http.StatusNotFound)
	}
	for _, ref := range []string{"-dash", ".dot", "a%20b", "%C3%A4", "a+b", strings.Repeat("t", 129)} {
		r.putManifest(m, ref, "").wantRefused()
		r.get(r.manifestPath(ref)).want(http.StatusBadRequest, http.StatusNotFound)
	}
}
