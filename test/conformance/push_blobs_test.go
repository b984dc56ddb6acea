//go:build conformance

package conformance_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// "Pushing blobs": each way of pushing, for each algorithm and size.
func TestPushingBlobs(t *testing.T) {
	hold(
		t,
		sentence{"every way", forAlgorithms(everyWayCreatesTheBlob)},
		sentence{"every way with a wrong digest", forAlgorithms(wrongDigestIsRefused)},
		sentence{"bad digests", badUploadDigestsAreRefused},
		sentence{"again", pushingAgainIsFine},
		sentence{"at the same time", concurrentUploads},
		sentence{"after a broken connection", brokenUploadGoesOn},
	)
}

// "POST then PUT", "Single POST", "Pushing a blob in chunks", "Mounting a blob":
// success "MUST have code `201 Created` and MUST have the following header:
// Location: <blob-location>", "With `<blob-location>` being a pullable blob URL".
// A single POST and a mount without from MAY be supported; here they must be.
func everyWayCreatesTheBlob(r *repository, alg digest.Algorithm) {
	for _, m := range append(uploads(), mounts()...) {
		r.t.Run(m.name, func(t *testing.T) {
			for _, size := range []int{512, 3*1024 - 5, 1 << 20, 2, 0} {
				r, b := r.in(t), randomBlob(alg, size)
				if size == 2 {
					b = newBlob(alg, []byte("{}"))
				}
				p := m.push(r, b).want(http.StatusCreated).wantDigest(b.digest)
				r.get(p.location()).want(http.StatusOK).wantBody(b.bytes)
				r.head(r.blobPath(b.digest)).want(http.StatusOK).wantDigest(b.digest)
				r.get(r.blobPath(b.digest)).want(http.StatusOK).wantBody(b.bytes)
				r.delete(r.blobPath(b.digest)).want(http.StatusAccepted)
				r.head(r.blobPath(b.digest)).want(http.StatusNotFound)
			}
		})
	}
}

// "the `<digest>` MUST match the blob's digest"; code-4: "provided digest did not
// match uploaded content". Nothing of it may stay.
func wrongDigestIsRefused(r *repository, alg digest.Algorithm) {
	for _, m := range uploads() {
		r.t.Run(m.name, func(t *testing.T) {
			r, b := r.in(t), randomBlob(alg, 3*1024-5)
			actual := alg.FromBytes(append(b.bytes, "oh no"...))
			b.bytes = append(b.bytes, "oh no"...)
			m.push(r, b).wantError(http.StatusBadRequest, "DIGEST_INVALID")
			r.head(r.blobPath(b.digest)).want(http.StatusNotFound)
			r.head(r.blobPath(actual)).want(http.StatusNotFound)
		})
	}
}

// "if the client provided digest is invalid or uses an unsupported algorithm, the
// registry SHOULD respond with a response code `400 Bad Request`" (main).
func badUploadDigestsAreRefused(r *repository) {
	for _, d := range []string{
		"sha256:short", "sha256:" + strings.Repeat("G", 64), "md5:" + strings.Repeat("a", 32), "latest", "",
	} {
		r.begin("").finish(digest.Digest(d), []byte("content")).wantError(http.StatusBadRequest, "DIGEST_INVALID")
		if d == "" {
			continue // without a digest a POST opens a session
		}
		r.do(call{
			method: http.MethodPost, to: r.uploadsPath() + "?digest=" + d, body: []byte("content"),
			header: map[string]string{"Content-Type": octets},
		}).wantError(http.StatusBadRequest, "DIGEST_INVALID")
	}
	// "The closing `PUT` request MUST include the `<digest>` of the whole blob".
	r.begin("").close("", []byte("content"), nil).wantError(http.StatusBadRequest, "DIGEST_INVALID")
}

// "Layer Upload De-duplication": "the registry may securely only store one copy",
// and accepts the second upload like the first.
func pushingAgainIsFine(r *repository) {
	b := randomBlob(digest.SHA256, 2048)
	for _, m := range uploads() {
		m.push(r, b).want(http.StatusCreated).wantDigest(b.digest)
	}
	r.get(r.blobPath(b.digest)).want(http.StatusOK).wantBody(b.bytes)
}

// "Registries MUST support concurrent uploads from one or more clients" (main),
// and "If process A and B upload the same layer at the same time, both operations
// will proceed".
func concurrentUploads(r *repository) {
	same := randomBlob(digest.SHA256, 1<<20)
	blobs := []blob{same, same, same, same}
	for range 4 {
		blobs = append(blobs, randomBlob(digest.SHA256, 1<<20))
	}
	sessions := make([]*upload, len(blobs))
	seen := map[string]bool{}
	for i, b := range blobs { // all of them are open at once, and each has begun
		sessions[i] = r.begin("")
		if seen[sessions[i].location] {
			r.t.Errorf("two sessions have the location %s", sessions[i].location)
		}
		seen[sessions[i].location] = true
		sessions[i].patch(b.bytes[:1<<19], 0).want(http.StatusAccepted)
	}
	var done sync.WaitGroup
	replies := make([]*reply, len(blobs))
	for i, b := range blobs {
		done.Go(func() {
			replies[i] = sessions[i].finishAt(b.digest, b.bytes[1<<19:], 1<<19)
		})
	}
	done.Wait()
	if r.t.Failed() { // a request got no answer at all
		return
	}
	for i, b := range blobs {
		replies[i].want(http.StatusCreated)
		r.get(r.blobPath(b.digest)).want(http.StatusOK).wantBody(b.bytes)
	}
}

// "Resumable Push": "The registry notifies the build server that the upload has
// already been partially attempted. The build server responds by only sending the
// remaining data".
func brokenUploadGoesOn(r *repository) {
	b := randomBlob(digest.SHA256, 1<<20)
	u := r.begin("")
	half := &breakingReader{content: b.bytes[:1<<19]}
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPatch, u.location, half)
	if err != nil {
		r.t.Fatal(err)
	}
	req.ContentLength = int64(len(b.bytes))
	req.Header.Set("Content-Type", octets)
	req.Header.Set("Content-Range", contentRange(0, len(b.bytes)))
	if resp, err := r.client.Do(req); err == nil {
		_ = resp.Body.Close()
		r.t.Fatalf("a PATCH of half of its body is answered %s", resp.Status)
	}
	next := 0
	// The registry may still be reading what was sent: ask until it does not move.
	for last := -1; next != last; {
		last = next
		p := u.status().want(http.StatusNoContent)
		if next = p.uploaded(); next == 1 {
			next = 0 // "0-0" is also how nothing is reported
		}
		u.location = p.location()
	}
	if next > 1<<19 {
		r.t.Fatalf("%d bytes are reported, %d were sent", next, 1<<19)
	}
	p := u.patch(b.bytes[next:], next)
	if p.status == http.StatusRequestedRangeNotSatisfiable { // it did move
		s := u.status().want(http.StatusNoContent)
		next, u.location = s.uploaded(), s.location()
		p = u.patch(b.bytes[next:], next)
	}
	p.want(http.StatusAccepted)
	u.finish(b.digest, nil).want(http.StatusCreated)
	r.get(r.blobPath(b.digest)).want(http.StatusOK).wantBody(b.bytes)
}

// A breakingReader gives its content and then an error, which breaks the
// connection in the middle of a body.
type breakingReader struct{ content []byte }

var errBroken = errors.New("the connection breaks here")

func (b *breakingReader) Read(p []byte) (int, error) {
	if len(b.content) == 0 {
		return 0, errBroken
	}
	n := copy(p, b.content)
	b.content = b.content[n:]
	return n, nil
}
