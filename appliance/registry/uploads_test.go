package registry_test

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/blobstore"
)

const uploads = "/v2/a/b/blobs/uploads/"

// scope is what the store knows an upload below uploads by, of whoever it is
// when nobody is asked.
const scope = "a/b anonymous"

// Every way to push a blob gives the same blob.
func TestEveryWayToPushABlob(t *testing.T) {
	whole := bytes.Repeat([]byte("0123456789"), 1000)
	first, rest := whole[:4000], whole[4000:]
	ways := map[string]func(*world, digest.Digest) answer{
		"post": func(w *world, d digest.Digest) answer {
			return w.do("POST", with(uploads, "digest", d.String()), whole)
		},
		"post put": func(w *world, d digest.Digest) answer {
			l := w.do("POST", uploads, nil).want(202).wantHead("Range", "0-0").location()
			return w.do("PUT", with(l, "digest", d.String()), whole)
		},
		"post without slash": func(w *world, d digest.Digest) answer {
			l := w.do("POST", strings.TrimSuffix(uploads, "/"), nil).want(202).location()
			return w.do("PUT", with(l, "digest", d.String()), whole)
		},
		"post with digest, put with body": func(w *world, d digest.Digest) answer {
			l := w.do("POST", with(uploads, "digest", d.String()), nil).want(202).location()
			return w.do("PUT", with(l, "digest", d.String()), whole)
		},
		"digest-algorithm": func(w *world, d digest.Digest) answer {
			l := w.do("POST", with(uploads, "digest-algorithm", d.Algorithm().String()), nil).want(202).location()
			l = w.do("PATCH", l, whole).want(202).location()
			return w.do("PUT", with(l, "digest", d.String()), nil)
		},
		"stream": func(w *world, d digest.Digest) answer {
			l := w.do("POST", uploads, nil).want(202).location()
			l = w.do("PATCH", l, whole).want(202).wantHead("Range", "0-9999").location()
			return w.do("PUT", with(l, "digest", d.String()), nil)
		},
		"chunks": func(w *world, d digest.Digest) answer {
			l := w.do("POST", uploads, nil).want(202).location()
			l = w.do("PATCH", l, first, head{"Content-Range", "0-3999"}).want(202).wantHead("Range", "0-3999").location()
			l = w.do("PATCH", l, rest, head{"Content-Range", "4000-9999"}).want(202).wantHead("Range", "0-9999").location()
			return w.do("PUT", with(l, "digest", d.String()), nil)
		},
		"chunks, the last with put": func(w *world, d digest.Digest) answer {
			l := w.do("POST", uploads, nil).want(202).location()
			l = w.do("PATCH", l, first, head{"Content-Range", "bytes 0-3999/10000"}).want(202).location()
			return w.do("PUT", with(l, "digest", d.String()), rest, head{"Content-Range", "4000-9999"})
		},
	}
	for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		d := alg.FromBytes(whole)
		for name, push := range ways {
			t.Run(alg.String()+" "+name, func(t *testing.T) {
				w := newWorld(t)
				a := push(w, d).want(201).wantHead("Docker-Content-Digest", d.String())
				if got := w.do("GET", a.location(), nil).want(200); !bytes.Equal(got.body, whole) {
					t.Error("other bytes came back")
				}
				w.do("HEAD", a.location(), nil).want(200).wantHead("Content-Length", "10000").
					wantHead("Docker-Content-Digest", d.String()).wantHead("Content-Type", "application/octet-stream")
				w.noUploads()
			})
		}
	}
}

// noUploads fails when an upload was left behind.
func (w *world) noUploads() {
	w.t.Helper()
	left, err := os.ReadDir(filepath.Join(w.dir, "blobs", "uploads"))
	w.must(err)
	if len(left) > 0 {
		w.t.Errorf("%d uploads were left behind", len(left))
	}
}

