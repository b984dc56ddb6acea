package registry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/meta"
)

// What was pushed is what is pulled, byte for byte, with its type.
func TestManifestsComeBackAsTheyWentIn(t *testing.T) {
	w := newWorld(t)
	blob := w.pushBlob("a", []byte("blob"))
	desc := func(mediaType string, d digest.Digest) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":4}`, mediaType, d)
	}
	b := desc("application/octet-stream", blob.Digest)
	absent := digest.FromString("absent")
	child := digest.FromBytes(w.image("a", "child"))
	w.do("PUT", "/v2/a/manifests/"+child.String(), w.image("a", "child"), typed).want(201)
	for name, c := range map[string]struct{ mediaType, body string }{
		"OCI image": {
			ocispec.MediaTypeImageManifest,
			`{"schemaVersion":2,"config":` + b + `,"layers":[` + b + `]}`,
		},
		"without layers": {ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"config":` + b + `,"layers":[]}`},
		"odd whitespace": {
			ocispec.MediaTypeImageManifest,
			"{ \"schemaVersion\" :2,\n\"config\":" + b + "\t}\r\n",
		},
		"custom fields": {
			ocispec.MediaTypeImageManifest,
			`{"schemaVersion":2,"config":` + b + `,"x":{"y":[1,2.50]},"z":null}`,
		},
		"data field": {
			ocispec.MediaTypeImageManifest,
			`{"schemaVersion":2,"config":{"mediaType":"x/y","digest":"` + blob.Digest.String() +
				`","size":4,"data":"YmxvYg=="}}`,
		},
		"foreign layers": {
			ocispec.MediaTypeImageManifest,
			`{"schemaVersion":2,"config":` + b + `,"layers":[` +
				desc("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", absent) + `]}`,
		},
		"Docker image": {
			"application/vnd.docker.distribution.manifest.v2+json",
			`{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":` + b +
				`,"layers":[` + desc("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", absent) + `]}`,
		},
		"OCI index": {
			ocispec.MediaTypeImageIndex,
			`{"schemaVersion":2,"manifests":[` + desc(ocispec.MediaTypeImageManifest, child) + `]}`,
		},
		"empty index": {ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"manifests":[]}`},
		"sparse index": {
			ocispec.MediaTypeImageIndex,
			`{"schemaVersion":2,"manifests":[` + desc(ocispec.MediaTypeImageManifest, absent) + `]}`,
		},
		"index of layers": {
			ocispec.MediaTypeImageIndex,
			`{"schemaVersion":2,"manifests":[` + desc(ocispec.MediaTypeImageLayerGzip, blob.Digest) + `]}`,
		},
		"Docker list": {
			"application/vnd.docker.distribution.manifest.list.v2+json",
			`{"schemaVersion":2,"manifests":[` +
				desc("application/vnd.docker.distribution.manifest.v2+json", child) + `]}`,
		},
		"OCI artifact": {
			"application/vnd.oci.artifact.manifest.v1+json",
			`{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","artifactType":"x/y","blobs":[` + b + `]}`,
		},
		"unknown type": {
			"application/vnd.example.thing+json",
			`{"layers":"of cake","config":[1],"subject":7}`,
		},
		"unknown, references": {"application/vnd.example.thing+json", `{"layers":[` + b + `],"config":` + b + `}`},
		"manifest as layer": {
			ocispec.MediaTypeImageManifest,
			`{"schemaVersion":2,"config":` + b + `,"layers":[` + desc(ocispec.MediaTypeImageManifest, child) + `]}`,
		},
		"subject absent": {
			ocispec.MediaTypeImageManifest,
			`{"schemaVersion":2,"config":` + b + `,"subject":` + desc(ocispec.MediaTypeImageManifest, absent) + `}`,
		},
	} {
		for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
			d := alg.FromString(c.body).String()
			a := w.do("PUT", "/v2/a/manifests/"+d, []byte(c.body), head{"Content-Type", c.mediaType})
			if a.status != 201 {
				t.Errorf("%s: %d %s", name, a.status, a.body)
				continue
			}
			a.wantHead("Docker-Content-Digest", d).wantHead("Location", "/v2/a/manifests/"+d)
			got := w.do("GET", a.location(), nil).want(200).wantHead("Content-Type", c.mediaType).
				wantHead("Docker-Content-Digest", d).wantHead("Content-Length", fmt.Sprint(len(c.body)))
			if string(got.body) != c.body {
				t.Errorf("%s came back as %s", name, got.body)
			}
			if got := w.do("HEAD", a.location(), nil).want(200).wantHead("Content-Type", c.mediaType).
				wantHead("Docker-Content-Digest", d).wantHead("Content-Length", fmt.Sprint(len(c.body))); len(got.body) > 0 {
				t.Errorf("%s: HEAD has a body", name)
			}
		}
	}
}

