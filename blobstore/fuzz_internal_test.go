package blobstore

import (
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// Whatever a client calls a digest: it is refused, or its path is one of ours.
func FuzzPath(f *testing.F) {
	hex := strings.Repeat("0a", 64)
	for _, seed := range []string{
		"", "sha256:", "sha256:" + hex[:64], "sha512:" + hex, "sha384:" + hex[:96], "sha256:" + hex,
		"sha256:../../../../etc/passwd", "sha256:" + strings.ToUpper(hex[:64]), "../x:" + hex[:64],
		"sha256:" + hex[:62] + "/.",
	} {
		f.Add(seed)
	}
	ours := regexp.MustCompile(`^blobs/sha(256|384|512)/([0-9a-f]{2})/([0-9a-f]{64,128})$`)
	f.Fuzz(func(t *testing.T, in string) {
		b, err := parseDigest(digest.Digest(in))
		if valid := digest.Digest(in).Validate() == nil; valid != (err == nil) {
			t.Fatalf("%q: %v, go-digest finds it valid: %v", in, err, valid)
		}
		if err != nil {
			return
		}
		m := ours.FindStringSubmatch(b.path())
		if m == nil || !strings.HasPrefix(m[3], m[2]) || b.digest() != digest.Digest(in) ||
			filepath.Dir(b.path()) != b.shard() {
			t.Fatalf("%q becomes %q", in, b.path())
		}
		at := time.Unix(1_700_000_000, 1).UTC()
		d, when, ok := parseQuarantined(filepath.Base(b.quarantinePath(at)))
		if !ok || d != b.digest() || !when.Equal(at) {
			t.Fatalf("%q in quarantine: %v %v %v", in, d, when, ok)
		}
	})
}

// Whatever a client calls an upload: it finds none but its own.
func FuzzResume(f *testing.F) {
	s, err := Open(Config{Dir: f.TempDir(), Reserve: -1, Soft: 100, High: 100, Critical: 100})
	if err != nil {
		f.Fatal(err)
	}
	u, err := s.Create("mine", "", -1)
	if err != nil {
		f.Fatal(err)
	}
	if err := u.Close(); err != nil {
		f.Fatal(err)
	}
	for _, id := range []string{
		"", ".", "..", "/", "../blobs", strings.Repeat("A", idLen), strings.Repeat("7", idLen) + ".x",
		strings.Repeat("A", idLen-1) + "/", strings.Repeat("A", idLen-1) + "\x00",
	} {
		f.Add("mine", id)
	}
	ours := regexp.MustCompile(`^uploads/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[0-9a-f]{32}\.sha256$`)
	f.Fuzz(func(t *testing.T, scope, id string) {
		if scope == "mine" && id == u.ID() {
			return
		}
		if u, err := s.Resume(scope, id); !errors.Is(err, ErrNotFound) {
			t.Fatalf("resume %q of %q: %v, %v", id, scope, u, err)
		}
		if n := len(s.sessions.byKey); n != 1 {
			t.Fatalf("%d sessions are remembered", n)
		}
		key, ok := parseUploadKey(scope, id)
		if !ok {
			return
		}
		if !ours.MatchString(key.path(digest.SHA256)) {
			t.Fatalf("%q becomes %q", id, key.path(digest.SHA256))
		}
		back, alg, ok := parseUploadFile(filepath.Base(key.path(digest.SHA512)))
		if !ok || back != key || alg != digest.SHA512 || back.id() != id {
			t.Fatalf("%q is read back as %q %q %v", key, back, alg, ok)
		}
	})
}