func TestTheEmptyBlobIsABlob(t *testing.T) {
	w := newWorld(t)
	d := digest.FromBytes(nil)
	w.do("POST", with(uploads, "digest", d.String()), nil).want(201)
	w.do("GET", "/v2/a/b/blobs/"+d.String(), nil).want(200).wantHead("Content-Length", "0")
	d = digest.SHA512.FromBytes(nil)
	l := w.do("POST", uploads, nil).want(202).location()
	w.do("PUT", with(l, "digest", d.String()), nil).want(201)
	w.do("HEAD", "/v2/a/b/blobs/"+d.String(), nil).want(200).wantHead("Content-Length", "0")
}

func TestAChunkThatDoesNotContinueIsRefused(t *testing.T) {
	w := newWorld(t)
	l := w.do("POST", uploads, nil).want(202).location()
	w.do("PATCH", l, []byte("12345"), head{"Content-Range", "0-4"}).want(202)
	for _, c := range []struct {
		name, contentRange, body string
		status                   int
		code                     string
	}{
		{"gap", "6-8", "789", 416, "BLOB_UPLOAD_INVALID"},
		{"again", "0-4", "12345", 416, "BLOB_UPLOAD_INVALID"},
		{"overlap", "4-6", "567", 416, "BLOB_UPLOAD_INVALID"},
		{"backwards", "5-4", "6", 416, "BLOB_UPLOAD_INVALID"},
		{"longer than it says", "5-6", "678", 400, "SIZE_INVALID"},
		{"shorter than it says", "5-9", "678", 400, "SIZE_INVALID"},
		{"no range", "5", "678", 400, "BLOB_UPLOAD_INVALID"},
		{"negative", "-5-7", "678", 400, "BLOB_UPLOAD_INVALID"},
		{"signed", "+5-7", "678", 400, "BLOB_UPLOAD_INVALID"},
		{"huge", "5-99999999999999999999", "678", 400, "BLOB_UPLOAD_INVALID"},
		{"words", "five-seven", "678", 400, "BLOB_UPLOAD_INVALID"},
	} {
		for _, method := range []string{"PATCH", "PUT"} {
			a := w.do(method, with(l, "digest", someDigest), []byte(c.body), head{"Content-Range", c.contentRange})
			if a.status != c.status || a.code() != c.code {
				t.Errorf("%s %s: %d %s, want %d %s", method, c.name, a.status, a.code(), c.status, c.code)
			}
			a.wantHead("Range", "0-4").wantHead("Location", l)
		}
	}
	// The session has not suffered.
	w.do("GET", l, nil).want(204).wantHead("Range", "0-4").wantHead("Location", l)
	w.do("PATCH", l, []byte("678"), head{"Content-Range", "5-7"}).want(202)
	w.do("PUT", with(l, "digest", digest.FromString("12345678").String()), nil).want(201)
}

func TestAWrongDigestIsRefusedAndForgotten(t *testing.T) {
	w := newWorld(t)
	wrong := digest.FromString("something else").String()
	w.do("POST", with(uploads, "digest", wrong), []byte("content")).want(400, "DIGEST_INVALID")
	l := w.do("POST", uploads, nil).want(202).location()
	w.do("PUT", with(l, "digest", wrong), []byte("content")).want(400, "DIGEST_INVALID")
	w.do("GET", l, nil).want(404, "BLOB_UPLOAD_UNKNOWN")
	w.do("HEAD", "/v2/a/b/blobs/"+wrong, nil).want(404)
	w.noUploads()
}

// A missing or malformed digest is the request's fault, not the bytes': they stay.
func TestADigestThatIsNoneLeavesTheUpload(t *testing.T) {
	w := newWorld(t)
	l := w.do("POST", uploads, nil).want(202).location()
	w.do("PATCH", l, []byte("content")).want(202)
	for _, d := range []string{"", "sha256:0", "md5:d41d8cd98f00b204e9800998ecf8427e", "latest"} {
		w.do("PUT", with(l, "digest", d), nil).want(400, "DIGEST_INVALID").wantHead("Range", "0-6")
	}
	w.do("POST", with(uploads, "digest-algorithm", "md5"), nil).want(400, "DIGEST_INVALID")
	w.do("POST", with(uploads, "digest", "md5:x"), []byte("content")).want(400, "DIGEST_INVALID")
	w.do("PUT", with(l, "digest", digest.FromString("content").String()), nil).want(201)
}