func TestManifestsThatAreNoneAreRefused(t *testing.T) {
	w := newWorld(t)
	b := string(asJSON(t, w.pushBlob("a", []byte("blob"))))
	image, list := ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex
	for name, c := range map[string]struct{ mediaType, body, says string }{
		"nothing":               {image, "", "not a JSON object"},
		"no JSON":               {image, "hello", "not a JSON object"},
		"a list":                {image, "[]", "not a JSON object"},
		"two objects":           {image, "{}{}", "not a JSON object"},
		"no JSON, unknown type": {"application/x", "hello", "not a JSON object"},
		"types differ": {
			image,
			`{"schemaVersion":2,"mediaType":"` + list + `","manifests":[]}`,
			"mediaType says",
		},
		"schema 1": {
			"application/vnd.docker.distribution.manifest.v1+prettyjws",
			`{"schemaVersion":1}`,
			"skopeo copy --format oci",
		},
		"schema 1 in disguise": {"application/json", `{"schemaVersion":1,"fsLayers":[]}`, "schema 1 was retired"},
		"schema 3":             {image, `{"schemaVersion":3,"config":` + b + `}`, "schemaVersion is 3"},
		"image and index": {
			image,
			`{"schemaVersion":2,"config":` + b + `,"manifests":[]}`,
			"must not have the field manifests",
		},
		"index and image": {
			list,
			`{"schemaVersion":2,"manifests":[],"layers":[]}`,
			"must not have the field layers",
		},
		"no config": {image, `{"schemaVersion":2,"layers":[` + b + `]}`, "must have a config"},
		"no digest": {image, `{"schemaVersion":2,"config":` + b + `,"layers":[{}]}`, "layers: digest"},
		"digest of md5": {
			image,
			`{"schemaVersion":2,"config":{"digest":"md5:d41d8cd98f00b204e9800998ecf8427e"}}`,
			"config: digest",
		},
		"negative size": {
			image,
			`{"schemaVersion":2,"config":{"digest":"` + someDigest + `","size":-1}}`,
			"config: size",
		},
		"layers no list": {image, `{"schemaVersion":2,"config":` + b + `,"layers":{}}`, "field layers"},
		"bad subject": {
			image,
			`{"schemaVersion":2,"config":` + b + `,"subject":{"digest":"x"}}`,
			"subject: digest",
		},
		"a web page":       {"text/html", `{"x":"<script>alert(1)</script>"}`, "no media type of a manifest"},
		"header injection": {"application/x\r\nX-Evil: 1", `{}`, "no media type of a manifest"},
	} {
		a := w.do("PUT", "/v2/a/manifests/v1", []byte(c.body), head{"Content-Type", c.mediaType})
		if a.status != 400 || a.code() != "MANIFEST_INVALID" || !strings.Contains(string(a.body), c.says) {
			t.Errorf("%s: %d %s, want a message with %q", name, a.status, a.body, c.says)
		}
	}
	w.do("GET", "/v2/a/manifests/v1", nil).want(404, "MANIFEST_UNKNOWN")
}

// Without Content-Type the payload tells; parameters do not matter.
func TestTheTypeOfAManifestIsFound(t *testing.T) {
	w := newWorld(t)
	b := string(asJSON(t, w.pushBlob("a", []byte("blob"))))
	for body, want := range map[string]string{
		`{"schemaVersion":2,"config":` + b + `}`: ocispec.MediaTypeImageManifest,
		`{"schemaVersion":2,"manifests":[]}`:     ocispec.MediaTypeImageIndex,
		`{"mediaType":"application/x"}`:          "application/x",
	} {
		w.do("PUT", "/v2/a/manifests/v1", []byte(body)).want(201)
		w.do("GET", "/v2/a/manifests/v1", nil).want(200).wantHead("Content-Type", want)
	}
	parameter := head{"Content-Type", ocispec.MediaTypeImageIndex + "; charset=utf-8"}
	w.do("PUT", "/v2/a/manifests/v1", index(t), parameter).want(201)
	w.do("GET", "/v2/a/manifests/v1", nil).want(200).wantHead("Content-Type", ocispec.MediaTypeImageIndex)
}

