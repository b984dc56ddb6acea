package meta_test

import (
	"context"
	_ "crypto/sha512" // registers sha384 and sha512
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

func TestPushIsReadBackByTagAndDigest(t *testing.T) {
	w := newWorld(t)
	w.blob("team/app", "config")
	w.blob("team/app", "layer")
	p := image("team/app", "one", []meta.Tag{"v1", "latest"}, "config", "layer")
	w.must(w.PutManifest(t.Context(), p))
	at := w.now()
	w.pass(time.Minute)

	byTag, err := w.TagManifest("team/app", "v1")
	w.must(err)
	byDigest, err := w.Manifest("team/app", p.Digest)
	w.must(err)
	for _, m := range []meta.Manifest{byTag, byDigest} {
		if m.Digest != p.Digest || !slices.Equal(m.Payload, p.Payload) || m.MediaType != p.MediaType ||
			!m.Pushed.Equal(at) || m.Actor != "alice" || m.Subject != "" {
			t.Errorf("read %+v", m)
		}
	}
	info, err := w.ResolveTag("team/app", "latest")
	w.must(err)
	want := meta.TagInfo{
		Tag: "latest", Digest: p.Digest, MediaType: p.MediaType, Size: int64(len(p.Payload)),
		Generation: 1, Time: info.Time, Actor: "alice",
	}
	if info != want || !info.Time.Equal(at) {
		t.Errorf("tag is %+v, want %+v", info, want)
	}
	m, size, err := w.StatTag("team/app", "v1")
	w.must(err)
	if m.Digest != p.Digest || m.Payload != nil || size != int64(len(p.Payload)) {
		t.Errorf("stat of tag: %+v size %d", m, size)
	}
	m, size, err = w.StatManifest("team/app", p.Digest)
	w.must(err)
	if m.Digest != p.Digest || m.Payload != nil || size != int64(len(p.Payload)) {
		t.Errorf("stat of manifest: %+v size %d", m, size)
	}
	b, err := w.Blob("team/app", p.Blobs[0])
	w.must(err)
	if b.Size != int64(len("config")) || !b.Lease.Equal(at.Add(grace)) {
		t.Errorf("blob %+v", b)
	}
	tags, more, err := w.Tags("team/app", "", 10)
	w.must(err)
	if !slices.Equal(tags, []meta.Tag{"latest", "v1"}) || more {
		t.Errorf("tags %v more %v", tags, more)
	}
	names, more, err := w.Repositories("", 10)
	w.must(err)
	if !slices.Equal(names, []meta.RepoName{"team/app"}) || more {
		t.Errorf("repositories %v more %v", names, more)
	}
}

func TestManifestWithMissingBlobsWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.blob("a", "here")
	w.blob("b", "elsewhere")
	p := image("a", "one", []meta.Tag{"v1"}, "here", "nowhere", "elsewhere")
	err := w.PutManifest(t.Context(), p)
	var missing *meta.MissingError
	if !errors.As(err, &missing) || !slices.Equal(missing.Digests, p.Blobs[1:]) {
		t.Errorf("error %v, want the two missing", err)
	}
	_, err = w.TagManifest("a", "v1")
	w.wants(err, meta.ErrNotFound)
	_, err = w.Manifest("a", p.Digest)
	w.wants(err, meta.ErrNotFound)
	w.wants(w.PutManifest(t.Context(), manifest("A", "x", nil)), meta.ErrName)
	p.Digest = "sha256:short"
	w.wants(w.PutManifest(t.Context(), p), meta.ErrName)
}

func TestAccountsAndSecrets(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	_, err := w.Account("bob")
	w.wants(err, meta.ErrNotFound)
	w.must(w.PutAccount(ctx, meta.Account{Name: "bob", Secret: "x$1"}))
	born := w.now()
	w.pass(time.Hour)
	w.must(w.PutAccount(ctx, meta.Account{Name: "bob", Secret: "x$2", Admin: true}))
	a, err := w.Account("bob")
	w.must(err)
	if a.Secret != "x$2" || !a.Admin || !a.Created.Equal(born) {
		t.Errorf("account %+v", a)
	}
	w.must(w.PutAccount(ctx, meta.Account{Name: "al"}))
	all, err := w.Accounts()
	w.must(err)
	if len(all) != 2 || all[0].Name != "al" || !reflect.DeepEqual(all[1], a) {
		t.Errorf("accounts %+v", all)
	}
	w.wants(w.DeleteAccount(ctx, "bob", "al"), meta.ErrConflict) // nobody else administers
	w.must(w.PutAccount(ctx, meta.Account{Name: "al", Admin: true}))
	w.must(w.DeleteAccount(ctx, "bob", "al"))
	w.wants(w.DeleteAccount(ctx, "bob", "al"), meta.ErrNotFound)
	w.wants(w.PutAccount(ctx, meta.Account{}), meta.ErrName)

	_, err = w.Secret("key")
	w.wants(err, meta.ErrNotFound)
	for _, offered := range []string{"first", "second"} {
		got, err := w.InitSecret(ctx, "key", []byte(offered))
		w.must(err)
		if string(got) != "first" {
			t.Errorf("secret %q, want the first stored", got)
		}
	}
	got, err := w.Secret("key")
	w.must(err)
	if string(got) != "first" {
		t.Errorf("secret %q", got)
	}
}

