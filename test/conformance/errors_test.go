//go:build conformance

package conformance_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// "Error Codes": what is wrong is said by the code that the table has for it. That
// every JSON refusal has the specified form, and every Warning the one of
// "Warnings", is checked on each answer of every test; see always_test.go. The
// codes that belong to one section are demanded there.
func TestErrorCodes(t *testing.T) {
	hold(
		t,
		sentence{"body", refusalsHaveABody},
		sentence{"codes", codesAreTheTables},
		sentence{"unsupported methods", unsupportedMethodsAreRefused},
		sentence{"size", wrongLengthIsRefused},
	)
}

// "A `4XX` response code from the registry MAY return a body in any format." Here
// it must be JSON, so that a client can tell its user why, and with a message: "it
// SHOULD be a human readable string".
func refusalsHaveABody(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	r.push(b)
	none := digest.SHA256.FromString("none")
	bad := m
	bad.bytes = []byte("{")
	for _, p := range []*reply{
		r.get(r.manifestPath("none")),
		r.get(r.manifestPath(none.String())),
		r.get(r.blobPath(none)),
		r.get(r.repo(r.t).tagsPath("")),
		r.get(r.referrersPath("sha256:short")),
		r.putManifest(bad, "latest", ""),
		r.begin("").finish(none, []byte("x")),
		r.delete(r.blobPath(none)),
		r.delete(r.manifestPath("none")),
		r.begin("").patch([]byte("x"), 9),
	} {
		p.wantRefused()
		if !p.isJSON() {
			p.fail("the refusal has no JSON body")
			continue
		}
		if !strings.Contains(string(p.body), `"message":"`) || strings.Contains(string(p.body), `"message":""`) {
			p.fail("the refusal has no message")
		}
	}
}

// The table of codes.
func codesAreTheTables(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	r.push(b)
	none := digest.SHA256.FromString("none")
	r.get(r.blobPath(none)).wantError(http.StatusNotFound, "BLOB_UNKNOWN")
	r.get(r.manifestPath("none")).wantError(http.StatusNotFound, "MANIFEST_UNKNOWN")
	r.get(r.repo(r.t).tagsPath("")).wantError(http.StatusNotFound, "NAME_UNKNOWN")
	r.begin("").finish(none, []byte("x")).wantError(http.StatusBadRequest, "DIGEST_INVALID")
	r.putManifest(m, none.String(), "").wantError(http.StatusBadRequest, "DIGEST_INVALID")
	bad := m
	bad.bytes = []byte("{")
	r.putManifest(bad, "latest", "").wantError(http.StatusBadRequest, "MANIFEST_INVALID")
	r.begin("").patch([]byte("x"), 9).wantError(http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID")
	for _, name := range []string{"Upper/case", "a..b", "-a"} {
		named := &repository{registry: r.registry, t: r.t, name: name}
		named.get(named.manifestPath("latest")).wantError(http.StatusBadRequest, "NAME_INVALID")
		named.do(call{method: http.MethodPost, to: named.uploadsPath()}).wantError(http.StatusBadRequest, "NAME_INVALID")
	}
}

// code-13, UNSUPPORTED: "the operation is unsupported".
func unsupportedMethodsAreRefused(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	r.push(b)
	for _, c := range []call{
		{method: http.MethodPost, to: r.manifestPath("latest")},
		{method: http.MethodPut, to: r.blobPath(b.blobs[0].digest), body: b.blobs[0].bytes},
		{method: http.MethodPatch, to: r.tagsPath("")},
		{method: http.MethodDelete, to: r.tagsPath("")},
		{method: http.MethodPut, to: r.referrersPath(m.digest), body: m.bytes},
	} {
		r.do(c).wantError(http.StatusMethodNotAllowed, "UNSUPPORTED")
	}
	r.get(r.manifestPath(m.digest.String())).want(http.StatusOK).wantBody(m.bytes)
}

// code-10, SIZE_INVALID: "provided length did not match content length".
func wrongLengthIsRefused(r *repository) {
	b := randomBlob(digest.SHA256, 1024)
	u := r.begin("")
	u.repo.do(call{method: http.MethodPatch, to: u.location, body: b.bytes, header: map[string]string{
		"Content-Type": octets, "Content-Range": "0-2047",
	}}).wantError(http.StatusBadRequest, "SIZE_INVALID")
	u.status().want(http.StatusNoContent).wantHeader("Range", "0-0")
}
