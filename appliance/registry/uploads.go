package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// postUpload mounts a blob, or takes one whole, or opens a session for one.
func (h *front) postUpload(w http.ResponseWriter, r *http.Request, t target) error {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &fault{status: http.StatusBadRequest, code: codeUnsupported, message: "malformed query"}
	}
	from, _ := meta.ParseRepoName(q.Get("from")) // "" when absent, or no name of any repository
	actor, from, err := h.allowMount(w, r, t.repo, from)
	if err != nil {
		return err
	}
	repo := h.repository(t.repo, actor)
	// What cannot be mounted is uploaded; that includes a digest that is none.
	if d, err := parseDigest(q.Get("mount")); err == nil {
		done, err := h.mount(w, r, repo, mount{digest: d, from: from, anywhere: !q.Has("from")})
		if done || err != nil {
			return err
		}
	}
	alg, d, err := askedDigest(q)
	if err != nil {
		return err
	}
	// A digest without a body announces an upload that is still to come, except that
	// the empty blob has no body.
	if d != "" && (r.ContentLength != 0 || d == d.Algorithm().FromBytes(nil)) {
		return h.pushWhole(w, r, repo, d)
	}
	u, err := h.blobs.Create(repo.uploadScope(), alg, -1)
	if err != nil {
		return err
	}
	defer func() { _ = u.Close() }() // only lets go
	h.uploadHeaders(w.Header(), t.repo, u.ID(), 0)
	w.Header()["Content-Length"] = valueZero
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// allowMount asks for push, and for pull on the source if there is one. Who may not
// pull the source pushes the bytes: from is then "". Who may, but not with the token
// it showed, is asked for a wider one.
func (h *front) allowMount(w http.ResponseWriter, r *http.Request, repo, from meta.RepoName) (
	string, meta.RepoName, error,
) {
	if from == "" {
		actor, err := h.allowPush(w, r, repo)
		return actor, "", err
	}
	actor, err := h.allow(w, r, Access{repo, Pull}, Access{repo, Push}, Access{from, Pull})
	if err == nil {
		return actor, from, h.writable()
	}
	unknown := errors.Is(err, ErrUnauthorized)
	if unknown && r.Header["Authorization"] != nil || !unknown && !errors.Is(err, ErrDenied) {
		// What was shown is wrong, or a token too narrow: to ask again would only count
		// as another failed login.
		return "", "", err
	}
	actor, alone := h.allowPush(w, r, repo)
	if alone != nil {
		return "", "", err // its challenge names the source too
	}
	return actor, "", nil
}

// A mount is a blob that is asked for from another repository.
type mount struct {
	digest   digest.Digest
	from     meta.RepoName // "" when not given or not allowed
	anywhere bool          // not given: any repository the caller may pull will do
}

// mount answers 201 if the blob could be linked.
func (h *front) mount(w http.ResponseWriter, r *http.Request, repo repository, m mount) (done bool, err error) {
	if m.anywhere {
		from, _, err := h.meta.BlobAnywhere(m.digest, func(name meta.RepoName) bool {
			_, err := h.allow(discard{}, r, Access{name, Pull})
			return err == nil
		})
		if errors.Is(err, meta.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("find blob %s: %w", m.digest, err)
		}
		m.from = from
	}
	if m.from == "" {
		return false, nil
	}
	b, mounted, err := repo.mount(r.Context(), m.from, m.digest)
	if mounted {
		created(w, repo.name, b, m.from)
	}
	return mounted, err
}

// askedDigest reads the parameters that tell what to hash while bytes arrive.
func askedDigest(q url.Values) (alg digest.Algorithm, d digest.Digest, err error) {
	if s := q.Get("digest-algorithm"); s != "" {
		if _, err := algorithmSize(s); err != nil {
			return "", "", err
		}
		alg = digest.Algorithm(s)
	}
	if s := q.Get("digest"); s != "" {
		if d, err = parseDigest(s); err != nil {
			return "", "", err
		}
		alg = d.Algorithm()
	}
	return alg, d, nil
}

