package registry_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/blobstore"
)

// Distribution's App serves every route over the same repository type. The same
// script runs against it and against the front; where they differ, a line of
// differences says why.

// A step is one request of the script.
type step struct {
	name, method, path string // {upload} in path is where the last upload goes on
	digest             string // parameter
	body               string
	head               head
}

// differences, by step: what App answers there, and why the front does not.
var differences = map[string]struct{ app, why string }{
	"nothing: tags, n=0": {
		"200",
		"App does not look; a repository that is not there is 404 (spec, Listing Tags)",
	},
	"nothing: upload, patch": {
		"404 BLOB_UPLOAD_INVALID",
		"App wants its own _state in the URL before it looks; the spec has BLOB_UPLOAD_UNKNOWN",
	},
	"nothing: upload, cancel": {"404 BLOB_UPLOAD_INVALID", "as before"},
	"nothing: referrers":      {"404", "App has no such route"},
	"chunks: gap": {
		"416 RANGE_INVALID",
		"the spec's table of codes has no RANGE_INVALID",
	},
	"chunks: malformed range": {"500 UNKNOWN", "a malformed header is the client's mistake"},
	"whole: post":             {"202", "App ignores the body; the spec's single POST is 201"},
	"mount without from": {
		"202",
		"App knows none; the spec lets a registry find the blob",
	},
	"manifest: put by bad tag": {
		"404",
		"App's router takes it for no route; TAG_INVALID says what is wrong",
	},
	"manifest: bad tag": {"404", "as before; the front sends the spec's body along"},
	"manifest: get without Accept": {
		"404 MANIFEST_UNKNOWN",
		"Accept is a hint: a client that sends none can still read the type",
	},
	"manifest: missing blob": {
		"400 MANIFEST_BLOB_UNKNOWN",
		"the spec's table of endpoints has 404 for it",
	},
	"manifest: too large": {"400 MANIFEST_INVALID", "the spec has 413"},
	"manifest: unknown type": {
		"400 MANIFEST_INVALID",
		"the spec leaves types open; App reads them all as Docker schema 2",
	},
	"manifest: sha512":    {"400 DIGEST_INVALID", "App computes sha256 only"},
	"manifest: tags, get": {"404", "App ignores tag parameters"},
	"referrers":           {"404", "App has no such route"},
	"tags: bad n": {
		"400 PAGINATION_NUMBER_INVALID",
		"the spec's table of codes has no such code",
	},
	"catalog: bad n": {"400 PAGINATION_NUMBER_INVALID", "as before"},
	"catalog: more than there may be": {
		"400 PAGINATION_NUMBER_INVALID",
		"cut, as App does for tags; Link tells where to go on",
	},
	"blob, bad method":     {"405", "App's answer has no body, and leaves HEAD and OPTIONS out of Allow where it could"},
	"manifest: bad method": {"405", "as before"},
	"tags: bad method":     {"405", "as before"},
	"name: upper case": {
		"404",
		"App's router takes it for no route; NAME_INVALID says what is wrong",
	},
	"name: two slashes": {"301", "App redirects to a path that nobody asked for"},
	"name: encoded slash": {
		"200",
		"App decodes it into another name than a proxy in between saw",
	},
}

func TestTheFrontAnswersAsDistributionDoes(t *testing.T) {
	script := oracleScript(t)
	front := runScript(t, script, registry.Handler)
	app := runScript(t, script, registry.Oracle)
	for i, s := range script {
		want, differs := differences[s.name]
		switch {
		case front[i] == app[i] && differs:
			t.Errorf("%s: both answer %s; the difference is no more", s.name, front[i])
		case front[i] != app[i] && !differs:
			t.Errorf("%s: front answers %s, App %s, and nothing says why", s.name, front[i], app[i])
		case differs && !strings.HasPrefix(app[i], want.app):
			t.Errorf("%s: App answers %s, not %s", s.name, app[i], want.app)
		}
	}
	for name := range differences {
		if !slices.ContainsFunc(script, func(s step) bool { return s.name == name }) {
			t.Errorf("no step %q", name)
		}
	}
}