func TestATruncatedBodyCanBeContinued(t *testing.T) {
	w := newWorld(t)
	d := digest.FromString("0123456789").String()
	l := w.do("POST", uploads, nil).want(202).location()
	a := w.truncated("PATCH", l, "0123", 10)
	a.want(400, "SIZE_INVALID").wantHead("Range", "0-3").wantHead("Location", l)
	a = w.truncated("PUT", with(l, "digest", d), "45", 6)
	a.want(400, "SIZE_INVALID").wantHead("Range", "0-5")
	w.do("GET", l, nil).want(204).wantHead("Range", "0-5")
	w.do("PATCH", l, []byte("6789"), head{"Content-Range", "6-9"}).want(202)
	w.do("PUT", with(l, "digest", d), nil).want(201)
	// What nobody can continue is not kept.
	w.truncated("POST", with(uploads, "digest", d), "0123", 10).want(400, "SIZE_INVALID")
	w.noUploads()
}

// truncated sends less than it announces.
func (w *world) truncated(method, path, body string, announced int64) answer {
	r := httptest.NewRequest(method, path, broken([]byte(body)))
	r.ContentLength = announced
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	return answer{w.t, method + " truncated", rec.Code, rec.Header(), rec.Body.Bytes()}
}

func TestAnUploadSurvivesARestart(t *testing.T) {
	w := newWorld(t)
	for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		l := w.do("POST", with(uploads, "digest-algorithm", alg.String()), nil).want(202).location()
		w.do("PATCH", l, []byte("before ")).want(202)
		w.openBlobs(blobstore.Config{Dir: filepath.Join(w.dir, "blobs"), Reserve: -1, Soft: 100, High: 100, Critical: 100})
		w.serve(registry.Handler)
		w.do("GET", l, nil).want(204).wantHead("Range", "0-6")
		w.do("PATCH", l, []byte("after"), head{"Content-Range", "7-11"}).want(202)
		d := alg.FromString("before after")
		w.do("PUT", with(l, "digest", d.String()), nil).want(201)
	}
}

func TestAnUploadBelongsToItsRepository(t *testing.T) {
	w := newWorld(t)
	l := w.do("POST", uploads, nil).want(202).location()
	id := l[strings.LastIndexByte(l, '/')+1:]
	if len(id) < 20 {
		t.Errorf("upload id %q can be guessed", id)
	}
	other := "/v2/a/c/blobs/uploads/" + id
	for _, method := range []string{"GET", "PATCH", "PUT", "DELETE"} {
		w.do(method, with(other, "digest", someDigest), nil).want(404, "BLOB_UPLOAD_UNKNOWN")
	}
	for _, id := range []string{"nonsense", "..", ".", "a.b", strings.Repeat("A", 300), "%00"} {
		for _, method := range []string{"GET", "PATCH", "PUT", "DELETE"} {
			a := w.do(method, with(uploads+id, "digest", someDigest), nil)
			if a.status != 404 && a.status != 400 {
				t.Errorf("%s of upload %q: %d", method, id, a.status)
			}
		}
	}
	w.do("GET", l, nil).want(204)
}

// The id of an upload is no permission (I7), not even for those who may push there.
func TestAnUploadBelongsToWhoBeganIt(t *testing.T) {
	p := &policy{user: "ann", may: []string{"a/b:pull", "a/b:push"}}
	w := newWorld(t, p.into)
	l := w.do("POST", uploads, nil).want(202).location()
	w.do("PATCH", l, []byte("half")).want(202)
	for _, who := range []string{"bob", "token:ann", "annn", "anonymous", "Ann", " ann"} {
		p.user = who
		for _, method := range []string{"GET", "HEAD", "PATCH", "PUT", "DELETE"} {
			w.do(method, with(l, "digest", someDigest), nil).want(404)
		}
		w.do("PATCH", l, []byte("x")).want(404, "BLOB_UPLOAD_UNKNOWN")
	}
	w.openBlobs(blobstore.Config{Dir: filepath.Join(w.dir, "blobs"), Reserve: -1, Soft: 100, High: 100, Critical: 100})
	w.serve(registry.Handler, p.into)
	w.do("GET", l, nil).want(404, "BLOB_UPLOAD_UNKNOWN")
	p.user = "ann"
	w.do("GET", l, nil).want(204).wantHead("Range", "0-3")
	w.do("PUT", with(l, "digest", digest.FromString("half and half").String()), []byte(" and half")).want(201)
}