// pushWhole takes a blob in one request. Nobody could resume it, so whatever goes
// wrong takes its bytes along.
func (h *front) pushWhole(w http.ResponseWriter, r *http.Request, repo repository, d digest.Digest) error {
	u, err := h.blobs.Create(repo.uploadScope(), d.Algorithm(), r.ContentLength)
	if err != nil {
		return err
	}
	if err := h.receive(w, r, u, -1); err != nil {
		return errors.Join(err, u.Cancel())
	}
	if err := repo.commit(r.Context(), u, d); err != nil {
		return errors.Join(err, u.Cancel())
	}
	created(w, repo.name, meta.Blob{Digest: d, Size: u.Size()}, "")
	return nil
}

// created is the 201 for a blob, which was mounted if there is a source.
func created(w http.ResponseWriter, repo meta.RepoName, b meta.Blob, source meta.RepoName) {
	testify(w, b.Size, source)
	head := w.Header()
	head["Location"] = []string{"/v2/" + string(repo) + "/blobs/" + b.Digest.String()}
	head[headDigest] = []string{b.Digest.String()}
	head["Content-Length"] = valueZero
	w.WriteHeader(http.StatusCreated)
}

// uploadHeaders tell where an upload goes on: Location, and the bytes it has. No
// bytes look like one, "0-0": clients know, distribution does the same.
func (n *namespace) uploadHeaders(head http.Header, repo meta.RepoName, id string, size int64) {
	id = n.uploadName(id)
	head["Location"] = []string{"/v2/" + string(repo) + "/blobs/uploads/" + id}
	head["Range"] = []string{"0-" + strconv.FormatInt(max(size-1, 0), 10)}
	head[headUUID] = []string{id}
}

// whereToGoOn adds the headers to a refusal that leaves the upload as it is.
func (r repository) whereToGoOn(w http.ResponseWriter, u *blobstore.Upload, err error) error {
	if !errors.Is(err, blobstore.ErrFull) { // which ended it
		r.uploadHeaders(w.Header(), r.name, u.ID(), u.Size())
	}
	return err
}

// resume takes hold of the upload that t names, for the pusher who began it.
func (h *front) resume(w http.ResponseWriter, r *http.Request, t target) (repository, *blobstore.Upload, error) {
	actor, err := h.allowPush(w, r, t.repo)
	if err != nil {
		return repository{}, nil, err
	}
	repo := h.repository(t.repo, actor)
	u, err := repo.hold(r.Context(), t.upload)
	return repo, u, err
}

// busyWait is how long a request waits for another to let go of the upload: a client
// whose connection broke is back before the server has noticed.
const busyWait = time.Second

