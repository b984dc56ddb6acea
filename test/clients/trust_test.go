//go:build clients

package clients

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTrustIsFoundByClients has skerry trust put the CA where clients look for
// it, by the fingerprint that the server printed, and pulls without a flag for
// it.
func TestTrustIsFoundByClients(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, tinyImage)
	b.skopeoLogin()
	b.copyIn(img, "trust/app:1")
	b.env = slices.DeleteFunc(b.env, func(v string) bool { return strings.HasPrefix(v, "SSL_CERT_FILE=") })
	words := b.refuse("skopeo", "inspect", "docker://"+b.ref("trust/app:1"))
	if !strings.Contains(words, "unknown authority") {
		t.Fatalf("without trust: %s", words)
	}
	fingerprint := regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindString(b.Log())
	// root's directories are the machine's: those of the box's home serve as well.
	root := b.mkdir("machine")
	b.mkdir("machine/etc")
	if err := os.Symlink(b.path(".config", "containers"), filepath.Join(root, "etc", "containers")); err != nil {
		t.Fatal(err)
	}
	trust := []string{"trust", "--root", root, "--server", b.URL}
	b.run(b.Options.Binary, append(trust, "--fingerprint", fingerprint, "podman", "containerd")...)

	out := "docker://" + b.ref("trust/app:1")
	b.run("skopeo", "copy", "--preserve-digests", out, "oci:"+b.mkdir("out")+":latest")
	checkLayout(t, b.path("out"), img)
	b.run("podman", "pull", "-q", out)
	ctr := b.containerd()
	ctr("images", "pull", "--snapshotter", "native", "--hosts-dir", filepath.Join(root, "etc", "containerd", "certs.d"),
		"--user", b.credentials(), b.ref("trust/app:1"))

	b.run(b.Options.Binary, append(trust, "--remove", "podman")...)
	b.refuse("skopeo", "inspect", out)
}

// TestTrustReachesTheSystem has the real update-ca-certificates run, in a mount
// name space with copies of the directories that it changes.
func TestTrustReachesTheSystem(t *testing.T) {
	t.Parallel()
	b, img := newBox(t), image(t, tinyImage)
	b.skopeoLogin()
	b.copyIn(img, "trust/app:1")
	b.run("cp", "-a", "/etc/ssl", b.path("ssl"))
	look := "HOME=" + b.home + " REGISTRY_AUTH_FILE=" + b.path("auth.json") +
		" env -u SSL_CERT_FILE skopeo inspect docker://" + b.ref("trust/app:1")
	trust := b.Options.Binary + " trust --server " + b.URL
	script := b.write("script", strings.Join([]string{
		"set -eux",
		"mount --bind " + b.path("ssl") + " /etc/ssl",
		"mount --bind " + b.mkdir("local") + " /usr/local/share/ca-certificates",
		"if " + look + "; then exit 1; fi",
		trust + " --yes system",
		look,
		trust + " --remove system",
		"if " + look + "; then exit 1; fi",
		"echo to the end",
	}, "\n"))
	name, args := asRoot("unshare", "--mount", "sh", script)
	if out := b.run(name, args...); !strings.HasSuffix(out, "to the end") {
		t.Errorf("it ended early:\n%s", out)
	}
}