// runScript returns what each step answered.
func runScript(t *testing.T, script []step, handler maker) []string {
	t.Helper()
	w := openStores(t, blobstore.Config{})
	w.serve(handler)
	var got []string
	upload := ""
	for _, s := range script {
		path := strings.ReplaceAll(s.path, "{upload}", upload)
		if s.digest != "" {
			path = with(path, "digest", s.digest)
		}
		var body []byte
		if s.body != "" {
			body = []byte(s.body)
		}
		a := w.do(s.method, path, body, s.head)
		if a.status == http.StatusAccepted && a.header.Get("Range") != "" {
			upload = a.location()
		}
		if s.method == http.MethodHead {
			a.body = nil // a server sends none
		}
		got = append(got, summary(a))
	}
	return got
}

// summary is what must be equal of two answers.
func summary(a answer) string {
	s := fmt.Sprint(a.status)
	if code := a.code(); code != "" {
		s += " " + code
	}
	for _, h := range []struct{ key, name string }{
		{"Range", "range"},
		{"Content-Type", "type"},
		{"Docker-Content-Digest", "digest"},
		{"ETag", "etag"},
		{"Link", "link"},
		{"OCI-Subject", "subject"},
		{"Allow", "allow"},
		{"Content-Range", "range"},
	} {
		if v := a.header.Get(h.key); v != "" && a.status < 300 || v != "" && h.key == "Allow" {
			s += " " + h.name + "=" + v
		}
	}
	if l := a.header.Get("Location"); a.status == http.StatusCreated {
		s += " location=" + l
	}
	if a.status == http.StatusOK && len(a.body) > 0 {
		s += " body=" + digest.FromBytes(a.body).Encoded()[:8]
	}
	return s
}

