package registry_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/meta"
)

// next follows the Link header; "" when there is none.
func (a answer) next() string {
	a.t.Helper()
	link := a.header.Get("Link")
	if link == "" {
		return ""
	}
	url, ok := strings.CutSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
	if !ok || !strings.HasPrefix(url, "/v2/") {
		a.t.Fatalf("%s: Link %q", a.what, link)
	}
	return url
}

// list reads one page.
func (w *world) list(path string) (list []string, next string) {
	w.t.Helper()
	a := w.do("GET", path, nil).want(200).wantHead("Content-Type", "application/json")
	var body struct {
		Name         string
		Tags         []string
		Repositories []string
	}
	w.must(json.Unmarshal(a.body, &body))
	if strings.Contains(path, "/tags/list") && !strings.HasPrefix(path, "/v2/"+body.Name+"/tags/list") {
		w.t.Errorf("%s: name is %q", path, body.Name)
	}
	return append(body.Tags, body.Repositories...), a.next()
}

// pages follows all links.
func (w *world) pages(path string) (all []string, pages int) {
	w.t.Helper()
	for ; path != ""; pages++ {
		var list []string
		list, path = w.list(path)
		all = append(all, list...)
	}
	return all, pages
}

// tag sets many tags without HTTP.
func (w *world) tag(repo string, tags ...string) {
	w.t.Helper()
	payload := []byte(`{"schemaVersion":2,"manifests":[]}`)
	c := meta.PutManifest{
		Repo: meta.RepoName(repo), Digest: digest.FromBytes(payload),
		MediaType: ocispec.MediaTypeImageIndex, Payload: payload,
	}
	for _, tag := range tags {
		c.Tags = append(c.Tags, meta.Tag(tag))
	}
	w.must(w.meta.PutManifest(w.t.Context(), c))
}

func TestTagsArePagedInOrder(t *testing.T) {
	w := newWorld(t)
	var want []string
	for i := range 2500 {
		want = append(want, fmt.Sprintf("t%04d", i))
	}
	want = append(want, "A", "Z", "_", "a", "a.b", "a-b", "0")
	shuffled := slices.Clone(want)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	w.tag("a", shuffled...)
	slices.Sort(want)
	for path, pages := range map[string]int{
		"/v2/a/tags/list":            3,
		"/v2/a/tags/list?n=100":      26,
		"/v2/a/tags/list?n=2507":     3, // cut at 1000
		"/v2/a/tags/list?n=99999999": 3,
		"/v2/a/tags/list?n=1000":     3,
	} {
		got, n := w.pages(path)
		if n != pages || !slices.Equal(got, want) {
			t.Errorf("%s: %d tags in %d pages, want %d in %d", path, len(got), n, len(want), pages)
		}
	}
	if got, next := w.list("/v2/a/tags/list?n=0"); len(got) != 0 || next != "" {
		t.Errorf("n=0: %q, next %q", got, next)
	}
	if got, next := w.list("/v2/a/tags/list?n=2&last=a"); !slices.Equal(got, []string{"a-b", "a.b"}) ||
		next != "/v2/a/tags/list?last=a.b&n=2" {
		t.Errorf("after a: %q, next %q", got, next)
	}
	if got, _ := w.list("/v2/a/tags/list?last=t2498"); !slices.Equal(got, []string{"t2499"}) {
		t.Errorf("last need not come with n: %q", got)
	}
	if got, next := w.list("/v2/a/tags/list?n=5&last=zzz"); len(got) != 0 || next != "" {
		t.Errorf("after the end: %q, next %q", got, next)
	}
	for _, n := range []string{"-1", "x", "1.5", "0x10"} {
		w.do("GET", "/v2/a/tags/list?n="+n, nil).want(400, "UNSUPPORTED")
	}
	if a := w.do("GET", "/v2/a/tags/list?n=0", nil).want(200); string(a.body) != `{"name":"a","tags":[]}`+"\n" {
		t.Errorf("an empty list is %s", a.body)
	}
}

func TestTagsOfARepositoryThatIsNot(t *testing.T) {
	w := newWorld(t)
	w.do("GET", "/v2/a/tags/list", nil).want(404, "NAME_UNKNOWN")
	w.do("GET", "/v2/a/tags/list?n=0", nil).want(404, "NAME_UNKNOWN")
	w.do("HEAD", "/v2/a/tags/list", nil).want(404)
	w.pushBlob("a", []byte("x"))
	if got, _ := w.list("/v2/a/tags/list"); len(got) != 0 {
		t.Errorf("tags %q", got)
	}
}

