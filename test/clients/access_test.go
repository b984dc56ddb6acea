//go:build clients

package clients

import (
	"path/filepath"
	"strings"
	"testing"
)

// skerry runs a command of the server's own program against its data.
func (b *box) skerry(args ...string) string {
	b.t.Helper()
	return b.run(b.program(), append(args, "--data", b.absolute(b.Options.Data))...)
}

func (b *box) program() string { return b.absolute(b.Options.Binary) }

func (b *box) absolute(path string) string {
	b.t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return abs
}

// TestEverybodyPullsWhatIsPublic has clients that never logged in pull from a
// namespace that is open to them, and from no other.
func TestEverybodyPullsWhatIsPublic(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, tinyImage)
	b.skopeoLogin()
	b.copyIn(img, "public/app:1")
	b.copyIn(img, "team/app:1")
	b.run("skopeo", "logout", b.Addr)
	b.skerry("role", "grant", "system:image-puller", "--group", "system:unauthenticated", "--on", "public")

	b.run("skopeo", "copy", "--src-cert-dir", b.certs(), "docker://"+b.ref("public/app:1"), "oci:"+b.path("a")+":x")
	b.run("podman", "pull", "-q", "--cert-dir", b.certs(), "docker://"+b.ref("public/app:1"))
	b.run("crane", "pull", "--format=oci", b.ref("public/app:1"), b.path("b"))
	b.run("regctl", "registry", "set", b.Addr, "--cacert", b.read(b.CA))
	b.run("regctl", "image", "copy", b.ref("public/app:1"), "ocidir://"+b.path("c")+":x")
	for _, client := range [][]string{
		{"skopeo", "inspect", "--cert-dir", b.certs(), "docker://" + b.ref("team/app:1")},
		{"podman", "pull", "-q", "--cert-dir", b.certs(), "docker://" + b.ref("team/app:1")},
		{"crane", "manifest", b.ref("team/app:1")},
		{"regctl", "manifest", "get", b.ref("team/app:1")},
		{"crane", "copy", b.ref("public/app:1"), b.ref("public/app:2")},
	} {
		if words := strings.ToLower(b.refuse(client[0], client[1:]...)); !strings.Contains(words, "unauthorized") &&
			!strings.Contains(words, "authentication required") {
			t.Errorf("%v: %s", client, words)
		}
	}
}

// TestARobotDoesWhatItsRoleAllows logs in with a robot's name and secret.
func TestARobotDoesWhatItsRoleAllows(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, tinyImage)
	secret := b.skerry("token", "create", "ci", "--role", "system:image-pusher", "--on", "team")
	b.input(secret, "crane", "auth", "login", b.Addr, "-u", "ci", "--password-stdin")
	b.run("crane", "push", img.dir, b.ref("team/app:1"))
	b.run("crane", "copy", b.ref("team/app:1"), b.ref("team/other:1")) // mounts
	if got := b.run("crane", "catalog", b.Addr); got != "team/app\nteam/other" {
		t.Errorf("catalog %q", got)
	}
	for _, args := range [][]string{
		{"push", img.dir, b.ref("prod/app:1")},
		{"delete", b.ref("team/app:1")},
		{"copy", b.ref("team/app:1"), b.ref("prod/app:1")},
	} {
		words := b.refuse("crane", args...)
		if !strings.Contains(words, "DENIED") && !strings.Contains(words, "403 Forbidden") { // HEAD has no words
			t.Errorf("crane %v: %s", args, words)
		}
	}
	b.skerry("token", "delete", "ci")
	if words := b.refuse("crane", "manifest", b.ref("team/app:1")); !strings.Contains(words, "UNAUTHORIZED") {
		t.Errorf("a deleted robot: %s", words)
	}
}
