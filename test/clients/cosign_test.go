//go:build clients

package clients

import (
	"slices"
	"strings"
	"testing"
)

// TestCosignSignsByReferrer signs as cosign does by default: a bundle that
// refers to the image, and no tag.
func TestCosignSignsByReferrer(t *testing.T) {
	t.Parallel()
	b, ref := newSignedBox(t)
	b.run("cosign", "signing-config", "create", "--out", b.path("nobody.json")) // no service out there
	b.cosign("sign", "--key", b.path("cosign.key"), "--signing-config", b.path("nobody.json"), "--yes", ref)
	b.verified(ref)
	if got := b.tags("signed/app"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("tags %v: the signature should have none", got)
	}
}

// TestCosignSignsByTag signs as cosign did before there were referrers.
func TestCosignSignsByTag(t *testing.T) {
	t.Parallel()
	b, ref := newSignedBox(t)
	b.cosign("sign", "--key", b.path("cosign.key"), "--new-bundle-format=false", "--use-signing-config=false",
		"--tlog-upload=false", "--yes", ref)
	b.verified(ref, "--new-bundle-format=false")
	if got := b.tags("signed/app"); len(got) != 2 || !strings.HasSuffix(got[1], ".sig") {
		t.Errorf("tags %v: want 1 and the signature's", got)
	}
}

// newSignedBox makes a box with a key pair and an image to sign.
func newSignedBox(t *testing.T) (*box, string) {
	t.Helper()
	b, img := newBox(t), image(t, gzipImage)
	b.env = append(b.env, "COSIGN_PASSWORD=")
	b.skopeoLogin()
	b.copyIn(img, "signed/app:1")
	b.run("cosign", "generate-key-pair")
	b.input(b.Password, "cosign", "login", b.Addr, "-u", b.User, "--password-stdin")
	return b, b.ref("signed/app@" + img.manifest.String())
}

func (b *box) cosign(verb string, args ...string) string {
	b.t.Helper()
	return b.run("cosign", append([]string{verb, "--registry-cacert", b.CA}, args...)...)
}

// verified has cosign accept the signature with its key, and with no other.
func (b *box) verified(ref string, flags ...string) {
	b.t.Helper()
	flags = append(flags, "--insecure-ignore-tlog", ref)
	said := b.cosign("verify", append([]string{"--key", b.path("cosign.pub")}, flags...)...)
	_, digest, _ := strings.Cut(ref, "@")
	if !strings.Contains(said, digest) {
		b.t.Errorf("cosign verified something else than %s: %s", digest, said)
	}
	b.run("cosign", "generate-key-pair", "--output-key-prefix", "other")
	b.refuse("cosign", append([]string{"verify", "--registry-cacert", b.CA, "--key", b.path("other.pub")}, flags...)...)
}
