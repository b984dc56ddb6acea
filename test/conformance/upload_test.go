//go:build conformance

package conformance_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/opencontainers/go-digest"
)

const octets = "application/octet-stream"

// An upload is an open session. Each step follows the Location of the one before.
type upload struct {
	repo     *repository
	location string
	chunkMin int // what the registry asks chunks to have at least
}

// begin opens a session with the given query, which may be empty.
func (r *repository) begin(query string) *upload {
	r.t.Helper()
	p := r.do(call{method: http.MethodPost, to: r.uploadsPath() + query}).want(http.StatusAccepted)
	u := &upload{repo: r, location: p.location()}
	if s := p.header.Get("OCI-Chunk-Min-Length"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			p.fail("OCI-Chunk-Min-Length %q: %v", s, err)
		}
		u.chunkMin = n
	}
	return u
}

// step sends c to the session, whose next Location is taken from the answer.
func (u *upload) step(c call) *reply {
	u.repo.t.Helper()
	c.to = u.location
	p := u.repo.do(c)
	if p.status < 300 && p.header.Get("Location") != "" {
		u.location = p.location()
	}
	return p
}

// patch sends a chunk that begins at start.
func (u *upload) patch(chunk []byte, start int) *reply {
	u.repo.t.Helper()
	return u.step(call{method: http.MethodPatch, body: chunk, header: map[string]string{
		"Content-Type": octets, "Content-Range": contentRange(start, len(chunk)),
	}})
}

// stream sends bytes without saying how many there are or where they belong.
func (u *upload) stream(content []byte) *reply {
	u.repo.t.Helper()
	return u.step(call{
		method: http.MethodPatch, body: content, stream: true,
		header: map[string]string{"Content-Type": octets},
	})
}

// finish closes the session with whatever is still to be sent.
func (u *upload) finish(d digest.Digest, rest []byte) *reply {
	u.repo.t.Helper()
	return u.close("digest="+url.QueryEscape(d.String()), rest, nil)
}

// finishAt closes the session with a last chunk that begins at start.
func (u *upload) finishAt(d digest.Digest, chunk []byte, start int) *reply {
	u.repo.t.Helper()
	return u.close("digest="+url.QueryEscape(d.String()), chunk,
		map[string]string{"Content-Range": contentRange(start, len(chunk))})
}

// close sends the PUT that ends the session, keeping the query of its Location.
func (u *upload) close(query string, rest []byte, header map[string]string) *reply {
	u.repo.t.Helper()
	at, err := url.Parse(u.location)
	if err != nil {
		u.repo.t.Fatal(err)
	}
	if at.RawQuery != "" {
		query = at.RawQuery + "&" + query
	}
	at.RawQuery = query
	c := call{method: http.MethodPut, to: at.String(), body: rest, header: map[string]string{"Content-Type": octets}}
	for k, v := range header {
		c.header[k] = v
	}
	return u.repo.do(c)
}

// status asks how far the session is.
func (u *upload) status() *reply {
	u.repo.t.Helper()
	return u.repo.do(call{to: u.location})
}

func contentRange(start, length int) string { return fmt.Sprintf("%d-%d", start, start+length-1) }

// chunkSize returns a size for about n chunks of content that the registry allows.
func (u *upload) chunkSize(content []byte, n int) int {
	return max(len(content)/n+1, u.chunkMin)
}

// chunks sends content in about three chunks; the last one goes with the closing
// request if inPut says so.
func (u *upload) chunks(b blob, inPut bool) *reply {
	u.repo.t.Helper()
	size := u.chunkSize(b.bytes, 3)
	for at := 0; at < len(b.bytes); at += size {
		chunk := b.bytes[at:min(at+size, len(b.bytes))]
		if at+size >= len(b.bytes) && inPut {
			return u.finishAt(b.digest, chunk, at)
		}
		u.patch(chunk, at).want(http.StatusAccepted).wantHeader("Range", contentRange(0, at+len(chunk)))
	}
	return u.finish(b.digest, nil)
}

// A method is one way to push a blob. It returns the last answer, which says
// that the blob was created or why it was not.
type method struct {
	name string
	push func(r *repository, b blob) *reply
}