// hold takes hold of an upload of the actor's.
func (r repository) hold(ctx context.Context, id string) (*blobstore.Upload, error) {
	for pause := time.Millisecond; ; pause *= 2 {
		u, err := r.blobs.Resume(r.uploadScope(), id)
		if !errors.Is(err, blobstore.ErrBusy) || pause > busyWait/2 {
			return u, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// patchUpload appends a chunk, or a stream, to an upload.
func (h *front) patchUpload(w http.ResponseWriter, r *http.Request, t target) error {
	repo, u, err := h.resume(w, r, t)
	if err != nil {
		return err
	}
	defer func() { _ = u.Close() }() // only lets go
	if err := h.append(w, r, u); err != nil {
		return repo.whereToGoOn(w, u, err)
	}
	h.uploadHeaders(w.Header(), repo.name, u.ID(), u.Size())
	w.Header()["Content-Length"] = valueZero
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// putUpload appends what is left and publishes the upload as the digest given.
func (h *front) putUpload(w http.ResponseWriter, r *http.Request, t target) error {
	repo, u, err := h.resume(w, r, t)
	if err != nil {
		return err
	}
	defer func() { _ = u.Close() }() // only lets go; does nothing once published
	d, err := parseDigest(r.URL.Query().Get("digest"))
	if err == nil {
		err = u.Use(d.Algorithm())
	}
	if err == nil {
		err = h.append(w, r, u)
	}
	if err != nil {
		return repo.whereToGoOn(w, u, err)
	}
	if err := repo.commit(r.Context(), u, d); err != nil {
		if errors.Is(err, blobstore.ErrDigest) || errors.Is(err, blobstore.ErrFull) {
			err = errors.Join(err, u.Cancel()) // bytes that are wrong do not get right
		}
		return err
	}
	created(w, repo.name, meta.Blob{Digest: d, Size: u.Size()}, "")
	return nil
}

// append checks that the body continues the upload, and takes it. What arrived of a
// body that broke off stays, for the client to go on from; on a full disk nothing does.
func (h *front) append(w http.ResponseWriter, r *http.Request, u *blobstore.Upload) error {
	want, err := chunkSize(r, u.Size())
	if err != nil {
		return err
	}
	if want == 0 {
		return nil
	}
	if err := u.Expect(r.ContentLength); err != nil {
		return errors.Join(err, u.Cancel())
	}
	err = h.receive(w, r, u, want)
	if errors.Is(err, blobstore.ErrFull) {
		return errors.Join(err, u.Cancel())
	}
	return err
}

// receive copies the body into u; want is its length if the client told, or -1.
func (h *front) receive(w http.ResponseWriter, r *http.Request, u *blobstore.Upload, want int64) error {
	if r.ContentLength == 0 {
		return nil
	}
	n, err := u.ReadFrom(watch(w, r))
	h.metrics.blobReceived.Add(float64(n))
	if err != nil {
		return err
	}
	if want >= 0 && n != want {
		return sizeInvalid(want, n)
	}
	return nil
}

func sizeInvalid(want, got int64) *fault {
	return &fault{
		status: http.StatusBadRequest, code: codeSizeInvalid,
		message: "the chunk does not have the length that Content-Range says",
		detail:  map[string]int64{"contentRange": want, "contentLength": got},
	}
}

// chunkSize is the length of the body, from Content-Range where there is one, else
// from Content-Length, -1 when neither tells. It fails when the chunk does not begin
// where the upload ends.
func chunkSize(r *http.Request, size int64) (int64, error) {
	header := r.Header.Get("Content-Range")
	if header == "" {
		return r.ContentLength, nil
	}
	start, end, err := parseRange(header)
	if err != nil {
		return 0, err
	}
	if start != size || end < start {
		return 0, &fault{
			status: http.StatusRequestedRangeNotSatisfiable, code: codeUploadInvalid,
			message: "the chunk must begin where the upload ends; Range says what has arrived",
			detail:  map[string]int64{"next": size, "start": start, "end": end},
		}
	}
	if want := end - start + 1; r.ContentLength >= 0 && r.ContentLength != want {
		return 0, sizeInvalid(want, r.ContentLength)
	}
	return end - start + 1, nil
}

// parseRange reads the spec's "first-last", and HTTP's "bytes first-last/total",
// which some clients send.
func parseRange(s string) (start, end int64, err error) {
	plain := strings.TrimPrefix(s, "bytes ")
	plain, _, _ = strings.Cut(plain, "/")
	first, last, ok := strings.Cut(plain, "-")
	a, err1 := strconv.ParseUint(first, 10, 62)
	b, err2 := strconv.ParseUint(last, 10, 62)
	if !ok || err1 != nil || err2 != nil {
		return 0, 0, &fault{
			status: http.StatusBadRequest, code: codeUploadInvalid, message: "Content-Range must be <first>-<last>",
			detail: map[string]string{"contentRange": s},
		}
	}
	return int64(a), int64(b), nil
}

// getUpload tells how much has arrived, also while a request is bringing more.
func (h *front) getUpload(w http.ResponseWriter, r *http.Request, t target) error {
	// Not allowPush: it changes nothing, so no state of the registry forbids it.
	actor, err := h.allow(w, r, Access{t.repo, Pull}, Access{t.repo, Push})
	if err != nil {
		return err
	}
	size, _, err := h.blobs.StatUpload(h.repository(t.repo, actor).uploadScope(), t.upload)
	if err != nil {
		return err
	}
	h.uploadHeaders(w.Header(), t.repo, t.upload, size)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// deleteUpload cancels an upload. It is the pusher's, so it needs no right to
// delete; and on a full disk it is help, so writeState does not matter.
func (h *front) deleteUpload(w http.ResponseWriter, r *http.Request, t target) error {
	actor, err := h.allow(w, r, Access{t.repo, Pull}, Access{t.repo, Push})
	if err != nil {
		return err
	}
	if err := h.changeable(); err != nil {
		return err
	}
	u, err := h.repository(t.repo, actor).hold(r.Context(), t.upload)
	if err != nil {
		return err
	}
	if err := u.Cancel(); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
