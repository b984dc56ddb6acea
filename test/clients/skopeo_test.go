//go:build clients

package clients

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// imageBytesMin is what "some 100 MB" means at least.
const imageBytesMin = 80 << 20

// TestSkopeoCopiesARealImageInAndOut is the first thing a registry is for.
func TestSkopeoCopiesARealImageInAndOut(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, debianImage)
	if img.bytes < imageBytesMin {
		t.Errorf("the image has %d bytes, want at least %d", img.bytes, imageBytesMin)
	}
	b.skopeoLogin()
	b.copyIn(img, "real/debian:12")
	checkLayout(t, b.copyOut("real/debian:12"), img)
}

// TestImageSurvivesTheServer asks for the image after the server was killed, or
// asked to stop, and started again.
func TestImageSurvivesTheServer(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, gzipImage)
	b.skopeoLogin()
	b.copyIn(img, "real/kept:1")
	b.Kill()
	b.Restart()
	checkLayout(t, b.copyOut("real/kept:1"), img)
	b.Stop()
	b.Restart()
	checkLayout(t, b.copyOut("real/kept:1"), img)
}

// TestSkopeoSpeaksDockersFormats has the image converted to Docker's schema 2
// on the way in, comes back unchanged, and is refused as schema 1.
func TestSkopeoSpeaksDockersFormats(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, gzipImage)
	b.skopeoLogin()
	to := "docker://" + b.ref("docker/schema2:1")
	b.run("skopeo", "copy", "--dest-cert-dir", b.certs(), "--format", "v2s2", "oci:"+img.dir+":latest", to)
	raw := b.rawManifest(to)
	b.run("skopeo", "copy", "--preserve-digests", "--src-cert-dir", b.certs(), to, "dir:"+b.path("back"))
	if back := b.read(b.path("back", "manifest.json")); back != raw {
		t.Errorf("manifest came back as %s, want %s", back, raw)
	}
	if !strings.Contains(raw, "application/vnd.docker.distribution.manifest.v2+json") {
		t.Errorf("manifest is not Docker's schema 2: %s", raw)
	}
	words := b.refuse("skopeo", "copy", "--dest-cert-dir", b.certs(), "--format", "v2s1",
		"dir:"+b.path("back"), "docker://"+b.ref("docker/schema1:1"))
	if !strings.Contains(strings.ToLower(words), "schema") {
		t.Errorf("the refusal of schema 1 does not say why: %s", words)
	}
}

// TestSkopeoListsAndDeletes covers the rest of what skopeo asks a registry.
func TestSkopeoListsAndDeletes(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, gzipImage)
	b.skopeoLogin()
	for _, tag := range []string{"b", "a", "c"} {
		b.copyIn(img, "lists/some:"+tag)
	}
	if got := b.tags("lists/some"); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("tags %v, want a b c", got)
	}
	var seen struct {
		Digest digest.Digest
		Labels map[string]string
		Layers []string
	}
	b.decode(&seen, b.run("skopeo", "inspect", "--cert-dir", b.certs(), "docker://"+b.ref("lists/some:a")))
	if seen.Digest != img.manifest || seen.Labels["made-of"] != "debian" || len(seen.Layers) != 2 {
		t.Errorf("inspect says %+v, want digest %s, a label and 2 layers", seen, img.manifest)
	}
	b.run("skopeo", "delete", "--cert-dir", b.certs(), "docker://"+b.ref("lists/some:b"))
	words := b.refuse("skopeo", "inspect", "--cert-dir", b.certs(), "docker://"+b.ref("lists/some:b"))
	if !strings.Contains(words, "unknown") {
		t.Errorf("a deleted image is not unknown: %s", words)
	}
}

// TestSkopeoSyncsARepository mirrors every tag to a directory and back to
// another repository.
func TestSkopeoSyncsARepository(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, gzipImage)
	b.skopeoLogin()
	for _, tag := range []string{"1", "2"} {
		b.copyIn(img, "sync/app:"+tag)
	}
	out := b.mkdir("out")
	b.run("skopeo", "sync", "--src-cert-dir", b.certs(), "--src", "docker", "--dest", "dir", b.ref("sync/app"), out)
	if dirs, err := filepath.Glob(filepath.Join(out, "app:*")); err != nil || len(dirs) != 2 {
		t.Errorf("sync wrote %v (%v), want two images", dirs, err)
	}
	b.run("skopeo", "sync", "--dest-cert-dir", b.certs(), "--src", "dir", "--dest", "docker", out, b.ref("mirror"))
	if got := b.tags("mirror/app"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("mirrored tags %v, want 1 2", got)
	}
	if got := digest.FromString(b.rawManifest("docker://" + b.ref("mirror/app:2"))); got != img.manifest {
		t.Errorf("mirrored manifest is %s, want %s", got, img.manifest)
	}
}

// TestWrongPasswordIsRefused tries to log in with one.
func TestWrongPasswordIsRefused(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.refuse("skopeo", "login", "--cert-dir", b.certs(), "-u", b.User, "-p", "not "+b.Password, b.Addr)
	if kept := b.read(b.path("auth.json")); strings.Contains(kept, b.Addr) {
		t.Errorf("the wrong password was accepted and kept: %s", kept)
	}
}

func (b *box) skopeoLogin() {
	b.t.Helper()
	b.input(b.Password, "skopeo", "login", "--cert-dir", b.certs(), "-u", b.User, "--password-stdin", b.Addr)
}

// copyIn pushes an image as it is: without the flag, skopeo compresses what is
// not compressed.
func (b *box) copyIn(img layout, name string) {
	b.t.Helper()
	b.run("skopeo", "copy", "--preserve-digests", "--dest-cert-dir", b.certs(),
		"oci:"+img.dir+":latest", "docker://"+b.ref(name))
}

// copyOut pulls an image into a new directory.
func (b *box) copyOut(name string) (dir string) {
	b.t.Helper()
	dir, err := os.MkdirTemp(b.home, "out")
	if err != nil {
		b.t.Fatal(err)
	}
	b.run("skopeo", "copy", "--preserve-digests", "--src-cert-dir", b.certs(),
		"docker://"+b.ref(name), "oci:"+dir+":latest")
	return dir
}

// rawManifest is the manifest byte for byte: run would cut space at its end.
func (b *box) rawManifest(ref string) string {
	b.t.Helper()
	return b.run("skopeo", "inspect", "--raw", "--cert-dir", b.certs(), ref)
}

func (b *box) tags(repository string) []string {
	b.t.Helper()
	var list struct{ Tags []string }
	b.decode(&list, b.run("skopeo", "list-tags", "--cert-dir", b.certs(), "docker://"+b.ref(repository)))
	return list.Tags
}

func (b *box) decode(v any, from string) {
	b.t.Helper()
	if err := json.Unmarshal([]byte(from), v); err != nil {
		b.t.Fatalf("%v in %s", err, from)
	}
}