func TestTheCatalogIsPagedInOrder(t *testing.T) {
	w := newWorld(t)
	want := []string{"a", "a-b", "a/b", "a/b/c", "ab", "abc", "b"} // none hides another
	for i := range 200 {
		want = append(want, fmt.Sprintf("c/%03d", i))
	}
	for _, name := range want {
		w.tag(name, "x")
	}
	slices.Sort(want)
	for path, pages := range map[string]int{
		"/v2/_catalog": 3, "/v2/_catalog?n=1000": 1, "/v2/_catalog?n=99999": 1, "/v2/_catalog?n=1": 207,
		"/v2/_catalog?n=207": 1,
	} {
		got, n := w.pages(path)
		if n != pages || !slices.Equal(got, want) {
			t.Errorf("%s: %d in %d pages, want %d in %d", path, len(got), n, len(want), pages)
		}
	}
	if _, next := w.list("/v2/_catalog?n=3"); next != "/v2/_catalog?last=a%2Fb&n=3" {
		t.Errorf("next %q", next)
	}
	if got, next := w.list("/v2/_catalog?n=0"); len(got) != 0 || next != "" {
		t.Errorf("n=0: %q, next %q", got, next)
	}
	w.do("GET", "/v2/_catalog?n=-1", nil).want(400, "UNSUPPORTED")
	if a := w.do("HEAD", "/v2/_catalog", nil).want(200); len(a.body) > 0 {
		t.Error("HEAD has a body")
	}
}

func (w *world) referrers(path string) (ocispec.Index, answer) {
	w.t.Helper()
	a := w.do("GET", path, nil).want(200).wantHead("Content-Type", ocispec.MediaTypeImageIndex)
	var i ocispec.Index
	w.must(json.Unmarshal(a.body, &i))
	if i.SchemaVersion != 2 || i.MediaType != ocispec.MediaTypeImageIndex || i.Manifests == nil {
		w.t.Errorf("%s: not an index: %s", path, a.body)
	}
	return i, a
}

// refer pushes a manifest about subject and returns the descriptor it should be listed with.
func (w *world) refer(subject digest.Digest, n int, change func(*ocispec.Manifest)) ocispec.Descriptor {
	w.t.Helper()
	m := w.image("a", fmt.Sprint("referrer ", n), func(m *ocispec.Manifest) {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 1}
		m.Annotations = map[string]string{"n": fmt.Sprint(n)}
		change(m)
	})
	d := digest.FromBytes(m)
	w.do("PUT", "/v2/a/manifests/"+d.String(), m, typed).want(201).wantHead("OCI-Subject", subject.String())
	return ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: int64(len(m)),
		Annotations: map[string]string{"n": fmt.Sprint(n)},
	}
}

