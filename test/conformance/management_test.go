//go:build conformance

package conformance_test

import (
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// "Deleting tags". "Registries MAY implement deletion or they MAY disable it."
// Here all three kinds must be implemented, and done when they are answered.
func TestDeletingTags(t *testing.T) {
	hold(
		t,
		sentence{"deleted", tagIsDeleted},
		sentence{"missing", missingTagIs404},
		sentence{"again", deletedTagCanReturn},
	)
}

// "Upon success, the registry MUST respond with a `202 Accepted` code." "Once
// deleted, a `GET` to `/v2/<name>/manifests/<tag>` will return a 404." The
// manifest and its other tags stay.
func tagIsDeleted(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	b.tag("a", "b", "c")
	r.push(b)
	r.delete(r.manifestPath("b")).want(http.StatusAccepted)
	r.head(r.manifestPath("b")).want(http.StatusNotFound)
	r.get(r.manifestPath("b")).wantError(http.StatusNotFound, "MANIFEST_UNKNOWN")
	r.get(r.tagsPath("")).want(http.StatusOK).wantTags(r.name, "a", "c")
	for _, ref := range []string{"a", "c", m.digest.String()} {
		r.get(r.manifestPath(ref)).want(http.StatusOK).wantBody(m.bytes)
	}
}

// end-9 fails with 404.
func missingTagIs404(r *repository) {
	r.delete(r.manifestPath("none")).want(http.StatusNotFound)
	b, _ := smallImage(r.t, digest.SHA256)
	r.push(b)
	r.delete(r.manifestPath("none")).wantError(http.StatusNotFound, "MANIFEST_UNKNOWN")
}

// A deleted tag is free again.
func deletedTagCanReturn(r *repository) {
	b := newBundle(r.t, digest.SHA256)
	b.image(ocispec.Manifest{})
	b.image(ocispec.Manifest{})
	r.push(b)
	for _, m := range b.manifests {
		r.putManifest(m, "latest", "").want(http.StatusCreated)
		r.get(r.manifestPath("latest")).want(http.StatusOK).wantBody(m.bytes)
		r.delete(r.manifestPath("latest")).want(http.StatusAccepted)
		r.get(r.manifestPath("latest")).want(http.StatusNotFound)
	}
}

// "Deleting Manifests"
func TestDeletingManifests(t *testing.T) {
	hold(
		t,
		sentence{"deleted with its tags", forAlgorithms(manifestIsDeleted)},
		sentence{"missing", missingManifestDeleteIs404},
		sentence{"again", deletedManifestCanReturn},
		sentence{"index", indexIsDeletedAlone},
		sentence{"child of an index", deletedChildIsConsistent},
	)
}

// "Upon success, the registry MUST respond with a `202 Accepted` code." "Once
// deleted, a `GET` to `/v2/<name>/manifests/<digest>` and any tag pointing to that
// digest will return a 404."
func manifestIsDeleted(r *repository, alg digest.Algorithm) {
	b := newBundle(r.t, alg)
	b.image(ocispec.Manifest{})
	gone := b.manifest()
	b.tag("a", "c")
	b.image(ocispec.Manifest{})
	kept := b.manifest()
	b.tag("b")
	r.push(b)
	r.delete(r.manifestPath(gone.digest.String())).want(http.StatusAccepted)
	for _, ref := range []string{gone.digest.String(), "a", "c"} {
		r.head(r.manifestPath(ref)).want(http.StatusNotFound)
		r.get(r.manifestPath(ref)).wantError(http.StatusNotFound, "MANIFEST_UNKNOWN")
	}
	r.get(r.tagsPath("")).want(http.StatusOK).wantTags(r.name, "b")
	r.get(r.manifestPath("b")).want(http.StatusOK).wantBody(kept.bytes)
}

// "If the repository does not exist, the response MUST return `404 Not Found`."
func missingManifestDeleteIs404(r *repository) {
	none := digest.SHA256.FromString("none").String()
	r.delete(r.manifestPath(none)).want(http.StatusNotFound)
	b, m := smallImage(r.t, digest.SHA256)
	r.push(b)
	r.delete(r.manifestPath(none)).wantError(http.StatusNotFound, "MANIFEST_UNKNOWN")
	r.delete(r.manifestPath(m.digest.String())).want(http.StatusAccepted)
	r.delete(r.manifestPath(m.digest.String())).wantError(http.StatusNotFound, "MANIFEST_UNKNOWN")
}

// A deleted manifest can be pushed again.
func deletedManifestCanReturn(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	for range 2 {
		r.push(b)
		r.tag(m, "latest")
		r.get(r.manifestPath("latest")).want(http.StatusOK).wantBody(m.bytes)
		r.delete(r.manifestPath(m.digest.String())).want(http.StatusAccepted)
		r.get(r.manifestPath("latest")).want(http.StatusNotFound)
	}
}

// An index is deleted before what it names, which stays.
func indexIsDeletedAlone(r *repository) {
	b := newBundle(r.t, digest.SHA256)
	b.index(ocispec.Index{Manifests: b.platforms()})
	b.tag("latest")
	r.push(b)
	for i := len(b.manifests) - 1; i >= 0; i-- {
		r.delete(r.manifestPath(b.manifests[i].digest.String())).want(http.StatusAccepted)
		for j, m := range b.manifests {
			want := http.StatusOK
			if j >= i {
				want = http.StatusNotFound
			}
			r.head(r.manifestPath(m.digest.String())).want(want)
		}
	}
	for _, bl := range b.blobs {
		r.delete(r.blobPath(bl.digest)).want(http.StatusAccepted)
		r.head(r.blobPath(bl.digest)).want(http.StatusNotFound)
	}
}

// What an index names may be deleted, or not; afterwards the answers agree.
func deletedChildIsConsistent(r *repository) {
	b := newBundle(r.t, digest.SHA256)
	b.index(ocispec.Index{Manifests: b.platforms()})
	r.push(b)
	child, index := b.manifests[0].digest.String(), b.manifest().digest.String()
	p := r.delete(r.manifestPath(child))
	if p.status == http.StatusAccepted {
		r.get(r.manifestPath(child)).want(http.StatusNotFound)
	} else {
		p.wantRefused()
		r.get(r.manifestPath(child)).want(http.StatusOK)
	}
	r.get(r.manifestPath(index)).want(http.StatusOK).wantBody(b.manifest().bytes)
}

// "Deleting Blobs"
func TestDeletingBlobs(t *testing.T) {
	hold(
		t,
		sentence{"deleted", forAlgorithms(blobIsDeleted)},
		sentence{"missing", missingBlobDeleteIs404},
		sentence{"elsewhere", deletedElsewhereIsKept},
		sentence{"in use", usedBlobIsConsistent},
	)
}

// "Upon success, the registry MUST respond with code `202 Accepted`." It is gone
// at once, and can be pushed again.
func blobIsDeleted(r *repository, alg digest.Algorithm) {
	b := randomBlob(alg, 512)
	for range 2 {
		r.pushBlob(b)
		r.get(r.blobPath(b.digest)).want(http.StatusOK).wantBody(b.bytes)
		r.delete(r.blobPath(b.digest)).want(http.StatusAccepted)
		r.head(r.blobPath(b.digest)).want(http.StatusNotFound)
		r.get(r.blobPath(b.digest)).wantError(http.StatusNotFound, "BLOB_UNKNOWN")
	}
}

// "If the blob is not found, a `404 Not Found` code MUST be returned."
func missingBlobDeleteIs404(r *repository) {
	b := randomBlob(digest.SHA256, 512)
	r.delete(r.blobPath(b.digest)).want(http.StatusNotFound) // no repository yet
	r.pushBlob(b)
	r.delete(r.blobPath(b.digest)).want(http.StatusAccepted)
	r.delete(r.blobPath(b.digest)).wantError(http.StatusNotFound, "BLOB_UNKNOWN")
}

// `<name>` is where it is deleted; the same bytes elsewhere are another's.
func deletedElsewhereIsKept(r *repository) {
	b := randomBlob(digest.SHA256, 512)
	other := r.repo(r.t)
	other.pushBlob(b)
	r.delete(r.blobPath(b.digest)).want(http.StatusNotFound)
	r.pushBlob(b)
	r.delete(r.blobPath(b.digest)).want(http.StatusAccepted)
	other.get(other.blobPath(b.digest)).want(http.StatusOK).wantBody(b.bytes)
}

// A blob that a manifest names may be deleted, or not ("405 Method Not Allowed");
// afterwards the answers agree, and the manifest is served either way.
func usedBlobIsConsistent(r *repository) {
	b, m := smallImage(r.t, digest.SHA256)
	r.push(b)
	for _, bl := range b.blobs {
		p := r.delete(r.blobPath(bl.digest)).want(http.StatusAccepted, http.StatusMethodNotAllowed)
		want := http.StatusNotFound
		if p.status != http.StatusAccepted {
			want = http.StatusOK
		}
		r.head(r.blobPath(bl.digest)).want(want)
		r.get(r.blobPath(bl.digest)).want(want)
	}
	r.get(r.manifestPath(m.digest.String())).want(http.StatusOK).wantBody(m.bytes)
}
