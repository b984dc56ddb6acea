package registry_test

import (
	"net/url"
	"strings"
	"testing"

	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/meta"
)

const (
	someDigest    = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	someDigest512 = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce" +
		"47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
)

func TestPathsNameTheirTarget(t *testing.T) {
	long := strings.Repeat("a", 255)
	for path, want := range map[string]registry.Target{
		"/v2":                        {Kind: registry.KindBase},
		"/v2/":                       {Kind: registry.KindBase},
		"/v2/_catalog":               {Kind: registry.KindCatalog},
		"/v2/a/tags/list":            {Kind: registry.KindTags, Repo: "a"},
		"/v2/a/b/c/tags/list":        {Kind: registry.KindTags, Repo: "a/b/c"},
		"/v2/a/manifests/v1":         {Kind: registry.KindManifest, Repo: "a", Ref: "v1", Tag: "v1"},
		"/v2/a/manifests/list":       {Kind: registry.KindManifest, Repo: "a", Ref: "list", Tag: "list"},
		"/v2/a/manifests/.bad":       {Kind: registry.KindManifest, Repo: "a", Ref: ".bad"},
		"/v2/a/manifests/":           {Kind: registry.KindManifest, Repo: "a"},
		"/v2/" + long + "/tags/list": {Kind: registry.KindTags, Repo: meta.RepoName(long)},
		"/v2/a/manifests/" + someDigest: {
			Kind: registry.KindManifest, Repo: "a", Ref: someDigest, Digest: someDigest,
		},
		"/v2/a/blobs/" + someDigest512:      {Kind: registry.KindBlob, Repo: "a", Digest: someDigest512},
		"/v2/a/referrers/" + someDigest:     {Kind: registry.KindReferrers, Repo: "a", Digest: someDigest},
		"/v2/a/blobs/uploads/":              {Kind: registry.KindUploads, Repo: "a"},
		"/v2/a/blobs/uploads":               {Kind: registry.KindUploads, Repo: "a"},
		"/v2/a/blobs/uploads/X.y-1":         {Kind: registry.KindUpload, Repo: "a", Upload: "X.y-1"},
		"/v2/a/blobs/sha256%3A" + hexPart(): {Kind: registry.KindBlob, Repo: "a", Digest: someDigest},

		// Names made of the words of routes.
		"/v2/manifests/manifests/manifests": {
			Kind: registry.KindManifest, Repo: "manifests", Ref: "manifests", Tag: "manifests",
		},
		"/v2/tags/list/tags/list": {Kind: registry.KindTags, Repo: "tags/list"},
		"/v2/a/blobs/uploads/manifests/x": {
			Kind: registry.KindManifest, Repo: "a/blobs/uploads", Ref: "x", Tag: "x",
		},
		"/v2/a/blobs/uploads/blobs/uploads/":  {Kind: registry.KindUploads, Repo: "a/blobs/uploads"},
		"/v2/a/blobs/uploads/blobs/uploads/b": {Kind: registry.KindUpload, Repo: "a/blobs/uploads", Upload: "b"},
		"/v2/blobs/blobs/" + someDigest:       {Kind: registry.KindBlob, Repo: "blobs", Digest: someDigest},
		"/v2/uploads/blobs/uploads/":          {Kind: registry.KindUploads, Repo: "uploads"},
		"/v2/a/manifests/x/referrers/" + someDigest: {
			Kind: registry.KindReferrers, Repo: "a/manifests/x", Digest: someDigest,
		},
		"/v2/catalog/tags/list": {Kind: registry.KindTags, Repo: "catalog"},

		// No route of ours.
		"/v1/":                {},
		"/v2/a":               {},
		"/v2/a/":              {},
		"/v2/a/b":             {},
		"/v2/manifests/x":     {},
		"/v2/blobs/uploads/":  {},
		"/v2/a/uploads/x":     {},
		"/v2/a/tags/":         {},
		"/v2/a/tags/list/":    {},
		"/v2/_catalog/":       {},
		"/v2/a/manifests/x/y": {},
	} {
		if got, status := parse(t, path); status != 0 || got != want {
			t.Errorf("%s: %+v, status %d, want %+v", path, got, status, want)
		}
	}
}