func TestSecretsCanBeReplacedListedAndDeleted(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for _, name := range []string{"acme/b", "acme/a", "acme-not", "other"} {
		w.must(w.PutSecret(ctx, name, []byte("old")))
	}
	w.must(w.PutSecret(ctx, "acme/a", []byte("new")))
	got, err := w.Secret("acme/a")
	w.must(err)
	if string(got) != "new" {
		t.Errorf("secret %q, want the last stored", got)
	}
	names, err := w.Secrets("acme/")
	w.must(err)
	if !slices.Equal(names, []string{"acme/a", "acme/b"}) {
		t.Errorf("secrets %q", names)
	}
	w.must(w.DeleteSecret(ctx, "acme/a"))
	_, err = w.Secret("acme/a")
	w.wants(err, meta.ErrNotFound)
	w.wants(w.DeleteSecret(ctx, "acme/a"), meta.ErrNotFound)
	w.wants(w.PutSecret(ctx, "", nil), meta.ErrName)
	w.wants(w.PutSecret(ctx, strings.Repeat("n", 1025), nil), meta.ErrName)
	w.wants(w.PutSecret(ctx, "large", make([]byte, 64<<10+1)), meta.ErrName)
}

func TestLocksAreHeldByOneUntilTheyEnd(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.must(w.TakeLock(ctx, "l", "a", time.Minute))
	w.wants(w.TakeLock(ctx, "l", "b", time.Minute), meta.ErrConflict)
	w.must(w.TakeLock(ctx, "other", "b", time.Minute))
	w.pass(50 * time.Second)
	w.must(w.TakeLock(ctx, "l", "a", time.Minute)) // prolonged
	w.pass(50 * time.Second)
	w.wants(w.TakeLock(ctx, "l", "b", time.Minute), meta.ErrConflict)
	w.pass(10 * time.Second)
	w.must(w.TakeLock(ctx, "l", "b", time.Minute)) // a is gone
	w.wants(w.DropLock(ctx, "l", "a"), meta.ErrNotFound)
	w.wants(w.TakeLock(ctx, "l", "a", time.Minute), meta.ErrConflict)
	w.must(w.DropLock(ctx, "l", "b"))
	w.wants(w.DropLock(ctx, "l", "b"), meta.ErrNotFound)
	w.must(w.TakeLock(ctx, "l", "a", time.Minute))
	w.pass(-time.Hour) // a clock set back frees nobody's lock
	w.wants(w.TakeLock(ctx, "l", "b", time.Minute), meta.ErrConflict)
	w.wants(w.TakeLock(ctx, "", "a", time.Minute), meta.ErrName)
	w.wants(w.TakeLock(ctx, "l", "", time.Minute), meta.ErrName)
	w.wants(w.TakeLock(ctx, "l", "a", -time.Minute), meta.ErrName)
}

func TestSameDigestMayBeBlobAndManifest(t *testing.T) {
	w := newWorld(t)
	p := manifest("a", "both", nil)
	w.must(w.LinkBlob(t.Context(), "a", p.Digest, int64(len(p.Payload)), ""))
	_, err := w.Manifest("a", p.Digest)
	w.wants(err, meta.ErrNotFound)
	w.must(w.PutManifest(t.Context(), p))
	_, err = w.Manifest("a", p.Digest)
	w.must(err)
	_, err = w.Blob("a", p.Digest)
	w.must(err)
}

func TestEveryAlgorithmIsADigest(t *testing.T) {
	w := newWorld(t)
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
		d := a.FromString("x")
		w.must(w.LinkBlob(t.Context(), "a", d, 1, ""))
		b, err := w.Blob("a", d)
		w.must(err)
		if b.Digest != d {
			t.Errorf("blob %s", b.Digest)
		}
	}
}
