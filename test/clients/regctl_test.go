//go:build clients

package clients

import (
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestRegctlCopiesAnImageInAndOut has regctl push in chunks, as it does with
// large blobs, pull, and delete one tag of two.
func TestRegctlCopiesAnImageInAndOut(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, debianImage)
	b.regctlLogin("--blob-max", "1000000", "--blob-chunk", "5000000")
	ref := b.ref("regctl/debian:12")
	b.run("regctl", "image", "copy", "ocidir://"+img.dir+":latest", ref)
	b.run("regctl", "image", "copy", ref, "ocidir://"+b.path("back")+":latest")
	checkLayout(t, b.path("back"), img)

	b.run("regctl", "image", "copy", ref, b.ref("regctl/debian:old"))
	b.run("regctl", "tag", "delete", b.ref("regctl/debian:old"))
	if got := strings.Fields(b.run("regctl", "tag", "ls", b.ref("regctl/debian"))); !slices.Equal(got, []string{"12"}) {
		t.Errorf("tags %v, want 12", got)
	}
	if got := b.run("regctl", "image", "digest", ref); got != img.manifest.String() {
		t.Errorf("digest of the tag that stays is %s, want %s", got, img.manifest)
	}
}

// TestRegctlKeepsArtifactsWithTheirImage attaches artifacts, lists them, copies
// the image with them and removes one.
func TestRegctlKeepsArtifactsWithTheirImage(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, gzipImage)
	b.regctlLogin()
	ref, there := b.ref("regctl/app:1"), b.ref("regctl/copy:1")
	b.run("regctl", "image", "copy", "ocidir://"+img.dir+":latest", ref)
	for _, kind := range []string{"application/spdx+json", "text/x.note"} {
		b.input("about it: "+kind, "regctl", "artifact", "put", "--artifact-type", kind, "--subject", ref)
	}
	if got := b.referrers(ref); len(got) != 2 {
		t.Errorf("%d referrers, want 2: %v", len(got), got)
	}
	spdx := b.referrers(ref, "--filter-artifact-type", "application/spdx+json")
	if len(spdx) != 1 || spdx[0].ArtifactType != "application/spdx+json" {
		t.Fatalf("referrers of one type: %v", spdx)
	}
	b.run("regctl", "image", "copy", "--referrers", ref, there)
	if got := b.referrers(there); len(got) != 2 {
		t.Errorf("%d referrers of the copy, want 2: %v", len(got), got)
	}
	b.run("regctl", "manifest", "delete", "--force-tag-dereference", b.ref("regctl/app@"+spdx[0].Digest.String()))
	if got := b.referrers(ref); len(got) != 1 || got[0].ArtifactType != "text/x.note" {
		t.Errorf("referrers after one was deleted: %v", got)
	}
	if tags := b.run("regctl", "tag", "ls", b.ref("regctl/app")); tags != "1" {
		t.Errorf("tags %q, want 1: the registry keeps referrers, no client need", tags)
	}
}

// regctlLogin also takes what "registry set" takes.
func (b *box) regctlLogin(settings ...string) {
	b.t.Helper()
	set := append([]string{"registry", "set", b.Addr, "--skip-check", "--cacert", b.read(b.CA)}, settings...)
	b.run("regctl", set...)
	b.input(b.Password, "regctl", "registry", "login", b.Addr, "-u", b.User, "--pass-stdin")
}

func (b *box) referrers(ref string, filter ...string) []ocispec.Descriptor {
	b.t.Helper()
	var found []ocispec.Descriptor
	list := append([]string{"artifact", "list", ref, "--format", "{{json .Descriptors}}"}, filter...)
	b.decode(&found, b.run("regctl", list...))
	return found
}