func TestPathsOutOfGrammarAreRefused(t *testing.T) {
	for _, path := range []string{
		"/v2/A/tags/list",
		"/v2/a//b/tags/list",
		"/v2//a/tags/list",
		"/v2//",
		"/v2/a/..",
		"/v2/a/../b/tags/list",
		"/v2/../../etc/passwd/tags/list",
		"/v2/./tags/list",
		"/v2/a%2Fb/tags/list",
		"/v2/a%2fb/tags/list",
		"/v2/a%2e%2e/tags/list",
		"/v2/a%00b/tags/list",
		"/v2/a%252Fb/tags/list",
		"/v2/a%5Cb/tags/list",
		"/v2/a/b/manifests%2Fx",
		"/v2/_catalog/tags/list",
		"/v2/-a/tags/list",
		"/v2/a_/manifests/x",
		"/v2/ä/manifests/x",
		"/v2/" + strings.Repeat("a", 256) + "/tags/list",
		"/v2/a/blobs/../uploads/",
		"/v2/a/blobs/sha256:abc",
		"/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e",
		"/v2/a/blobs/" + strings.ToUpper(someDigest),
		"/v2/a/blobs/sha256:" + strings.ToUpper(hexPart()),
		"/v2/a/blobs/latest",
		"/v2/a/manifests/sha256:baddigeststring",
		"/v2/a/referrers/latest",
		"/v2/a/referrers/",
	} {
		if got, status := parse(t, path); status != 400 {
			t.Errorf("%s: status %d, %+v, want 400", path, status, got)
		}
	}
}

func hexPart() string { return strings.TrimPrefix(someDigest, "sha256:") }

// parse reads the path as a server would.
func parse(t testing.TB, path string) (registry.Target, int) {
	t.Helper()
	u, err := url.ParseRequestURI(path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return registry.ParsePath(u)
}

// Whatever a path is, the target's parts are valid, and say again what was parsed.
func FuzzPath(f *testing.F) {
	for _, s := range []string{
		"/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/v1", "/v2/a/blobs/" + someDigest, "/v2/a/blobs/uploads/",
		"/v2/a/blobs/uploads/id", "/v2/a/referrers/" + someDigest512, "/v2/a/blobs/uploads/manifests/x",
		"/v2/a%2Fb/tags/list",
		"/v2/../x/tags/list", "/v2//manifests/x", "/v2/a/manifests/sha256:0", "/v2/a/b/blobs/uploads/tags/list",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		got, status := registry.ParsePath(u)
		if status != 0 {
			if status != 400 {
				t.Fatalf("%q: status %d", path, status)
			}
			return
		}
		checkTarget(t, path, got)
		if again := pathOf(got); again != "" {
			if got2, status := parse(t, again); status != 0 || got2 != got {
				t.Fatalf("%q is %+v, but %q is %+v, status %d", path, got, again, got2, status)
			}
		}
	})
}

func checkTarget(t *testing.T, path string, got registry.Target) {
	t.Helper()
	if got.Kind > registry.KindCatalog {
		if _, err := meta.ParseRepoName(string(got.Repo)); err != nil {
			t.Fatalf("%q: %v", path, err)
		}
	} else if got.Repo != "" {
		t.Fatalf("%q: a repository without a route", path)
	}
	if got.Tag != "" {
		if _, err := meta.ParseTag(string(got.Tag)); err != nil || got.Digest != "" {
			t.Fatalf("%q: tag %q, digest %q: %v", path, got.Tag, got.Digest, err)
		}
	}
	if got.Digest != "" {
		if err := got.Digest.Validate(); err != nil {
			t.Fatalf("%q: %v", path, err)
		}
	}
	if strings.ContainsAny(got.Upload, "/") {
		t.Fatalf("%q: upload %q", path, got.Upload)
	}
}

// pathOf writes a target's path, where it can be told without escaping.
func pathOf(t registry.Target) string {
	repo := "/v2/" + string(t.Repo)
	switch {
	case t.Kind == registry.KindManifest && t.Tag != "":
		return repo + "/manifests/" + string(t.Tag)
	case t.Kind == registry.KindManifest && t.Digest != "":
		return repo + "/manifests/" + t.Digest.String()
	case t.Kind == registry.KindBlob:
		return repo + "/blobs/" + t.Digest.String()
	case t.Kind == registry.KindReferrers:
		return repo + "/referrers/" + t.Digest.String()
	case t.Kind == registry.KindTags:
		return repo + "/tags/list"
	case t.Kind == registry.KindUploads:
		return repo + "/blobs/uploads/"
	}
	return ""
}