func TestReferrersAreListed(t *testing.T) {
	w := newWorld(t)
	subject := digest.FromString("to be pushed later")
	want := map[digest.Digest]ocispec.Descriptor{}
	add := func(d ocispec.Descriptor, artifactType string) {
		d.ArtifactType = artifactType
		want[d.Digest] = d
	}
	add(w.refer(subject, 1, func(m *ocispec.Manifest) { m.ArtifactType = "application/x+json" }), "application/x+json")
	add(w.refer(subject, 2, func(m *ocispec.Manifest) { m.ArtifactType = "application/y" }), "application/y")
	// Without a type of its own, that of its config.
	add(w.refer(subject, 3, func(m *ocispec.Manifest) { m.Config.MediaType = "application/y" }), "application/y")
	list := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	list.Annotations = map[string]string{"n": "4"}
	list.SchemaVersion = 2
	list.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 1}
	body := asJSON(t, list)
	w.do("PUT", "/v2/a/manifests/list", body, head{"Content-Type", ocispec.MediaTypeImageIndex}).want(201).
		wantHead("OCI-Subject", subject.String())
	add(ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(body), Size: int64(len(body)),
		Annotations: list.Annotations,
	}, "") // an index has none of its config

	path := "/v2/a/referrers/" + subject.String()
	got, a := w.referrers(path)
	a.wantHead("OCI-Filters-Applied", "")
	if len(got.Manifests) != len(want) || !slices.IsSortedFunc(got.Manifests, func(a, b ocispec.Descriptor) int {
		return strings.Compare(a.Digest.String(), b.Digest.String())
	}) {
		t.Errorf("%d referrers, want %d: %s", len(got.Manifests), len(want), a.body)
	}
	for _, d := range got.Manifests {
		if g, w := asJSON(t, d), asJSON(t, want[d.Digest]); string(g) != string(w) {
			t.Errorf("listed as %s, want %s", g, w)
		}
	}
	for filter, n := range map[string]int{
		"application/y": 2, "application/x%2Bjson": 1, "application/x+json": 1, "application/z": 0,
	} {
		got, a := w.referrers(path + "?artifactType=" + filter)
		a.wantHead("OCI-Filters-Applied", "artifactType")
		if len(got.Manifests) != n {
			t.Errorf("%d referrers of type %s, want %d", len(got.Manifests), filter, n)
		}
	}
	for _, elsewhere := range []string{
		"/v2/a/referrers/" + someDigest, "/v2/a/referrers/" + someDigest512, "/v2/nowhere/referrers/" + subject.String(),
	} {
		if got, _ := w.referrers(elsewhere); len(got.Manifests) != 0 {
			t.Errorf("%s: %d referrers", elsewhere, len(got.Manifests))
		}
	}
	w.do("GET", "/v2/a/referrers/sha256:0", nil).want(400, "DIGEST_INVALID")
	w.do("GET", path+"?last=x", nil).want(400, "DIGEST_INVALID")
	w.do("HEAD", path, nil).want(200)
}

// A list that is too long, or too large, is paged.
func TestReferrersArePaged(t *testing.T) {
	w := newWorld(t)
	subject := digest.FromString("subject")
	put := func(n int, annotation string) {
		payload := []byte(fmt.Sprintf(`{"n":%d}`, n))
		w.must(w.meta.PutManifest(t.Context(), meta.PutManifest{
			Repo: "a", Digest: digest.FromBytes(payload), MediaType: ocispec.MediaTypeImageManifest, Payload: payload,
			Subject: subject, ArtifactType: "application/x", Annotations: map[string]string{"a": annotation},
		}))
	}
	for n := range 2100 {
		put(n, "")
	}
	follow := func(path string) (all, pages int) {
		seen := map[digest.Digest]bool{}
		for ; path != ""; pages++ {
			got, a := w.referrers(path)
			if len(a.body) > registry.PageBytesMax+1<<20 {
				t.Errorf("a page of %d bytes", len(a.body))
			}
			for _, d := range got.Manifests {
				seen[d.Digest] = true
			}
			path = a.next()
		}
		return len(seen), pages
	}
	for _, filter := range []string{"", "?artifactType=application/x"} {
		if all, pages := follow("/v2/a/referrers/" + subject.String() + filter); all != 2100 || pages != 3 {
			t.Errorf("%d referrers in %d pages", all, pages)
		}
	}
	subject = digest.FromString("another")
	for n := range 10 {
		put(10_000+n, strings.Repeat("x", 1<<20))
	}
	if all, pages := follow("/v2/a/referrers/" + subject.String()); all != 10 || pages < 3 {
		t.Errorf("%d large referrers in %d pages", all, pages)
	}
}

// A client of an older registry lists its referrers under a tag, and cleans it up.
func TestTheFallbackTagIsATag(t *testing.T) {
	w := newWorld(t)
	subject := w.pushImage("a", "v1")
	d := w.refer(subject, 1, func(*ocispec.Manifest) {})
	tag := "/v2/a/manifests/" + strings.Replace(subject.String(), ":", "-", 1)
	w.do("PUT", tag, index(t, d.Digest), head{"Content-Type", ocispec.MediaTypeImageIndex}).want(201)
	if got, _ := w.referrers("/v2/a/referrers/" + subject.String()); len(got.Manifests) != 1 {
		t.Errorf("%d referrers", len(got.Manifests))
	}
	w.do("DELETE", tag, nil).want(202)
	w.do("GET", tag, nil).want(404)
	w.do("DELETE", "/v2/a/manifests/"+d.Digest.String(), nil).want(202)
	if got, _ := w.referrers("/v2/a/referrers/" + subject.String()); len(got.Manifests) != 0 {
		t.Errorf("%d referrers after the only one was deleted", len(got.Manifests))
	}
}
