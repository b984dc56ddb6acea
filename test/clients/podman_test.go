//go:build clients

package clients

import (
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestPodmanPushesAndPulls has podman take the image in, push it, forget it and
// pull it.
func TestPodmanPushesAndPulls(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, gzipImage)
	b.podmanLogin()
	ref := b.ref("podman/debian:12")
	id := b.run("podman", "pull", "-q", "oci:"+img.dir+":latest")
	b.run("podman", "push", "-q", "--cert-dir", b.certs(), "--digestfile", b.path("digest"), id, "docker://"+ref)
	pushed := b.read(b.path("digest"))
	b.run("podman", "rmi", "-f", id)

	if back := b.run("podman", "pull", "-q", "--cert-dir", b.certs(), "docker://"+ref); back != id {
		t.Errorf("the image came back as %s, want %s", back, id)
	}
	if got := b.run("podman", "image", "inspect", "--format", "{{.Digest}}", id); got != pushed {
		t.Errorf("its digest is %s, pushed was %s", got, pushed)
	}
	if got := digest.FromString(b.rawManifest("docker://" + ref)); got.String() != pushed {
		t.Errorf("the registry has %s, pushed was %s", got, pushed)
	}
}

// TestPodmanPushesAManifestList has podman push a list with all its images,
// and pull one through it.
func TestPodmanPushesAManifestList(t *testing.T) {
	t.Parallel()
	b, img, other := newBox(t), image(t, gzipImage), image(t, tinyImage)
	b.podmanLogin()
	id := b.run("podman", "pull", "-q", "oci:"+img.dir+":latest")
	list := b.run("podman", "manifest", "create", "several")
	b.run("podman", "manifest", "add", "--arch", "amd64", list, "containers-storage:"+id)
	b.run("podman", "manifest", "add", "--arch", "arm64", list, "oci:"+other.dir+":latest")
	b.run("podman", "manifest", "push", "--all", "--cert-dir", b.certs(), list, "docker://"+b.ref("podman/list:1"))

	var index ocispec.Index
	b.decode(&index, b.rawManifest("docker://"+b.ref("podman/list:1")))
	if len(index.Manifests) != 2 {
		t.Fatalf("the list has %v, want two images", index.Manifests)
	}
	for _, m := range index.Manifests {
		b.rawManifest("docker://" + b.ref("podman/list@"+m.Digest.String()))
	}
	b.run("podman", "rmi", "-f", list, id)
	want := b.run("podman", "pull", "-q", "oci:"+other.dir+":latest")
	b.run("podman", "rmi", "-f", want)
	back := b.run("podman", "pull", "-q", "--arch", "arm64", "--cert-dir", b.certs(), "docker://"+b.ref("podman/list:1"))
	if back != want {
		t.Errorf("for arm64 came %s, want %s", back, want)
	}
}

// TestBuildahBuildsAndPushes builds an image from nothing, pushes it and looks
// into what comes back.
func TestBuildahBuildsAndPushes(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.input(b.Password, "buildah", "login", "--cert-dir", b.certs(), "-u", b.User, "--password-stdin", b.Addr)
	ref := b.ref("buildah/made:1")
	b.write("file", strings.Repeat("built here\n", 1<<16))
	work := b.run("buildah", "from", "scratch")
	b.run("buildah", "copy", work, b.path("file"), "/srv/file")
	b.run("buildah", "config", "--label", "made-by=buildah", "--cmd", "/srv/file", work)
	id := b.run("buildah", "commit", "-q", "--rm", work, "made")
	b.run("buildah", "push", "-q", "--cert-dir", b.certs(), "--digestfile", b.path("digest"), "made", "docker://"+ref)
	b.run("buildah", "rmi", "-f", "made")

	if back := b.run("buildah", "pull", "-q", "--cert-dir", b.certs(), "docker://"+ref); back != id {
		t.Errorf("the image came back as %s, want %s", back, id)
	}
	raw := b.rawManifest("docker://" + ref)
	if got := digest.FromString(raw).String(); got != b.read(b.path("digest")) {
		t.Errorf("the registry has %s, pushed was %s", got, b.read(b.path("digest")))
	}
	var config ocispec.Image
	b.decode(&config, b.run("skopeo", "inspect", "--config", "--cert-dir", b.certs(), "docker://"+ref))
	if config.Config.Labels["made-by"] != "buildah" {
		t.Errorf("no label in %+v", config)
	}
}

// TestFirstStartSaysHowToBegin does what the server says at its first start, to
// the letter.
func TestFirstStartSaysHowToBegin(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, tinyImage)
	id := b.run("podman", "pull", "-q", "oci:"+img.dir+":latest")
	for _, verb := range []string{"login", "push", "pull"} {
		said := regexp.MustCompile(`podman ` + verb + ` .*`).FindString(b.Log())
		if said == "" {
			t.Fatalf("nothing about podman %s in:\n%s", verb, b.Log())
		}
		b.run("sh", "-c", strings.NewReplacer(" IMAGE ", " "+id+" ", "NAMESPACE/NAME:TAG", "first/app:1").Replace(said))
	}
	b.skopeoLogin()
	b.rawManifest("docker://" + b.ref("first/app:1"))
}

func (b *box) podmanLogin() {
	b.t.Helper()
	b.input(b.Password, "podman", "login", "--cert-dir", b.certs(), "-u", b.User, "--password-stdin", b.Addr)
}