// An image may not name what the repository does not hold; the answer names it all.
func TestAManifestNeedsItsBlobs(t *testing.T) {
	w := newWorld(t)
	held := w.pushBlob("a", []byte("held"))
	elsewhere := w.pushBlob("b", []byte("elsewhere")).Digest // a digest is no permission
	absent := digest.FromString("absent")
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: held, Layers: []ocispec.Descriptor{
		{MediaType: ocispec.MediaTypeImageLayer, Digest: elsewhere, Size: 9},
		{MediaType: ocispec.MediaTypeImageLayer, Digest: absent, Size: 6},
	}}
	m.SchemaVersion = 2
	a := w.do("PUT", "/v2/a/manifests/v1", asJSON(t, m), typed).want(404, "MANIFEST_BLOB_UNKNOWN")
	if s := string(a.body); !strings.Contains(s, elsewhere.String()) || !strings.Contains(s, absent.String()) ||
		strings.Contains(s, held.Digest.String()) {
		t.Errorf("the answer names %s", s)
	}
	w.do("GET", "/v2/a/manifests/v1", nil).want(404)
	// A build cache is an index of layers: they must be there too.
	cache := strings.ReplaceAll(string(index(t, absent)), ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageLayerGzip)
	w.do("PUT", "/v2/a/manifests/v1", []byte(cache), head{"Content-Type", ocispec.MediaTypeImageIndex}).
		want(404, "MANIFEST_BLOB_UNKNOWN")
}

// A layer under an index entry, or a foreign layer that was pushed, is kept.
func TestOddReferencesAreReferences(t *testing.T) {
	w := newWorld(t)
	config, layer := w.pushBlob("a", []byte("config")), w.pushBlob("a", []byte("layer"))
	cache := string(index(t, layer.Digest))
	cache = strings.ReplaceAll(cache, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageLayerGzip)
	w.do("PUT", "/v2/a/manifests/cache", []byte(cache), head{"Content-Type", ocispec.MediaTypeImageIndex}).want(201)
	w.do("DELETE", "/v2/a/blobs/"+layer.Digest.String(), nil).want(405, "UNSUPPORTED")

	foreign := w.pushBlob("a", []byte("foreign"))
	m := ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{
		{MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Digest: foreign.Digest, Size: 7},
	}}
	m.SchemaVersion = 2
	w.do("PUT", "/v2/a/manifests/foreign", asJSON(t, m), typed).want(201)
	w.do("DELETE", "/v2/a/blobs/"+foreign.Digest.String(), nil).want(405, "UNSUPPORTED")
}

func TestAManifestIsWhatItsDigestSays(t *testing.T) {
	w := newWorld(t)
	m := w.image("a", "x")
	w.do("PUT", "/v2/a/manifests/"+someDigest, m, typed).want(400, "DIGEST_INVALID")
	w.do("PUT", "/v2/a/manifests/"+someDigest512, m, typed).want(400, "DIGEST_INVALID")
	w.do("PUT", "/v2/a/manifests/sha256:baddigeststring", m, typed).want(400, "DIGEST_INVALID")
	w.do("PUT", "/v2/a/manifests/md5:d41d8cd98f00b204e9800998ecf8427e", m, typed).want(400, "DIGEST_INVALID")
	w.do("GET", "/v2/a/manifests/sha256:baddigeststring", nil).want(400, "DIGEST_INVALID")
	w.do("GET", "/v2/a/manifests/"+someDigest, nil).want(404, "MANIFEST_UNKNOWN")
}