// uploads returns the methods that carry the bytes themselves.
func uploads() []method {
	return []method{
		{"post and put", func(r *repository, b blob) *reply {
			r.t.Helper()
			return r.begin("").finish(b.digest, b.bytes)
		}},
		{"single post", func(r *repository, b blob) *reply {
			r.t.Helper()
			return r.do(call{
				method: http.MethodPost, to: r.uploadsPath() + "?digest=" + url.QueryEscape(b.digest.String()), body: b.bytes,
				header: map[string]string{"Content-Type": octets},
			})
		}},
		{"one chunk", func(r *repository, b blob) *reply {
			r.t.Helper()
			u := r.begin("")
			if len(b.bytes) > 0 { // an empty chunk has no range
				u.patch(b.bytes, 0).want(http.StatusAccepted).wantHeader("Range", contentRange(0, len(b.bytes)))
			}
			return u.finish(b.digest, nil)
		}},
		{"three chunks", func(r *repository, b blob) *reply {
			r.t.Helper()
			return r.begin("").chunks(b, false)
		}},
		{"three chunks, the last in the put", func(r *repository, b blob) *reply {
			r.t.Helper()
			return r.begin("").chunks(b, true)
		}},
		{"stream", func(r *repository, b blob) *reply {
			r.t.Helper()
			u := r.begin("")
			u.stream(b.bytes).want(http.StatusAccepted)
			return u.finish(b.digest, nil)
		}},
		{"patch without a range", func(r *repository, b blob) *reply {
			r.t.Helper()
			u := r.begin("")
			u.step(call{
				method: http.MethodPatch, body: b.bytes, header: map[string]string{"Content-Type": octets},
			}).want(http.StatusAccepted)
			return u.finish(b.digest, nil)
		}},
		{"stream in the put", func(r *repository, b blob) *reply {
			r.t.Helper()
			u := r.begin("")
			at, err := url.Parse(u.location)
			if err != nil {
				r.t.Fatal(err)
			}
			query := at.Query()
			query.Set("digest", b.digest.String())
			at.RawQuery = query.Encode()
			return r.do(call{
				method: http.MethodPut, to: at.String(), body: b.bytes, stream: true,
				header: map[string]string{"Content-Type": octets},
			})
		}},
		{"post with the algorithm", func(r *repository, b blob) *reply {
			r.t.Helper()
			return r.begin("?digest-algorithm="+b.digest.Algorithm().String()).chunks(b, false)
		}},
	}
}

// mounts returns the methods that take the blob from another repository.
func mounts() []method {
	return []method{
		{"mount", func(r *repository, b blob) *reply {
			r.t.Helper()
			source := r.repo(r.t)
			source.pushBlob(b)
			return r.mount(b.digest, source.name)
		}},
		{"mount without from", func(r *repository, b blob) *reply {
			r.t.Helper()
			r.repo(r.t).pushBlob(b)
			return r.mount(b.digest, "")
		}},
	}
}

// mount asks for d from another repository, or from wherever it is if from is empty.
func (r *repository) mount(d digest.Digest, from string) *reply {
	r.t.Helper()
	query := url.Values{"mount": {d.String()}}
	if from != "" {
		query.Set("from", from)
	}
	return r.do(call{method: http.MethodPost, to: r.uploadsPath() + "?" + query.Encode()})
}

// pushBlob pushes b in the plainest way.
func (r *repository) pushBlob(b blob) {
	r.t.Helper()
	r.begin("").finish(b.digest, b.bytes).want(http.StatusCreated)
}

// putManifest pushes m under a tag or a digest, with an optional query.
func (r *repository) putManifest(m manifest, ref, query string) *reply {
	r.t.Helper()
	return r.do(call{
		method: http.MethodPut, to: r.manifestPath(ref) + query, body: m.bytes,
		header: map[string]string{"Content-Type": m.mediaType},
	})
}

// tag points tag at m. A push by tag alone is addressed by sha256, so any other
// algorithm needs the tag parameter.
func (r *repository) tag(m manifest, tag string) {
	r.t.Helper()
	if m.digest.Algorithm() == digest.SHA256 {
		r.putManifest(m, tag, "").want(http.StatusCreated)
		return
	}
	r.putManifest(m, m.digest.String(), "?tag="+tag).want(http.StatusCreated)
}

// push pushes all of b: blobs, manifests by digest, and tags.
func (r *repository) push(b *bundle) {
	r.t.Helper()
	for _, bl := range b.blobs {
		r.pushBlob(bl)
	}
	for _, m := range b.manifests {
		r.putManifest(m, m.digest.String(), "").want(http.StatusCreated)
	}
	for tag, d := range b.tags {
		for _, m := range b.manifests {
			if m.digest == d {
				r.tag(m, tag)
			}
		}
	}
}
