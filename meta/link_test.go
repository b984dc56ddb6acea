package meta_test

import (
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

func TestMountLinksWhatTheSourceLinks(t *testing.T) {
	w := newWorld(t)
	d := w.blob("a", "x")
	w.pass(grace / 2)
	b, err := w.MountBlob(t.Context(), "b", "a", d, "bob")
	w.must(err)
	if b.Digest != d || b.Size != 1 || !b.Lease.Equal(w.now().Add(grace)) {
		t.Errorf("mounted %+v", b)
	}
	got, err := w.Blob("b", d)
	w.must(err)
	if got != b {
		t.Errorf("blob %+v, mounted %+v", got, b)
	}
	for _, from := range []meta.RepoName{"c", "empty"} {
		_, err = w.MountBlob(t.Context(), "b", from, digest.FromString("y"), "bob")
		w.wants(err, meta.ErrNotFound)
	}
	_, err = w.Blob("c", d)
	w.wants(err, meta.ErrRepositoryUnknown)
	_, err = w.Blob("b", digest.FromString("y"))
	w.wants(err, meta.ErrNotFound)
}

func TestBlobAnywhereAsksForPermission(t *testing.T) {
	w := newWorld(t)
	d := w.blob("a", "x")
	w.blob("b", "x")
	repo, b, err := w.BlobAnywhere(d, func(r meta.RepoName) bool { return r == "b" })
	w.must(err)
	if repo != "b" || b.Digest != d || b.Size != 1 {
		t.Errorf("found %s %+v", repo, b)
	}
	_, _, err = w.BlobAnywhere(d, func(meta.RepoName) bool { return false })
	w.wants(err, meta.ErrNotFound)
	_, _, err = w.BlobAnywhere(digest.FromString("y"), func(meta.RepoName) bool { return true })
	w.wants(err, meta.ErrNotFound)
}

func TestUnlinkRefusesWhatAManifestRefersTo(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	config := digest.FromString("config")
	m := w.push(image("a", "one", nil, "config"))
	w.must(w.LinkBlob(ctx, "b", config, 10, ""))
	w.wants(w.UnlinkBlob(ctx, "a", config, ""), meta.ErrConflict)
	w.must(w.UnlinkBlob(ctx, "b", config, "")) // no manifest of b
	w.wants(w.UnlinkBlob(ctx, "b", config, ""), meta.ErrRepositoryUnknown)
	w.wants(w.UnlinkBlob(ctx, "a", digest.FromString("y"), ""), meta.ErrNotFound)
	w.must(w.DeleteManifest(ctx, "a", m, ""))
	w.must(w.UnlinkBlob(ctx, "a", config, ""))
	w.wants(w.UnlinkBlob(ctx, "a", config, ""), meta.ErrNotFound)
}

func TestUnlinkedBlobStaysForTheGrace(t *testing.T) {
	w := newWorld(t)
	d := w.blob("a", "x")
	w.blob("b", "x")
	w.pass(10 * grace)
	w.must(w.UnlinkBlob(t.Context(), "a", d, ""))
	w.pass(grace - time.Second)
	if r := w.collect(); r.Blobs != 0 {
		t.Errorf("within the grace: %+v", r)
	}
	w.pass(time.Second)
	if r := w.collect(); r.Blobs != 1 {
		t.Errorf("after the grace: %+v", r)
	}
}

func TestLinkingAnotherSizeIsAConflict(t *testing.T) {
	w := newWorld(t)
	d := w.blob("a", "x")
	w.wants(w.LinkBlob(t.Context(), "b", d, 2, ""), meta.ErrConflict)
	w.wants(w.LinkBlob(t.Context(), "b", d, -1, ""), meta.ErrName)
	_, err := w.Blob("b", d)
	w.wants(err, meta.ErrRepositoryUnknown)
}

func TestSnapshotListsBlobsInTheirOrder(t *testing.T) {
	w := newWorld(t)
	want := []digest.Digest{w.blob("a", "z"), w.blob("b", "a"), w.blob("a", "m")}
	s, err := w.Snapshot()
	w.must(err)
	defer func() { w.must(s.Close()) }()
	w.blob("a", "later")
	n := 0
	for b, err := range s.Blobs(meta.FirstNode) {
		w.must(err)
		if n >= len(want) || b.Digest != want[n] || b.Size != 1 {
			t.Errorf("blob %d: %+v", n, b)
		}
		n++
	}
	if n != len(want) {
		t.Errorf("%d blobs", n)
	}
}

func TestResourcesAreVersioned(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	r := meta.Resource{Kind: "Config", Name: "cluster", Doc: []byte(`{"a":1}`)}
	first, err := w.PutResource(ctx, r)
	w.must(err)
	r.Doc = []byte(`{"a":2}`)
	second, err := w.PutResource(ctx, r) // version 0: whatever is there
	w.must(err)
	_, err = w.PutResource(ctx, first)
	w.wants(err, meta.ErrConflict)
	second.Doc = []byte(`{"a":3}`)
	third, err := w.PutResource(ctx, second)
	w.must(err)
	got, err := w.Resource("Config", "", "cluster")
	w.must(err)
	if string(got.Doc) != `{"a":3}` || got.Version != third.Version || first.Version >= second.Version {
		t.Errorf("got %+v, versions %d %d %d", got, first.Version, second.Version, third.Version)
	}
	_, err = w.PutResource(ctx, meta.Resource{Kind: "Config", Name: "new", Version: 7})
	w.wants(err, meta.ErrConflict)
	_, err = w.PutResource(ctx, meta.Resource{Kind: "Config", Name: "with\x00zero"})
	w.wants(err, meta.ErrName)
	_, err = w.PutResource(ctx, meta.Resource{Kind: "ConfigMap", Namespace: "ns", Name: "b"})
	w.must(err)
	_, err = w.PutResource(ctx, meta.Resource{Kind: "Config", Namespace: "ns", Name: "b"})
	w.must(err)
	all, err := w.Resources("Config")
	w.must(err)
	if len(all) != 2 || all[0].Name != "cluster" || all[1].Namespace != "ns" {
		t.Errorf("resources %+v", all)
	}
	w.must(w.DeleteResource(ctx, "Config", "", "cluster"))
	w.wants(w.DeleteResource(ctx, "Config", "", "cluster"), meta.ErrNotFound)
	_, err = w.Resource("Config", "", "cluster")
	w.wants(err, meta.ErrNotFound)
}