func TestAnUploadIsCancelled(t *testing.T) {
	w := newWorld(t)
	l := w.do("POST", uploads, nil).want(202).location()
	w.do("PATCH", l, []byte("content")).want(202)
	w.do("DELETE", l, nil).want(204)
	w.do("GET", l, nil).want(404, "BLOB_UPLOAD_UNKNOWN")
	w.do("DELETE", l, nil).want(404, "BLOB_UPLOAD_UNKNOWN")
	w.noUploads()
}

func TestTwoRequestsDoNotWriteToOneUpload(t *testing.T) {
	w := newWorld(t)
	l := w.do("POST", uploads, nil).want(202).location()
	id := l[strings.LastIndexByte(l, '/')+1:]
	u, err := w.blobs.Resume(scope, id) // as a request in progress does
	w.must(err)
	synctest.Test(t, func(*testing.T) { // they wait a second
		for _, method := range []string{"PATCH", "PUT", "DELETE"} {
			w.do(method, with(l, "digest", someDigest), []byte("x")).want(409, "BLOB_UPLOAD_INVALID")
		}
	})
	w.do("GET", l, nil).want(204) // who only looks is not in the way
	w.must(u.Close())
	w.do("PATCH", l, []byte("x")).want(202)
}

// The request of a broken connection holds the upload until the server notices.
func TestAClientThatReconnectsIsNotRefused(t *testing.T) {
	w := newWorld(t)
	l := w.do("POST", uploads, nil).want(202).location()
	u, err := w.blobs.Resume(scope, l[strings.LastIndexByte(l, '/')+1:])
	w.must(err)
	synctest.Test(t, func(*testing.T) {
		time.AfterFunc(100*time.Millisecond, func() { w.must(u.Close()) })
		w.do("PATCH", l, []byte("x")).want(202)
	})
}

func TestMounts(t *testing.T) {
	w := newWorld(t)
	d := w.pushBlob("source", []byte("content")).Digest.String()
	mount := func(repo, from string) answer {
		path := "/v2/" + repo + "/blobs/uploads/?mount=" + d
		if from != "" {
			path += "&from=" + from
		}
		return w.do("POST", path, nil)
	}
	mount("with", "source").want(201).wantHead("Location", "/v2/with/blobs/"+d).wantHead("Docker-Content-Digest", d)
	mount("without", "").want(201)
	mount("with", "with").want(201)
	for _, repo := range []string{"with", "without"} {
		w.do("GET", "/v2/"+repo+"/blobs/"+d, nil).want(200)
	}
	// What cannot be mounted is uploaded.
	mount("c", "nowhere").want(202)
	mount("c", "NO-NAME").want(202)
	w.do("POST", "/v2/c/blobs/uploads/?from=source&mount=sha256:0", nil).want(202)
	l := w.do("POST", "/v2/c/blobs/uploads/?mount="+someDigest, nil).want(202).location()
	w.do("PUT", with(l, "digest", someDigest), nil).want(201)
	w.do("HEAD", "/v2/c/blobs/"+d, nil).want(404)
}

