//go:build conformance

package conformance_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// "Mounting a blob from another repository"
func TestMountingBlobs(t *testing.T) {
	hold(
		t,
		sentence{"from", forAlgorithms(mountCreatesTheBlob)},
		sentence{"without from", mountWithoutFrom},
		sentence{"missing", mountOfMissingBeginsUpload},
		sentence{"missing in the source", mountFromWrongSource},
		sentence{"bad digests", mountOfBadDigest},
		sentence{"independent of the source", mountOutlivesSource},
	)
}

// "The response to a successful mount MUST be `201 Created`, and MUST contain the
// following header: Location", which "will contain the registry URL to access the
// accepted layer file", that is end-2.
func mountCreatesTheBlob(r *repository, alg digest.Algorithm) {
	b := randomBlob(alg, 512)
	source := r.repo(r.t)
	source.pushBlob(b)
	p := r.mount(b.digest, source.name).want(http.StatusCreated).wantDigest(b.digest)
	if at, err := url.Parse(p.location()); err != nil || at.Path != r.blobPath(b.digest) {
		p.fail("Location is not %s", r.blobPath(b.digest))
	}
	r.get(p.location()).want(http.StatusOK).wantBody(b.bytes)
	r.mount(b.digest, source.name).want(http.StatusCreated) // again
}

// "The registry MAY treat the `from` parameter as optional, and it MAY
// cross-mount the blob if it can be found." Here it must.
func mountWithoutFrom(r *repository) {
	b := randomBlob(digest.SHA256, 512)
	r.repo(r.t).pushBlob(b)
	p := r.mount(b.digest, "").want(http.StatusCreated).wantDigest(b.digest)
	r.get(p.location()).want(http.StatusOK).wantBody(b.bytes)
}

// "if a registry … is unable to mount the requested blob, it SHOULD return a
// `202`. This indicates that the upload session has begun".
func mountOfMissingBeginsUpload(r *repository) {
	source := r.repo(r.t)
	source.pushBlob(randomBlob(digest.SHA256, 64))
	for _, from := range []string{source.name, r.repo(r.t).name, ""} {
		b := randomBlob(digest.SHA256, 512)
		r.mountFails(b, from)
	}
}

// The same sentence for a blob that is in the registry, but not in the source.
func mountFromWrongSource(r *repository) {
	b := randomBlob(digest.SHA256, 512)
	source := r.repo(r.t)
	source.pushBlob(randomBlob(digest.SHA256, 64))
	r.repo(r.t).pushBlob(b)
	p := r.mount(b.digest, source.name).want(http.StatusCreated, http.StatusAccepted)
	if p.status == http.StatusCreated {
		r.get(p.location()).want(http.StatusOK).wantBody(b.bytes) // as if without from
		return
	}
	u := &upload{repo: r, location: p.location()}
	u.finish(b.digest, b.bytes).want(http.StatusCreated)
}

// mountFails demands a session instead of the blob, and uses it.
func (r *repository) mountFails(b blob, from string) {
	r.t.Helper()
	p := r.mount(b.digest, from).want(http.StatusAccepted)
	at, err := url.Parse(p.location())
	if err != nil || !strings.HasPrefix(at.Path, r.uploadsPath()) {
		p.fail("Location is not below %s", r.uploadsPath())
	}
	r.head(r.blobPath(b.digest)).want(http.StatusNotFound)
	u := &upload{repo: r, location: p.location()}
	u.finish(b.digest, b.bytes).want(http.StatusCreated)
	r.get(r.blobPath(b.digest)).want(http.StatusOK).wantBody(b.bytes)
}

// "`<digest>` is the digest of the blob to mount": what is none mounts nothing.
func mountOfBadDigest(r *repository) {
	source := r.repo(r.t)
	source.pushBlob(randomBlob(digest.SHA256, 64))
	for _, d := range []string{"sha256:short", "latest", "md5:" + strings.Repeat("a", 32)} {
		r.mount(digest.Digest(d), source.name).want(http.StatusBadRequest, http.StatusAccepted)
	}
}

// A mounted blob is the repository's own: deleting it in one leaves the other.
func mountOutlivesSource(r *repository) {
	b := randomBlob(digest.SHA256, 512)
	source := r.repo(r.t)
	source.pushBlob(b)
	r.mount(b.digest, source.name).want(http.StatusCreated)
	source.delete(source.blobPath(b.digest)).want(http.StatusAccepted)
	source.head(source.blobPath(b.digest)).want(http.StatusNotFound)
	r.get(r.blobPath(b.digest)).want(http.StatusOK).wantBody(b.bytes)
	r.delete(r.blobPath(b.digest)).want(http.StatusAccepted)
	r.head(r.blobPath(b.digest)).want(http.StatusNotFound)
}
