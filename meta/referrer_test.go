package meta_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skerry.dev/skerry/meta"
)

func TestReferrersAreListedFilteredAndPaged(t *testing.T) {
	w := newWorld(t)
	subject := digest.FromString("may come later")
	var sigs, all []digest.Digest
	for i := range 9 {
		p := manifest("a", fmt.Sprint("ref", i), nil)
		p.Subject, p.ArtifactType = subject, "application/sbom"
		if i%3 == 0 {
			p.ArtifactType, p.Annotations = "application/sig", map[string]string{"n": fmt.Sprint(i)}
			sigs = append(sigs, p.Digest)
		}
		w.push(p)
		all = append(all, p.Digest)
	}
	slices.Sort(sigs)
	slices.Sort(all)
	var got []digest.Digest
	for last, more := digest.Digest(""), true; more; last = got[len(got)-1] {
		var refs []ocispec.Descriptor
		var err error
		refs, more, err = w.Referrers("a", subject, "", last, 4)
		w.must(err)
		for _, r := range refs {
			got = append(got, r.Digest)
		}
	}
	if !slices.Equal(got, all) {
		t.Errorf("referrers %v, want %v", got, all)
	}
	refs, more, err := w.Referrers("a", subject, "application/sig", "", 3)
	w.must(err)
	if len(refs) != 3 || more {
		t.Fatalf("signatures %v more %v", refs, more)
	}
	for i, r := range refs {
		if r.Digest != sigs[i] || r.ArtifactType != "application/sig" || r.Annotations["n"] == "" ||
			r.MediaType != ocispec.MediaTypeImageManifest || r.Size == 0 {
			t.Errorf("descriptor %+v", r)
		}
	}
	if _, more, _ := w.Referrers("a", subject, "application/sig", "", 2); !more {
		t.Error("more signatures follow, said none")
	}
	for _, repo := range []meta.RepoName{"b", "a"} {
		other := subject
		if repo == "a" {
			other = sigs[0]
		}
		if refs, more, err := w.Referrers(repo, other, "", "", 10); err != nil || more || len(refs) != 0 {
			t.Errorf("none expected: %v %v %v", refs, more, err)
		}
	}
}

func TestReferrersGoAndComeBackWithTheirManifest(t *testing.T) {
	w := newWorld(t)
	p := manifest("a", "sig", nil)
	p.Subject, p.Annotations = digest.FromString("subject"), map[string]string{"k": "v"}
	w.push(p)
	w.must(w.DeleteManifest(t.Context(), "a", p.Digest, ""))
	if refs, _, err := w.Referrers("a", p.Subject, "", "", 10); err != nil || len(refs) != 0 {
		t.Errorf("after delete: %v %v", refs, err)
	}
	_, err := w.UndeleteManifest(t.Context(), "a", p.Digest, "")
	w.must(err)
	refs, _, err := w.Referrers("a", p.Subject, "", "", 10)
	w.must(err)
	if len(refs) != 1 || refs[0].Annotations["k"] != "v" {
		t.Errorf("after undelete: %v", refs)
	}
}

// The check after the test compares what is recorded of each child with what is there.
func TestIndexesMayBeSparseAndBecomeWhole(t *testing.T) {
	w := newWorld(t)
	child := manifest("a", "child", nil)
	index := manifest("a", "index", []meta.Tag{"v1"})
	index.Manifests = []digest.Digest{child.Digest, digest.FromString("never pushed"), child.Digest}
	w.push(index)
	w.check()
	w.push(child)
	w.check()
	w.must(w.DeleteManifest(t.Context(), "a", child.Digest, ""))
	w.check()
	w.must(w.DeleteManifest(t.Context(), "a", index.Digest, ""))
	w.check()
	_, err := w.UndeleteManifest(t.Context(), "a", index.Digest, "")
	w.must(err)
	_, err = w.UndeleteManifest(t.Context(), "a", child.Digest, "")
	w.must(err)
}