func TestNamesAndTagsOutOfGrammar(t *testing.T) {
	w := newWorld(t)
	m := w.image("a", "x")
	for _, tag := range []string{".hidden", "-v1", "a:b:c", "ä", strings.Repeat("x", 129)} {
		code := "TAG_INVALID"
		if strings.Contains(tag, ":") {
			code = "DIGEST_INVALID"
		}
		w.do("PUT", "/v2/a/manifests/"+tag, m, typed).want(400, code)
	}
	w.do("GET", "/v2/a/manifests/.INVALID", nil).want(404, "MANIFEST_UNKNOWN")
	w.do("HEAD", "/v2/a/manifests/.INVALID", nil).want(404)
	w.do("DELETE", "/v2/a/manifests/.INVALID", nil).want(404, "MANIFEST_UNKNOWN")
	w.do("PUT", "/v2/A/manifests/v1", m, typed).want(400, "NAME_INVALID")
	w.do("POST", "/v2/a//b/blobs/uploads/", nil).want(400, "NAME_INVALID")
	w.do("GET", "/v2/a/../b/tags/list", nil).want(400, "NAME_INVALID")
	w.do("PUT", "/v2/a%2Fb/manifests/v1", m, typed).want(400, "NAME_INVALID")
	w.do("GET", "/v2/"+strings.Repeat("a/", 128)+"a/tags/list", nil).want(400, "NAME_INVALID")
}

func TestALargeManifestIsTakenAndALargerOneRefused(t *testing.T) {
	w := newWorld(t)
	pad := func(n int) []byte {
		m := w.image("a", "x", func(m *ocispec.Manifest) { m.Annotations = map[string]string{"pad": ""} })
		return bytes.Replace(m, []byte(`"pad":""`), []byte(`"pad":"`+strings.Repeat("A", n-len(m))+`"`), 1)
	}
	const limit = 4 << 20
	w.do("PUT", "/v2/a/manifests/large", pad(limit), typed).want(201)
	if a := w.do("GET", "/v2/a/manifests/large", nil).want(200); len(a.body) != limit {
		t.Errorf("%d bytes came back", len(a.body))
	}
	w.do("PUT", "/v2/a/manifests/larger", pad(limit+1), typed).want(413, "MANIFEST_INVALID")
	w.serve(registry.Handler, func(c *registry.Config) { c.ManifestBytesMax = 1000 })
	w.do("PUT", "/v2/a/manifests/small", pad(1001), typed).want(413, "MANIFEST_INVALID")
	w.do("PUT", "/v2/a/manifests/small", pad(1000), typed).want(201)
}

// The encoding of commands has limits of its own.
func TestAManifestWithTooManyAnnotationsIsRefused(t *testing.T) {
	w := newWorld(t)
	m := w.image("a/b", "v1", func(m *ocispec.Manifest) {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: someDigest, Size: 7}
		m.Annotations = map[string]string{}
		for i := range 131_073 {
			m.Annotations[strconv.Itoa(i)] = ""
		}
	})
	w.do("PUT", "/v2/a/b/manifests/v1", m, typed).want(400, "MANIFEST_INVALID")
}

func TestOnePushSetsManyTags(t *testing.T) {
	w := newWorld(t)
	m := w.image("a", "x")
	for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		d := alg.FromBytes(m).String()
		before := w.log.index
		a := w.do("PUT", "/v2/a/manifests/"+d+"?tag=1.2.3&tag=1.2&tag=1&tag=latest&tag=1", m, typed).want(201)
		if got := a.header.Values("OCI-Tag"); !slices.Equal(got, []string{"1.2.3", "1.2", "1", "latest"}) {
			t.Errorf("OCI-Tag %q", got)
		}
		if n := w.log.index - before; n != 1 {
			t.Errorf("%d commands for one push", n)
		}
		for _, tag := range []string{"1.2.3", "1.2", "1", "latest"} {
			w.do("HEAD", "/v2/a/manifests/"+tag, nil).want(200).wantHead("Docker-Content-Digest", d)
		}
	}
	d := digest.FromBytes(m).String()
	w.do("PUT", "/v2/a/manifests/"+d+"?tag=ok&tag=.bad", m, typed).want(400, "TAG_INVALID")
	w.do("GET", "/v2/a/manifests/ok", nil).want(404)
	many := "?tag=t" + strings.Join(numbers(46), "&tag=t")
	w.do("PUT", "/v2/a/manifests/"+d+many, m, typed).want(201)
	w.do("PUT", "/v2/a/manifests/"+d+many+"&tag=t46", m, typed).want(414, "UNSUPPORTED")
	// By tag, more tags may be given too.
	w.do("PUT", "/v2/a/manifests/main?tag=extra", m, typed).want(201).wantHead("OCI-Tag", "main, extra")
	w.do("PUT", "/v2/a/manifests/main", m, typed).want(201).wantHead("OCI-Tag", "")
}

