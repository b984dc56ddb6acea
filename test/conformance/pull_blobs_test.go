//go:build conformance

package conformance_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// "Pulling blobs"
func TestPullingBlobs(t *testing.T) {
	hold(
		t,
		sentence{"existing", forAlgorithms(blobIsServed)},
		sentence{"missing", forAlgorithms(missingBlobIs404)},
		sentence{"belongs to its repository", blobBelongsToRepository},
		sentence{"bad digests", badBlobDigestsAreRefused},
		sentence{"ranges", forAlgorithms(rangesAreServed)},
		sentence{"ranges that cannot be", rangesThatCannotBe},
		sentence{"ranges that do not apply", rangesThatDoNotApply},
	)
}

// "A GET request to an existing blob URL MUST provide the expected blob, with a
// response code that MUST be `200 OK`." and "A successful response MUST contain
// the digest" (main; v1.1.1: SHOULD), which "MUST be a digest matching that of
// the response body".
func blobIsServed(r *repository, alg digest.Algorithm) {
	for _, size := range []int{0, 1, 2, 4096, 1<<20 + 1} {
		b := randomBlob(alg, size)
		r.pushBlob(b)
		r.get(r.blobPath(b.digest)).want(http.StatusOK).wantBody(b.bytes).wantDigest(b.digest).
			wantHeader("Content-Length", fmt.Sprint(size))
	}
}

// "If the blob is not found in the repository, the response code MUST be `404
// Not Found`."
func missingBlobIs404(r *repository, alg digest.Algorithm) {
	none := randomBlob(alg, 64).digest
	r.get(r.blobPath(none)).want(http.StatusNotFound) // no repository yet
	r.head(r.blobPath(none)).want(http.StatusNotFound)
	r.pushBlob(randomBlob(alg, 64))
	r.get(r.blobPath(none)).wantError(http.StatusNotFound, "BLOB_UNKNOWN")
	r.head(r.blobPath(none)).want(http.StatusNotFound)
}

// The same sentence where the blob is in another repository.
func blobBelongsToRepository(r *repository) {
	b := randomBlob(digest.SHA256, 64)
	r.pushBlob(b)
	other := r.repo(r.t)
	other.pushBlob(randomBlob(digest.SHA256, 64))
	other.get(other.blobPath(b.digest)).want(http.StatusNotFound)
	other.head(other.blobPath(b.digest)).want(http.StatusNotFound)
}

// "`<digest>` is the blob's digest": what is none names no blob.
func badBlobDigestsAreRefused(r *repository) {
	r.pushBlob(randomBlob(digest.SHA256, 64))
	for _, d := range []string{
		"latest", "sha256:short", "sha256:" + strings.Repeat("G", 64), "md5:" + strings.Repeat("a", 32),
	} {
		r.get(r.blobPath(digest.Digest(d))).want(http.StatusBadRequest, http.StatusNotFound)
	}
}

// "A registry SHOULD support the `Range` request header in accordance with RFC
// 9110."
func rangesAreServed(r *repository, alg digest.Algorithm) {
	b := randomBlob(alg, 2048)
	r.pushBlob(b)
	for _, c := range []struct {
		asked    string
		from, to int // inclusive
	}{
		{"500-1499", 500, 1499},
		{"500-", 500, 2047},
		{"-500", 1548, 2047},
		{"2000-5000", 2000, 2047},
		{"0-0", 0, 0},
		{"2047-2047", 2047, 2047},
		{"0-", 0, 2047},
		{"-5000", 0, 2047},
	} {
		p := r.do(call{to: r.blobPath(b.digest), header: map[string]string{"Range": "bytes=" + c.asked}})
		p.want(http.StatusPartialContent).wantBody(b.bytes[c.from:c.to+1]).
			wantHeader("Content-Length", fmt.Sprint(c.to-c.from+1))
		got, of := p.header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/", c.from, c.to)
		if got != of+"2048" && got != of+"*" {
			p.fail("Content-Range is %q, want %q", got, of+"2048")
		}
	}
}

// The same sentence for ranges outside of the blob: RFC 9110, 14.2 and 15.5.17.
func rangesThatCannotBe(r *repository) {
	b := randomBlob(digest.SHA256, 2048)
	r.pushBlob(b)
	for _, asked := range []string{"500-0", "5000-10000", "2048-"} {
		r.do(call{to: r.blobPath(b.digest), header: map[string]string{"Range": "bytes=" + asked}}).
			want(http.StatusRequestedRangeNotSatisfiable)
	}
}

// The same sentence for requests whose Range must be ignored: a unit nobody
// knows (RFC 9110, 14.2) and a validator that no longer matches (13.1.5).
func rangesThatDoNotApply(r *repository) {
	b := randomBlob(digest.SHA256, 2048)
	r.pushBlob(b)
	for _, header := range []map[string]string{
		{"Range": "lines=1-2"},
		{"Range": "bytes=0-9", "If-Range": `"another"`},
	} {
		p := r.do(call{to: r.blobPath(b.digest), header: header})
		if p.status == http.StatusRequestedRangeNotSatisfiable && header["If-Range"] == "" {
			continue // RFC 9110 lets a server refuse a unit, too
		}
		p.want(http.StatusOK).wantBody(b.bytes)
	}
}

// "Checking if content exists in the registry"
func TestCheckingIfContentExists(t *testing.T) {
	hold(
		t,
		sentence{"blob", forAlgorithms(headOfBlob)},
		sentence{"manifest", forAlgorithms(headOfManifest)},
	)
}

// "A HEAD request to an existing blob or manifest URL MUST return `200 OK`." "A
// successful response MUST contain the digest of the uploaded blob or manifest in
// the header `Docker-Content-Digest`." "A successful response MUST contain the
// size in bytes … in the header `Content-Length`." (Both SHOULD in v1.1.1.)
func headOfBlob(r *repository, alg digest.Algorithm) {
	for _, size := range []int{0, 1, 2048} {
		b := randomBlob(alg, size)
		r.pushBlob(b)
		r.head(r.blobPath(b.digest)).want(http.StatusOK).wantDigest(b.digest).
			wantHeader("Content-Length", fmt.Sprint(size)).wantBody(nil)
	}
	r.head(r.blobPath(randomBlob(alg, 64).digest)).want(http.StatusNotFound)
}

// The same sentences for manifests; "If the blob or manifest is not found in the
// repository, the response code MUST be `404 Not Found`."
func headOfManifest(r *repository, alg digest.Algorithm) {
	b, m := smallImage(r.t, alg)
	r.push(b)
	r.tag(m, "latest")
	for _, ref := range []string{m.digest.String(), "latest"} {
		r.head(r.manifestPath(ref)).want(http.StatusOK).wantDigest(m.digest).wantBody(nil).
			wantHeader("Content-Length", fmt.Sprint(len(m.bytes))).wantHeader("Content-Type", m.mediaType)
	}
	r.head(r.manifestPath("absent")).want(http.StatusNotFound)
}