func TestAFullDiskStopsUploadsAndNothingElse(t *testing.T) {
	w := openStores(t, blobstore.Config{})
	w.serve(registry.Handler)
	d := w.pushImage("a/b", "v1")
	l := w.do("POST", uploads, nil).want(202).location()
	w.do("PATCH", l, []byte("some")).want(202)

	// A chunk for which there is no room is not begun, and what came before it is freed.
	r := httptest.NewRequest("PATCH", l, broken(nil))
	r.ContentLength = 8 << 40
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	a := answer{t, "PATCH of 8 TiB", rec.Code, rec.Header(), rec.Body.Bytes()}
	a.want(507, "INSUFFICIENT_STORAGE").wantHead("Location", "")
	w.noUploads()

	w.openBlobs(blobstore.Config{Dir: filepath.Join(w.dir, "blobs"), Reserve: -1, Soft: 1, High: 1, Critical: 100})
	w.serve(registry.Handler, func(c *registry.Config) {
		c.WriteState = func() error { return fmt.Errorf("critical: %w", blobstore.ErrFull) }
	})
	w.do("POST", uploads, nil).want(507, "INSUFFICIENT_STORAGE")
	w.do("POST", with(uploads, "digest", someDigest), nil).want(507)
	w.do("PUT", "/v2/a/b/manifests/v2", []byte("{}"), typed).want(507, "INSUFFICIENT_STORAGE")
	w.do("GET", "/v2/a/b/manifests/v1", nil).want(200)
	w.do("DELETE", "/v2/a/b/manifests/v1", nil).want(202)
	w.do("DELETE", "/v2/a/b/manifests/"+d.String(), nil).want(202)
}

// The blob store alone refuses from the high watermark on, whoever forgot to ask.
func TestTheHighWatermarkStopsUploads(t *testing.T) {
	w := openStores(t, blobstore.Config{Soft: 1, High: 1, Critical: 100})
	w.serve(registry.Handler)
	w.do("POST", uploads, nil).want(507, "INSUFFICIENT_STORAGE")
	w.do("POST", with(uploads, "digest", digest.FromString("x").String()), []byte("x")).want(507)
	w.noUploads()
}

func TestWithoutQuorumWritesFailFast(t *testing.T) {
	w := newWorld(t)
	d := w.pushImage("a/b", "v1")
	m := w.image("a/b", "v2")
	blob := digest.FromString("x").String()
	w.log.down.Store(true)
	for _, a := range []answer{
		w.do("POST", with(uploads, "digest", blob), []byte("x")),
		w.do("POST", "/v2/c/blobs/uploads/?mount="+digest.FromString("layer of v1").String()+"&from=a/b", nil),
		w.do("PUT", "/v2/a/b/manifests/v2", m, typed),
		w.do("DELETE", "/v2/a/b/manifests/v1", nil),
		w.do("DELETE", "/v2/a/b/manifests/"+d.String(), nil),
		w.do("DELETE", "/v2/a/b/blobs/"+digest.FromString("layer of v2").String(), nil),
	} {
		a.want(503, "UNAVAILABLE").wantHead("Retry-After", "2")
	}
	w.do("GET", "/v2/a/b/manifests/v1", nil).want(200) // reads need nobody
	w.log.down.Store(false)
	w.do("PUT", "/v2/a/b/manifests/v2", m, typed).want(201)
}

func TestALogWithoutRoomIsAFullDisk(t *testing.T) {
	w := newWorld(t)
	m := w.image("a/b", "v1")
	w.log.full.Store(true)
	w.do("PUT", "/v2/a/b/manifests/v1", m, typed).want(507)
	w.do("POST", with(uploads, "digest", digest.FromString("x").String()), []byte("x")).want(507)
	w.log.full.Store(false)
	w.do("PUT", "/v2/a/b/manifests/v1", m, typed).want(201)
}

func TestAReadOnlyRegistryIsRead(t *testing.T) {
	w := newWorld(t)
	d := w.pushImage("a/b", "v1")
	l := w.do("POST", uploads, nil).want(202).location()
	w.serve(registry.Handler, func(c *registry.Config) { c.ReadOnly = func() bool { return true } })
	for _, a := range []answer{
		w.do("POST", uploads, nil),
		w.do("PATCH", l, []byte("x")),
		w.do("PUT", with(l, "digest", someDigest), nil),
		w.do("DELETE", l, nil),
		w.do("PUT", "/v2/a/b/manifests/v2", []byte("{}"), typed),
		w.do("DELETE", "/v2/a/b/manifests/v1", nil),
		w.do("DELETE", "/v2/a/b/manifests/"+d.String(), nil),
		w.do("DELETE", "/v2/a/b/blobs/"+someDigest, nil),
	} {
		a.want(405, "UNSUPPORTED")
	}
	w.do("GET", l, nil).want(204)
	w.do("GET", "/v2/a/b/manifests/v1", nil).want(200)
}