func numbers(n int) []string {
	var s []string
	for i := range n {
		s = append(s, fmt.Sprint(i))
	}
	return s
}

func TestATaggedPushIsOneCommandAndAPullNone(t *testing.T) {
	w := newWorld(t)
	m := w.image("a", "x")
	before := w.log.index
	w.do("PUT", "/v2/a/manifests/v1", m, typed).want(201)
	if n := w.log.index - before; n != 1 {
		t.Errorf("%d commands for a tagged manifest", n)
	}
	before = w.log.index
	w.do("GET", "/v2/a/manifests/v1", nil).want(200)
	w.do("GET", "/v2/a/blobs/"+digest.FromString("layer of x").String(), nil).want(200)
	w.do("HEAD", "/v2/a/blobs/"+digest.FromString("layer of x").String(), nil).want(200)
	w.do("GET", "/v2/a/tags/list", nil).want(200)
	if n := w.log.index - before; n != 0 {
		t.Errorf("%d commands for a pull", n)
	}
}

func TestWhoHasItIsNotSentItAgain(t *testing.T) {
	w := newWorld(t)
	d := w.pushImage("a", "v1").String()
	blob := "/v2/a/blobs/" + digest.FromString("layer of v1").String()
	for path, d := range map[string]string{
		"/v2/a/manifests/v1": d, "/v2/a/manifests/" + d: d, blob: digest.FromString("layer of v1").String(),
	} {
		etag := w.do("GET", path, nil).want(200).header.Get("ETag")
		if etag != `"`+d+`"` {
			t.Errorf("%s: ETag %s", path, etag)
		}
		a := w.do("GET", path, nil, head{"If-None-Match", etag}).want(304).wantHead("ETag", etag)
		if len(a.body) > 0 {
			t.Errorf("%s: 304 with a body", path)
		}
		w.do("GET", path, nil, head{"If-None-Match", `"other"`}).want(200)
	}
}

// Whatever a client accepts, it gets what there is (a registry may ignore Accept).
func TestAcceptDoesNotHideAManifest(t *testing.T) {
	w := newWorld(t)
	w.pushImage("a", "v1")
	for _, accept := range []string{"", "*/*", "application/vnd.docker.distribution.manifest.v2+json", "text/plain"} {
		w.do("GET", "/v2/a/manifests/v1", nil, head{"Accept", accept}).want(200).
			wantHead("Content-Type", ocispec.MediaTypeImageManifest)
	}
}

func TestDeleting(t *testing.T) {
	w := newWorld(t)
	d := w.pushImage("a", "v1").String()
	m := w.do("GET", "/v2/a/manifests/v1", nil).want(200).body
	w.do("PUT", "/v2/a/manifests/v2", m, typed).want(201)
	layer := "/v2/a/blobs/" + digest.FromString("layer of v1").String()

	w.do("DELETE", "/v2/a/manifests/v1", nil).want(202)
	w.do("GET", "/v2/a/manifests/v1", nil).want(404, "MANIFEST_UNKNOWN")
	w.do("DELETE", "/v2/a/manifests/v1", nil).want(404, "MANIFEST_UNKNOWN")
	w.do("GET", "/v2/a/manifests/"+d, nil).want(200) // the tag went, the manifest stays
	w.do("DELETE", layer, nil).want(405, "UNSUPPORTED")

	w.do("DELETE", "/v2/a/manifests/"+d, nil).want(202)
	w.do("GET", "/v2/a/manifests/"+d, nil).want(404, "MANIFEST_UNKNOWN")
	w.do("HEAD", "/v2/a/manifests/v2", nil).want(404) // with it went its tags
	w.do("DELETE", "/v2/a/manifests/"+d, nil).want(404, "MANIFEST_UNKNOWN")

	w.do("DELETE", layer, nil).want(202)
	w.do("GET", layer, nil).want(404, "BLOB_UNKNOWN")
	w.do("HEAD", layer, nil).want(404)
	w.do("DELETE", layer, nil).want(404, "BLOB_UNKNOWN")
	w.do("DELETE", "/v2/nowhere/blobs/"+someDigest, nil).want(404, "BLOB_UNKNOWN")
	w.do("DELETE", "/v2/nowhere/manifests/"+d, nil).want(404, "MANIFEST_UNKNOWN")
	w.do("DELETE", "/v2/nowhere/manifests/v1", nil).want(404, "MANIFEST_UNKNOWN")
}