// oracleScript is a life of a registry, good days and bad.
func oracleScript(t *testing.T) []step {
	content := "0123456789"
	d, d512 := digest.FromString(content).String(), digest.SHA512.FromString(content).String()
	config := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.Digest(d), Size: 10}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{config}}
	m.SchemaVersion = 2
	image := string(asJSON(t, m))
	id := digest.FromString(image).String()
	m.Subject = &config
	about := string(asJSON(t, m))
	m.Subject, m.Config.Digest = nil, digest.FromString("absent")
	missing := string(asJSON(t, m))
	accept := head{"Accept", ocispec.MediaTypeImageManifest, "Accept", ocispec.MediaTypeImageIndex}
	list := head{"Content-Type", ocispec.MediaTypeImageIndex}
	const a, up = "/v2/a/b", "/v2/a/b/blobs/uploads/"
	return []step{
		{name: "ping", method: "GET", path: "/v2/"},
		{name: "ping, head", method: "HEAD", path: "/v2/"},
		{name: "nothing: tags", method: "GET", path: a + "/tags/list"},
		{name: "nothing: tags, n=0", method: "GET", path: a + "/tags/list?n=0"},
		{name: "nothing: manifest", method: "GET", path: a + "/manifests/v1", head: accept},
		{name: "nothing: manifest by digest", method: "HEAD", path: a + "/manifests/" + id, head: accept},
		{name: "nothing: manifest, delete", method: "DELETE", path: a + "/manifests/v1"},
		{name: "nothing: manifest by digest, delete", method: "DELETE", path: a + "/manifests/" + id},
		{name: "nothing: blob", method: "GET", path: a + "/blobs/" + d},
		{name: "nothing: blob, head", method: "HEAD", path: a + "/blobs/" + d},
		{name: "nothing: blob, delete", method: "DELETE", path: a + "/blobs/" + d},
		{name: "nothing: upload", method: "GET", path: up + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
		{name: "nothing: upload, patch", method: "PATCH", path: up + "ABCDEFGHIJKLMNOPQRSTUVWXYZ", body: "x"},
		{name: "nothing: upload, cancel", method: "DELETE", path: up + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
		{name: "nothing: catalog", method: "GET", path: "/v2/_catalog"},
		{name: "nothing: referrers", method: "GET", path: a + "/referrers/" + d},
		{name: "nothing: route", method: "GET", path: "/v2/a"},

		{name: "chunks: post", method: "POST", path: up},
		{name: "chunks: status", method: "GET", path: "{upload}"},
		{name: "chunks: first", method: "PATCH", path: "{upload}", body: content[:5], head: head{"Content-Range", "0-4"}},
		{name: "chunks: status with bytes", method: "HEAD", path: "{upload}"},
		{name: "chunks: gap", method: "PATCH", path: "{upload}", body: "x", head: head{"Content-Range", "7-7"}},
		{name: "chunks: of another length", method: "PATCH", path: "{upload}", body: "x", head: head{"Content-Range", "5-7"}},
		{name: "chunks: malformed range", method: "PATCH", path: "{upload}", body: "x", head: head{"Content-Range", "5"}},
		{name: "chunks: put without digest", method: "PUT", path: "{upload}"},
		{name: "chunks: put with bad digest", method: "PUT", path: "{upload}", digest: "sha256:0"},
		{
			name: "chunks: put with last", method: "PUT", path: "{upload}",
			digest: d, body: content[5:], head: head{"Content-Range", "5-9"},
		},
		{name: "chunks: put again", method: "PUT", path: "{upload}", digest: d},
		{name: "wrong digest: post", method: "POST", path: up},
		{
			name: "wrong digest: put", method: "PUT", path: "{upload}",
			digest: digest.FromString("other").String(), body: content,
		},
		{name: "wrong digest: status", method: "GET", path: "{upload}"},
		{name: "cancel: post", method: "POST", path: up},
		{name: "cancel: delete", method: "DELETE", path: "{upload}"},
		{name: "cancel: status", method: "GET", path: "{upload}"},
		{name: "stream: post", method: "POST", path: up},
		{name: "stream: patch", method: "PATCH", path: "{upload}", body: "hello"},
		{name: "stream: put", method: "PUT", path: "{upload}", digest: digest.FromString("hello").String()},
		{name: "sha512: post", method: "POST", path: up},
		{name: "sha512: put", method: "PUT", path: "{upload}", digest: d512, body: content},
		{name: "whole: post", method: "POST", path: up, digest: digest.FromString("whole").String(), body: "whole"},
		{name: "mount", method: "POST", path: "/v2/c/blobs/uploads/?from=a/b&mount=" + d},
		{name: "mount without from", method: "POST", path: "/v2/e/blobs/uploads/?mount=" + d},
		{name: "mount what is not there", method: "POST", path: "/v2/c/blobs/uploads/?from=a/b&mount=" + someDigest},
		{name: "mount nonsense", method: "POST", path: "/v2/c/blobs/uploads/?from=A&mount=x"},

		{name: "blob", method: "GET", path: a + "/blobs/" + d},
		{name: "blob, head", method: "HEAD", path: a + "/blobs/" + d},
		{name: "blob, range", method: "GET", path: a + "/blobs/" + d, head: head{"Range", "bytes=2-4"}},
		{name: "blob, bad range", method: "GET", path: a + "/blobs/" + d, head: head{"Range", "bytes=20-"}},
		{name: "blob, not modified", method: "GET", path: a + "/blobs/" + d, head: head{"If-None-Match", `"` + d + `"`}},
		{name: "blob, bad digest", method: "GET", path: a + "/blobs/sha256:0"},
		{name: "blob, bad method", method: "PATCH", path: a + "/blobs/" + d},

		{name: "manifest: put", method: "PUT", path: a + "/manifests/v1", body: image, head: typed},
		{name: "manifest: put by digest", method: "PUT", path: a + "/manifests/" + id, body: image, head: typed},
		{
			name: "manifest: put by another digest", method: "PUT", path: a + "/manifests/" + someDigest,
			body: image, head: typed,
		},
		{name: "manifest: put by bad digest", method: "PUT", path: a + "/manifests/sha256:0", body: image, head: typed},
		{name: "manifest: put by bad tag", method: "PUT", path: a + "/manifests/.v1", body: image, head: typed},
		{name: "manifest: get", method: "GET", path: a + "/manifests/v1", head: accept},
		{name: "manifest: head", method: "HEAD", path: a + "/manifests/v1", head: accept},
		{name: "manifest: get by digest", method: "GET", path: a + "/manifests/" + id, head: accept},
		{
			name: "manifest: not modified", method: "GET", path: a + "/manifests/v1",
			head: head{"If-None-Match", `"` + id + `"`},
		},
		{name: "manifest: get without Accept", method: "GET", path: a + "/manifests/v1"},
		{name: "manifest: bad tag", method: "GET", path: a + "/manifests/.v1"},
		{name: "manifest: bad method", method: "PATCH", path: a + "/manifests/v1"},
		{name: "manifest: missing blob", method: "PUT", path: a + "/manifests/v2", body: missing, head: typed},
		{name: "manifest: no JSON", method: "PUT", path: a + "/manifests/v2", body: "hello", head: typed},
		{name: "manifest: type differs", method: "PUT", path: a + "/manifests/v2", body: image, head: list},
		{
			name: "manifest: too large", method: "PUT", path: a + "/manifests/v2",
			body: strings.Repeat(" ", 5<<20), head: typed,
		},
		{
			name: "manifest: unknown type", method: "PUT", path: "/v2/c/manifests/x",
			body: "{}", head: head{"Content-Type", "application/x"},
		},
		{
			name: "manifest: sha512", method: "PUT", path: "/v2/c/manifests/" + digest.SHA512.FromString(image).String(),
			body: image, head: typed,
		},
		{name: "manifest: tags", method: "PUT", path: "/v2/c/manifests/" + id + "?tag=t1&tag=t2", body: image, head: typed},
		{name: "manifest: tags, get", method: "HEAD", path: "/v2/c/manifests/t2", head: accept},
		{name: "manifest: subject", method: "PUT", path: a + "/manifests/about", body: about, head: typed},
		{
			name: "manifest: index", method: "PUT", path: a + "/manifests/index",
			body: string(index(t, digest.Digest(id))), head: list,
		},
		{name: "manifest: index, get", method: "GET", path: a + "/manifests/index", head: accept},
		{
			name: "manifest: sparse index", method: "PUT", path: a + "/manifests/sparse",
			body: string(index(t, someDigest)), head: list,
		},

		{name: "referrers", method: "GET", path: a + "/referrers/" + d},
		{name: "tags", method: "GET", path: a + "/tags/list?n=1000"},
		{name: "tags: page", method: "GET", path: a + "/tags/list?n=2"},
		{name: "tags: next page", method: "GET", path: a + "/tags/list?n=1&last=about"},
		{name: "tags: none", method: "GET", path: a + "/tags/list?n=0"},
		{name: "tags: bad n", method: "GET", path: a + "/tags/list?n=-1"},
		{name: "tags: bad method", method: "PUT", path: a + "/tags/list"},
		{name: "catalog", method: "GET", path: "/v2/_catalog"},
		{name: "catalog: none", method: "GET", path: "/v2/_catalog?n=0"},
		{name: "catalog: more than there may be", method: "GET", path: "/v2/_catalog?n=1001"},
		{name: "catalog: bad n", method: "GET", path: "/v2/_catalog?n=x"},
		{name: "name: upper case", method: "GET", path: "/v2/a/B/tags/list"},
		{name: "name: two slashes", method: "GET", path: "/v2/a//b/tags/list"},
		{name: "name: encoded slash", method: "GET", path: "/v2/a%2Fb/tags/list?n=1"},

		{name: "delete: blob in use", method: "DELETE", path: a + "/blobs/" + d},
		{name: "delete: tag", method: "DELETE", path: a + "/manifests/index"},
		{name: "delete: tag again", method: "DELETE", path: a + "/manifests/index"},
		{name: "delete: manifest", method: "DELETE", path: a + "/manifests/" + id},
		{name: "delete: its tag went with it", method: "GET", path: a + "/manifests/v1", head: accept},
		{name: "delete: manifest again", method: "DELETE", path: a + "/manifests/" + id},
		{name: "delete: blob", method: "DELETE", path: a + "/blobs/" + digest.FromString("hello").String()},
		{name: "delete: blob, gone", method: "HEAD", path: a + "/blobs/" + digest.FromString("hello").String()},
		{name: "delete: blob again", method: "DELETE", path: a + "/blobs/" + digest.FromString("hello").String()},
	}
}
