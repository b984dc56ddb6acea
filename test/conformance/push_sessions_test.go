//go:build conformance

package conformance_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// "POST then PUT", "Pushing a blob in chunks" and "Cancel a blob upload" (main):
// what a session is.
func TestUploadSessions(t *testing.T) {
	hold(
		t,
		sentence{"begin", sessionBegins},
		sentence{"location's query", locationQueryIsKept},
		sentence{"chunks", chunksAreAcknowledged},
		sentence{"status", statusTellsTheOffset},
		sentence{"stale location", staleLocationIsUnderstood},
		sentence{"first chunk not at 0", firstChunkBeginsAtZero},
		sentence{"chunk ahead", outOfOrder(ahead, false)},
		sentence{"chunk repeated", outOfOrder(repeated, false)},
		sentence{"last chunk ahead in the put", outOfOrder(ahead, true)},
		sentence{"last chunk repeated in the put", outOfOrder(repeated, true)},
		sentence{"bad content ranges", badContentRangesAreRefused},
		sentence{"many streams", streamsAreAppended},
		sentence{"ends with the put", sessionEndsWithPut},
		sentence{"cancel", sessionIsCanceled},
	)
}

// uploaded returns how many bytes a Range header of an upload reports.
func (p *reply) uploaded() int {
	p.t.Helper()
	m := rangeForm.FindStringSubmatch(p.header.Get("Range"))
	if m == nil {
		p.fail("Range is %q, want 0-<end>", p.header.Get("Range"))
		p.t.FailNow()
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		p.t.Fatal(err)
	}
	return n + 1
}

var rangeForm = regexp.MustCompile(`^0-([0-9]+)$`)

var uuid = regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`)

// "Upon success, the response MUST have a code of `202 Accepted`, and MUST
// include the following header: Location" and "The `<location>` MUST contain a
// UUID representing a unique session ID" (v1.1.1; main asks for uniqueness only).
func sessionBegins(r *repository) {
	seen := map[string]bool{}
	for range 3 {
		u := r.begin("")
		id := uuid.FindString(u.location)
		if id == "" {
			r.t.Errorf("location %s contains no UUID", u.location)
		}
		if seen[id] {
			r.t.Errorf("session %s is given twice", id)
		}
		seen[id] = true
	}
}

// "The `<location>` MAY contain critical query parameters. Additionally, it
// SHOULD match exactly": the digest may stand before or after them.
func locationQueryIsKept(r *repository) {
	b := randomBlob(digest.SHA256, 64)
	u := r.begin("")
	at, err := url.Parse(u.location)
	if err != nil {
		r.t.Fatal(err)
	}
	at.RawQuery = strings.TrimSuffix("digest="+url.QueryEscape(b.digest.String())+"&"+at.RawQuery, "&")
	r.do(call{
		method: http.MethodPut, to: at.String(), body: b.bytes, header: map[string]string{"Content-Type": octets},
	}).want(http.StatusCreated)
	r.get(r.blobPath(b.digest)).want(http.StatusOK).wantBody(b.bytes)
}

// "Each successful chunk upload MUST have a `202 Accepted` response code, and MUST
// have the following headers: Location, Range: 0-<end-of-range>", "the position of
// the last uploaded byte".
func chunksAreAcknowledged(r *repository) {
	b := randomBlob(digest.SHA256, 4096)
	u := r.begin("")
	size := u.chunkSize(b.bytes, 5)
	for at := 0; at < len(b.bytes); at += size {
		end := min(at+size, len(b.bytes))
		p := u.patch(b.bytes[at:end], at).want(http.StatusAccepted)
		if got := p.uploaded(); got != end {
			p.fail("%d bytes are acknowledged, %d were sent", got, end)
		}
		p.location()
	}
	p := u.finish(b.digest, nil).want(http.StatusCreated)
	r.get(p.location()).want(http.StatusOK).wantBody(b.bytes)
}

// "The response to an active upload `<location>` MUST be a `204 No Content`
// response code, and MUST have the following headers: Location, Range".
func statusTellsTheOffset(r *repository) {
	b := randomBlob(digest.SHA256, 3*1024-5)
	u := r.begin("")
	u.status().want(http.StatusNoContent).wantHeader("Range", "0-0").location()
	size := u.chunkSize(b.bytes, 3)
	u.patch(b.bytes[:size], 0).want(http.StatusAccepted)
	p := u.status().want(http.StatusNoContent).wantHeader("Range", contentRange(0, size)).wantBody(nil)
	u.location = p.location()
	u.patch(b.bytes[size:], size).want(http.StatusAccepted).wantHeader("Range", contentRange(0, len(b.bytes)))
	u.status().want(http.StatusNoContent).wantHeader("Range", contentRange(0, len(b.bytes)))
	u.finish(b.digest, nil).want(http.StatusCreated)
}

// "The `<location>` refers to the URL obtained from any preceding `POST` or `PATCH`
// request." A client that missed an answer repeats the chunk where it knows to
// send it, is refused, and asks there; it may also ask where it tried to close.
func staleLocationIsUnderstood(r *repository) {
	b := randomBlob(digest.SHA256, 2048)
	u := r.begin("")
	size := u.chunkSize(b.bytes, 2)
	first := u.location
	u.patch(b.bytes[:size], 0).want(http.StatusAccepted)
	latest := u.location
	u.location = first
	u.patch(b.bytes[:size], 0).want(http.StatusRequestedRangeNotSatisfiable)
	separator := "?"
	if strings.Contains(latest, "?") {
		separator = "&"
	}
	for _, at := range []string{first, latest, latest + separator + "digest=" + url.QueryEscape(b.digest.String())} {
		p := r.do(call{to: at}).want(http.StatusNoContent).wantHeader("Range", contentRange(0, size))
		u.location = p.location()
	}
	u.finishAt(b.digest, b.bytes[size:], size).want(http.StatusCreated)
	r.get(r.blobPath(b.digest)).want(http.StatusOK).wantBody(b.bytes)
}

// "The first chunk's range MUST begin with `0`."
func firstChunkBeginsAtZero(r *repository) {
	b := randomBlob(digest.SHA256, 2048)
	u := r.begin("")
	u.patch(b.bytes[1024:], 1024).want(http.StatusRequestedRangeNotSatisfiable)
	p := u.status().want(http.StatusNoContent).wantHeader("Range", "0-0")
	u.location = p.location()
	u.chunks(b, false).want(http.StatusCreated)
}

// ahead and repeated choose where a wrong chunk begins.
func ahead(next, size int) int { return next + size }
func repeated(int, int) int    { return 0 }

// "If a chunk is uploaded out of order, the registry MUST respond with a `416
// Requested Range Not Satisfiable` code. A GET request may be used to retrieve the
// current valid offset and upload location." Main: "If the final chunk is
// uploaded out of order, the registry MUST respond with a `416`". The upload must
// go on from where it was.
func outOfOrder(wrong func(next, size int) int, inPut bool) func(*repository) {
	return func(r *repository) {
		b := randomBlob(digest.SHA256, 3*1024-5)
		u := r.begin("")
		if u.chunkMin > 0 {
			b = randomBlob(digest.SHA256, 3*u.chunkMin-5)
		}
		size := u.chunkSize(b.bytes, 3)
		for at := 0; at < len(b.bytes); at += size {
			chunk := b.bytes[at:min(at+size, len(b.bytes))]
			start := wrong(at, size)
			if start == at {
				start = at + size // the first chunk cannot repeat one
			}
			if inPut {
				u.finishAt(b.digest, chunk, start).want(http.StatusRequestedRangeNotSatisfiable)
			} else {
				u.patch(chunk, start).want(http.StatusRequestedRangeNotSatisfiable)
			}
			p := u.status().want(http.StatusNoContent)
			if at > 0 && p.uploaded() != at {
				p.fail("%d bytes are reported, want %d", p.uploaded(), at)
			}
			u.location = p.location()
			u.patch(chunk, at).want(http.StatusAccepted).wantHeader("Range", contentRange(0, at+len(chunk)))
		}
		u.finish(b.digest, nil).want(http.StatusCreated)
		r.get(r.blobPath(b.digest)).want(http.StatusOK).wantBody(b.bytes)
	}
}