// A blob of two repositories is deleted from one.
func TestDeletingABlobLeavesOthersTheirs(t *testing.T) {
	w := newWorld(t)
	d := w.pushBlob("a", []byte("shared")).Digest.String()
	w.do("POST", "/v2/b/blobs/uploads/?mount="+d+"&from=a", nil).want(201)
	w.do("DELETE", "/v2/a/blobs/"+d, nil).want(202)
	w.do("HEAD", "/v2/a/blobs/"+d, nil).want(404)
	w.do("GET", "/v2/b/blobs/"+d, nil).want(200)
}

func TestAnImmutableTagStays(t *testing.T) {
	w := newWorld(t)
	d := w.pushImage("a", "v1").String()
	w.must(w.meta.SetTagRules(t.Context(), []meta.TagRule{{Repositories: "*", Tags: "v*"}}, "admin"))
	m := w.image("a", "other")
	a := w.do("PUT", "/v2/a/manifests/v1", m, typed).want(403, "DENIED")
	if !strings.Contains(string(a.body), "immutable") {
		t.Errorf("the answer does not say why: %s", a.body)
	}
	w.do("DELETE", "/v2/a/manifests/v1", nil).want(403, "DENIED")
	w.do("DELETE", "/v2/a/manifests/"+d, nil).want(403, "DENIED")
	w.do("HEAD", "/v2/a/manifests/v1", nil).want(200).wantHead("Docker-Content-Digest", d)
	w.do("PUT", "/v2/a/manifests/main", m, typed).want(201)
}

// A truncated manifest is not a smaller one.
func TestATruncatedManifestIsRefused(t *testing.T) {
	w := newWorld(t)
	m := w.image("a", "x")
	w.truncated("PUT", "/v2/a/manifests/v1", string(m), int64(len(m))+1).want(400, "SIZE_INVALID")
	w.do("GET", "/v2/a/manifests/v1", nil).want(404)
}

// Whatever the payload, the answer is ErrManifest or references that are digests.
func FuzzManifest(f *testing.F) {
	d := digest.FromString("x").String()
	for _, s := range []string{
		`{}`, `{"schemaVersion":2,"config":{"digest":"` + d + `","size":1},"layers":[{"digest":"` + d + `"}]}`,
		`{"schemaVersion":2,"manifests":[{"mediaType":"` + ocispec.MediaTypeImageManifest + `","digest":"` + d + `"}]}`,
		`{"schemaVersion":1}`, `{"subject":{"digest":"` + d + `"},"annotations":{"a":"b"},"blobs":[{"digest":"` + d + `"}]}`,
		`{"Layers":[{"digest":"x"}]}`, `{"layers":null,"config":null}`, `[]`, `{"mediaType":7}`,
	} {
		for _, mediaType := range []string{"", ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, "application/x"} {
			f.Add(mediaType, []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, mediaType string, data []byte) {
		m, err := registry.ParseManifest(mediaType, data)
		if err != nil {
			if !errorsIsManifest(err) {
				t.Fatalf("error %v is not ErrManifest", err)
			}
			return
		}
		all := slices.Concat(m.Blobs, m.Foreign, m.Manifests)
		for _, e := range m.Either {
			all = append(all, e.Digest)
		}
		if m.Subject != "" {
			all = append(all, m.Subject)
		}
		for _, d := range all {
			if err := d.Validate(); err != nil {
				t.Fatalf("reference %q: %v", d, err)
			}
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(data, &object) != nil || !strings.HasPrefix(m.MediaType, "application/") {
			t.Fatalf("%q passed as %q", data, m.MediaType)
		}
	})
}
