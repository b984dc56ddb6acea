//go:build clients

package clients

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestCraneMovesAnImageAround has crane push, copy between repositories, pull
// and list.
func TestCraneMovesAnImageAround(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, debianImage)
	b.input(b.Password, "crane", "auth", "login", b.Addr, "-u", b.User, "--password-stdin")
	here, there := b.ref("crane/debian:12"), b.ref("elsewhere/deep/down/debian:12")

	b.run("crane", "push", img.dir, here)
	b.run("crane", "copy", here, there) // mounts the blobs from the other repository
	if got := b.run("crane", "digest", there); got != img.manifest.String() {
		t.Errorf("digest of the copy is %s, want %s", got, img.manifest)
	}
	b.run("crane", "pull", "--format=oci", there, b.path("back"))
	checkLayout(t, b.path("back"), img)

	b.run("crane", "tag", here, "stable")
	if got := strings.Fields(b.run("crane", "ls", b.ref("crane/debian"))); !slices.Equal(got, []string{"12", "stable"}) {
		t.Errorf("tags %v, want 12 stable", got)
	}
	want := []string{"crane/debian", "elsewhere/deep/down/debian"}
	if got := strings.Fields(b.run("crane", "catalog", b.Addr)); !slices.Equal(got, want) {
		t.Errorf("catalog %v, want %v", got, want)
	}
}

// TestCraneChangesAnImage has crane add a layer and labels, which uploads a
// blob and a manifest but reuses all the others, check every byte, and delete.
func TestCraneChangesAnImage(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, gzipImage)
	b.input(b.Password, "crane", "auth", "login", b.Addr, "-u", b.User, "--password-stdin")
	b.run("crane", "push", img.dir, b.ref("crane/base:1"))
	b.write("added/etc/motd", "more\n")
	b.run("tar", "-cf", b.path("added.tar"), "-C", b.path("added"), "etc")

	b.run("crane", "append", "-b", b.ref("crane/base:1"), "-f", b.path("added.tar"), "-t", b.ref("crane/base:2"))
	b.run("crane", "mutate", b.ref("crane/base:2"), "-l", "who=me", "-t", b.ref("crane/base:3"))
	b.run("crane", "validate", "--remote", b.ref("crane/base:3"))
	if config := b.run("crane", "config", b.ref("crane/base:3")); !strings.Contains(config, `"who":"me"`) {
		t.Errorf("no label in %s", config)
	}
	if files := b.run("crane", "export", b.ref("crane/base:3"), "-"); !strings.Contains(files, "more\n") {
		t.Error("the added file is not in the image")
	}

	d := digest.Digest(b.run("crane", "digest", b.ref("crane/base:3")))
	b.run("crane", "delete", b.ref("crane/base@"+d.String()))
	if words := b.refuse("crane", "manifest", b.ref("crane/base:3")); !strings.Contains(words, "MANIFEST_UNKNOWN") {
		t.Errorf("a deleted manifest is not unknown: %s", words)
	}
	b.run("crane", "validate", "--remote", b.ref("crane/base:1")) // its blobs were shared
}
