package blobstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/blobstore/blobstoretest"
)

func pathOf(dir string, d digest.Digest) string {
	return filepath.Join(dir, "blobs", d.Algorithm().String(), d.Encoded()[:2], d.Encoded())
}

// rot changes the file of a blob behind the store's back.
func rot(t *testing.T, dir string, d digest.Digest, change func(f *os.File) error) {
	t.Helper()
	f, err := os.OpenFile(pathOf(dir, d), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(change(f), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func flipBit(f *os.File) error {
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, 300_000); err != nil {
		return err
	}
	b[0] ^= 1
	_, err := f.WriteAt(b, 300_000)
	return err
}

func TestRottenBytesAreQuarantinedAndHealedByAPush(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	data := blobstoretest.Noise(1 << 20)
	rots := map[string]func(f *os.File) error{
		"a flipped bit": flipBit,
		"a lost tail":   func(f *os.File) error { return f.Truncate(700_000) },
		"a longer tail": func(f *os.File) error { return f.Truncate(1<<20 + 1) },
		"all lost":      func(f *os.File) error { return f.Truncate(0) },
	}
	began := time.Now()
	d := blobstoretest.Push(t, s, data)
	n := 0
	for name, change := range rots {
		rot(t, dir, d, change)
		if err := s.Verify(t.Context(), d, nil); !errors.Is(err, blobstore.ErrDigest) {
			t.Errorf("%s: verify: %v, want ErrDigest", name, err)
		}
		if _, err := s.Stat(t.Context(), d); !errors.Is(err, blobstore.ErrNotFound) {
			t.Errorf("%s: stat after verify: %v, want ErrNotFound", name, err)
		}
		n++
		bad, err := s.Quarantined(t.Context())
		if err != nil || len(bad) != n {
			t.Fatalf("%s: quarantined %v, %v; want %d", name, bad, err, n)
		}
		if last := bad[n-1]; last.Digest != d || last.Time.Before(began.Add(-time.Second)) || last.Time.After(time.Now()) {
			t.Errorf("%s: quarantined %+v", name, last)
		}
		blobstoretest.Push(t, s, data)
		if err := s.Verify(t.Context(), d, nil); err != nil {
			t.Errorf("%s: verify after a push: %v", name, err)
		}
	}
	purged, size, err := s.PurgeQuarantine(t.Context(), time.Now().Add(time.Second))
	if purged != n || size == 0 || err != nil {
		t.Errorf("purge of quarantine: %d, %d bytes, %v; want %d", purged, size, err, n)
	}
	if bad, err := s.Quarantined(t.Context()); len(bad) != 0 || err != nil {
		t.Errorf("quarantined after purge: %v, %v", bad, err)
	}
	blobstoretest.MustHold(t, s, d, data)
}

func TestPushOverARottenBlobHealsIt(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	data := blobstoretest.Noise(1 << 20)
	d := blobstoretest.Push(t, s, data)
	rot(t, dir, d, flipBit)
	blobstoretest.Push(t, s, data)
	blobstoretest.MustHold(t, s, d, data)
}

// A scrub is slow: the blob may be pushed again while its old bytes are read.
func TestVerifyDoesNotQuarantineAPushThatCameMeanwhile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	data := blobstoretest.Noise(1 << 20)
	d := blobstoretest.Push(t, s, data)
	rot(t, dir, d, flipBit)
	ctx := &meanwhile{Context: t.Context(), do: func() { blobstoretest.Push(t, s, data) }}
	if err := s.Verify(ctx, d, blobstore.NewRate(1<<30)); err != nil {
		t.Errorf("verify: %v, want nil: the name means other bytes now", err)
	}
	if ctx.do != nil {
		t.Fatal("the push did not come between")
	}
	blobstoretest.MustHold(t, s, d, data)
	if bad, err := s.Quarantined(t.Context()); len(bad) != 0 || err != nil {
		t.Errorf("quarantined: %v, %v; want none", bad, err)
	}
}

// meanwhile does something when Verify first waits for its rate, with some
// bytes read and others not.
type meanwhile struct {
	context.Context //nolint:containedctx // it is one
	do              func()
}

func (c *meanwhile) Done() <-chan struct{} {
	if do := c.do; do != nil {
		c.do = nil
		do()
	}
	return c.Context.Done()
}

func TestVerifyKeepsToItsRate(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	d := blobstoretest.Push(t, s, blobstoretest.Noise(10<<20))
	small := blobstoretest.Push(t, s, blobstoretest.Noise(100))
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		rate := blobstore.NewRate(1 << 20)
		for range 2 {
			if err := s.Verify(t.Context(), d, rate); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took < 19*time.Second || took > 21*time.Second {
			t.Errorf("20 MiB at 1 MiB/s took %v", took)
		}
		began = time.Now()
		for range 100 {
			if err := s.Verify(t.Context(), small, rate); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("10 KB in small blobs took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.Verify(ctx, d, rate)
		if err == nil || errors.Is(err, blobstore.ErrDigest) {
			t.Errorf("verify cut short: %v", err)
		}
		if err := s.Verify(t.Context(), small, blobstore.NewRate(0)); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Stat(t.Context(), d); err != nil {
		t.Errorf("after a verify that was cut short: %v", err)
	}
}

func TestForeignFilesAreReportedAndLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	d := blobstoretest.Push(t, s, []byte("x"))
	other := digest.FromString("y").Encoded()
	misplaced := strings.Replace(pathOf(dir, d), d.Encoded(), other, 1)
	foreign := []string{
		filepath.Join(dir, "blobs", "sha256", "README"),
		filepath.Join(filepath.Dir(pathOf(dir, d)), "junk"),
		misplaced,
		filepath.Join(dir, "uploads", "junk"),
		filepath.Join(dir, "quarantine", "junk"),
	}
	for _, name := range foreign {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, time.Unix(0, 0), time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	var good []digest.Digest
	var bad []string
	for info, err := range s.All(t.Context()) {
		if err != nil {
			bad = append(bad, err.Error())
			continue
		}
		good = append(good, info.Digest)
	}
	if !slices.Equal(good, []digest.Digest{d}) || len(bad) != 3 {
		t.Errorf("listed %v and the errors %q; want one blob and three errors", good, bad)
	}
	if n, _, err := s.PurgeUploads(t.Context(), time.Now()); n != 0 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if n, _, err := s.PurgeQuarantine(t.Context(), time.Now()); n != 0 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	for _, name := range foreign {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	// Nor is what looks like a blob but is a link out of the store served.
	link := digest.FromString("link")
	if err := os.MkdirAll(filepath.Dir(pathOf(dir, link)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", pathOf(dir, link)); err != nil {
		t.Fatal(err)
	}
	if f, err := s.Open(t.Context(), link); err == nil {
		p, _ := io.ReadAll(f)
		t.Errorf("a link was followed: %d bytes, passwd: %v", len(p), bytes.Contains(p, []byte("root")))
		f.Close()
	}
}
