package registry

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// getManifest serves the manifest as it was pushed, whatever Accept says: the
// spec lets a registry ignore it, and the client can read the type.
func (h *front) getManifest(w http.ResponseWriter, r *http.Request, t target) error {
	if _, err := h.allow(w, r, Access{t.repo, Pull}); err != nil {
		return err
	}
	if t.digest == "" {
		h.confirm(w, r)
	}
	m, size, err := h.findManifest(t, r.Method == http.MethodHead)
	if t.digest != "" && h.missed(w, r, err) {
		m, size, err = h.findManifest(t, r.Method == http.MethodHead)
	}
	if err != nil {
		return err
	}
	d := m.Digest.String()
	// One array for all values: this is the path of every pull.
	values := [...]string{m.MediaType, d, `"` + d + `"`, strconv.FormatInt(size, 10)}
	head := w.Header()
	head["Content-Type"] = values[0:1:1]
	head[headDigest] = values[1:2:2]
	head["Etag"] = values[2:3:3]
	if notModified(r, values[2]) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	head["Content-Length"] = values[3:4:4]
	if r.Method == http.MethodHead {
		return nil
	}
	_, _ = w.Write(m.Payload) // who went away misses nothing
	return nil
}

// findManifest reads in one transaction what t names; without payload for stat.
func (h *front) findManifest(t target, stat bool) (m meta.Manifest, size int64, err error) {
	switch {
	case t.tag == "" && t.digest == "":
		return m, 0, unknown(t) // no grammar allows it, so nobody can have pushed it
	case t.digest != "" && stat:
		return h.meta.StatManifest(t.repo, t.digest)
	case stat:
		return h.meta.StatTag(t.repo, t.tag)
	case t.digest != "":
		m, err = h.meta.Manifest(t.repo, t.digest)
	default:
		m, err = h.meta.TagManifest(t.repo, t.tag)
	}
	return m, int64(len(m.Payload)), err
}

// notModified says whether the client has it already. Etags here are strong and
// lists of them rare: an exact value, quoted or not, or *, is enough.
func notModified(r *http.Request, etag string) bool {
	for _, v := range r.Header["If-None-Match"] {
		if v == etag || v == "*" || v == etag[1:len(etag)-1] {
			return true
		}
	}
	return false
}

// putManifest is the push of a manifest, by tag, by digest, or by digest with tags.
func (h *front) putManifest(w http.ResponseWriter, r *http.Request, t target) error {
	actor, err := h.allowPush(w, r, t.repo)
	if err != nil {
		return err
	}
	if t.tag == "" && t.digest == "" {
		return tagInvalid(t.ref)
	}
	p := push{mediaType: r.Header.Get("Content-Type")}
	asked, err := tagParams(r.URL)
	if err != nil {
		return err
	}
	if p.tags, err = parseTags(t.tag, asked); err != nil {
		return err
	}
	if p.payload, err = h.readManifest(w, r); err != nil {
		return err
	}
	if p.digest, err = digestOf(t.digest, p.payload); err != nil {
		return err
	}
	m, err := h.repository(t.repo, actor).push(r.Context(), p)
	if err != nil {
		return err
	}
	testify(w, int64(len(p.payload)), "")
	head := w.Header()
	if len(asked) > 0 {
		for _, tag := range p.tags {
			head["Oci-Tag"] = append(head["Oci-Tag"], string(tag))
		}
	}
	if m.Subject != "" {
		head["Oci-Subject"] = []string{m.Subject.String()}
	}
	head[headDigest] = []string{p.digest.String()}
	head["Location"] = []string{"/v2/" + string(t.repo) + "/manifests/" + p.digest.String()}
	head["Content-Length"] = valueZero
	w.WriteHeader(http.StatusCreated)
	return nil
}

// tagParams returns the tag parameters, which may be none.
func tagParams(u *url.URL) ([]string, error) {
	if u.RawQuery == "" {
		return nil, nil
	}
	tags := u.Query()["tag"]
	if len(tags) > tagsMax {
		return nil, &fault{
			status: http.StatusRequestURITooLong, code: codeUnsupported,
			message: "too many tags in one push; the limit of this registry is " + strconv.Itoa(tagsMax),
		}
	}
	return tags, nil
}

// readManifest reads the body, bounded.
func (h *front) readManifest(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > h.manifestMax {
		return nil, &http.MaxBytesError{Limit: h.manifestMax}
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead) // ReadFrom wants room to see the end
	}
	n, err := buf.ReadFrom(io.LimitReader(watch(w, r), h.manifestMax+1))
	h.metrics.manifestReceived.Add(float64(n))
	if err != nil {
		return nil, err
	}
	if n > h.manifestMax {
		return nil, &http.MaxBytesError{Limit: h.manifestMax}
	}
	return buf.Bytes(), nil
}

// digestOf names the payload: by the algorithm it was asked under, or sha256.
func digestOf(want digest.Digest, payload []byte) (digest.Digest, error) {
	if want == "" {
		return digest.FromBytes(payload), nil
	}
	got := want.Algorithm().FromBytes(payload)
	if got != want {
		return "", &fault{
			status: http.StatusBadRequest, code: codeDigestInvalid,
			message: "the manifest does not have the digest it was pushed under",
			detail:  map[string]digest.Digest{"want": want, "got": got},
		}
	}
	return got, nil
}

// deleteManifest deletes a tag, or a manifest with all its tags.
func (h *front) deleteManifest(w http.ResponseWriter, r *http.Request, t target) error {
	actor, err := h.allowDelete(w, r, t.repo)
	if err != nil {
		return err
	}
	repo := h.repository(t.repo, actor)
	switch {
	case t.digest != "":
		err = repo.deleteManifest(r.Context(), t.digest)
	case t.tag != "":
		err = repo.deleteTag(r.Context(), t.tag)
	default:
		err = unknown(t)
	}
	if err != nil {
		return err
	}
	w.Header()["Content-Length"] = valueZero
	w.WriteHeader(http.StatusAccepted)
	return nil
}