// "It MUST match the following regular expression: ^[0-9]+-[0-9]+$", "MUST be
// inclusive on both ends", and its length is "the content-length … of the current
// chunk". What says something else, or nothing, is refused and takes nothing in.
// (HTTP's own "bytes 0-9/10" says the same in more words; a registry may read it.)
func badContentRangesAreRefused(r *repository) {
	b := randomBlob(digest.SHA256, 1024)
	u := r.begin("")
	for _, bad := range []string{
		"0", "0-", "-1023", "a-b", "1023-0", "0-1024", "0-9", "0x0-0x3ff", "bytes 0-9/10", "bytes=0-1023", "bytes */1024",
	} {
		u.repo.do(call{method: http.MethodPatch, to: u.location, body: b.bytes, header: map[string]string{
			"Content-Type": octets, "Content-Range": bad,
		}}).wantRefused()
		p := u.status().want(http.StatusNoContent).wantHeader("Range", "0-0")
		u.location = p.location()
	}
	u.patch(b.bytes, 0).want(http.StatusAccepted)
	u.finish(b.digest, nil).want(http.StatusCreated)
}

// A PATCH without Content-Range continues where the upload is; this is how
// clients stream a layer whose length they do not know.
func streamsAreAppended(r *repository) {
	b := randomBlob(digest.SHA256, 3000)
	u := r.begin("")
	for at := 0; at < len(b.bytes); at += 1000 {
		p := u.stream(b.bytes[at : at+1000]).want(http.StatusAccepted)
		if got := p.uploaded(); got != at+1000 {
			p.fail("%d bytes are acknowledged, %d were sent", got, at+1000)
		}
	}
	u.finish(b.digest, nil).want(http.StatusCreated)
	r.get(r.blobPath(b.digest)).want(http.StatusOK).wantBody(b.bytes)
}

// "the session MUST be closed with a `PUT` request": afterwards there is none.
func sessionEndsWithPut(r *repository) {
	b := randomBlob(digest.SHA256, 64)
	u := r.begin("")
	u.finish(b.digest, b.bytes).want(http.StatusCreated)
	u.isGone(b)
}

// "the session may be canceled with a `DELETE` request", "If successful, the
// response SHOULD be a `204 No Content` response code."
func sessionIsCanceled(r *repository) {
	b := randomBlob(digest.SHA256, 2048)
	for _, sent := range []int{0, 1024} {
		u := r.begin("")
		if sent > 0 {
			u.patch(b.bytes[:sent], 0).want(http.StatusAccepted)
		}
		r.delete(u.location).want(http.StatusNoContent).wantBody(nil)
		u.isGone(b)
		r.delete(u.location).wantError(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
		r.head(r.blobPath(b.digest)).want(http.StatusNotFound)
	}
}

// isGone demands that no step is possible any more: code-3, "blob upload unknown
// to registry".
func (u *upload) isGone(b blob) {
	u.repo.t.Helper()
	u.status().wantError(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
	u.patch(b.bytes, 0).wantError(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
	u.finish(b.digest, b.bytes).wantError(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
}
