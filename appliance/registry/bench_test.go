package registry_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skerry.dev/skerry/appliance/registry"
)

// The handlers alone, without net/http's share of a request; each beside App.

// sink is a ResponseWriter that costs nothing.
type sink struct {
	head   http.Header
	status int
	bytes  int
}

func (s *sink) Header() http.Header { return s.head }
func (s *sink) WriteHeader(status int) {
	s.status = status
}

func (s *sink) Write(p []byte) (int, error) {
	s.bytes += len(p)
	return len(p), nil
}

// bench measures one request against the front and against App.
func bench(b *testing.B, prepare func(*world) (method, path string)) {
	w := newWorld(b)
	method, path := prepare(w)
	for name, handler := range map[string]maker{
		"front": registry.Handler, "app": registry.Oracle,
	} {
		b.Run(name, func(b *testing.B) {
			w.serve(handler)
			r := httptest.NewRequest(method, path, nil)
			r.Header.Set("Accept", ocispec.MediaTypeImageManifest)
			s := &sink{head: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(s.head)
				s.status, s.bytes = 200, 0
				w.h.ServeHTTP(s, r)
			}
			if s.status != 200 {
				b.Fatalf("%s %s: %d", method, path, s.status)
			}
			b.ReportMetric(float64(s.bytes), "body-B")
		})
	}
}

func BenchmarkPing(b *testing.B) {
	bench(b, func(*world) (string, string) { return "GET", "/v2/" })
}

func BenchmarkManifestByTag(b *testing.B) {
	bench(b, func(w *world) (string, string) {
		w.pushImage("library/app", "v1")
		return "GET", "/v2/library/app/manifests/v1"
	})
}

func BenchmarkManifestByDigest(b *testing.B) {
	bench(b, func(w *world) (string, string) {
		return "GET", "/v2/library/app/manifests/" + w.pushImage("library/app", "v1").String()
	})
}

func BenchmarkHeadManifestByTag(b *testing.B) {
	bench(b, func(w *world) (string, string) {
		w.pushImage("library/app", "v1")
		return "HEAD", "/v2/library/app/manifests/v1"
	})
}

func BenchmarkManifestAmongTags(b *testing.B) {
	bench(b, func(w *world) (string, string) {
		w.tag("library/app", manyTags(10_000)...)
		w.pushImage("library/app", "v1")
		return "GET", "/v2/library/app/manifests/v1"
	})
}

func BenchmarkHeadBlob(b *testing.B) {
	bench(b, func(w *world) (string, string) {
		return "HEAD", "/v2/library/app/blobs/" + w.pushBlob("library/app", make([]byte, 4096)).Digest.String()
	})
}

func BenchmarkBlobGet4K(b *testing.B) {
	bench(b, func(w *world) (string, string) {
		return "GET", "/v2/library/app/blobs/" + w.pushBlob("library/app", make([]byte, 4096)).Digest.String()
	})
}

func BenchmarkTagsPage(b *testing.B) {
	bench(b, func(w *world) (string, string) {
		w.tag("library/app", manyTags(10_000)...)
		return "GET", "/v2/library/app/tags/list?n=100&last=t05000"
	})
}

func BenchmarkCatalogPage(b *testing.B) {
	bench(b, func(w *world) (string, string) {
		for i := range 5000 {
			w.tag(fmt.Sprintf("library/app%04d", i), "v1")
		}
		return "GET", "/v2/_catalog?n=100&last=library/app2500"
	})
}

func manyTags(n int) []string {
	var tags []string
	for i := range n {
		tags = append(tags, fmt.Sprintf("t%05d", i))
	}
	return tags
}

// BenchmarkPushImage is two blobs and a tagged manifest, all synced.
func BenchmarkPushImage(b *testing.B) {
	w := newWorld(b)
	n := 0
	for b.Loop() {
		w.pushImage("library/app", fmt.Sprint("v", n))
		n++
	}
}

// BenchmarkParseManifest is a manifest of 12 layers.
func BenchmarkParseManifest(b *testing.B) {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
	m.SchemaVersion, m.Config.Digest = 2, digest.FromString("c")
	for i := range 12 {
		m.Layers = append(m.Layers, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(fmt.Sprint(i)), Size: 1 << 20,
		})
	}
	data := asJSON(b, m)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.ParseManifest(m.MediaType, data); err != nil {
			b.Fatal(err)
		}
	}
}
