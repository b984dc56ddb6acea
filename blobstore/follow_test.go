package blobstore_test

import (
	"errors"
	"io"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
)

func TestFollowerReadsWhatIsWrittenAndKeepsItAcrossCommit(t *testing.T) {
	s, u := followed(t)
	f, err := u.Follow()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	text := "bytes that come in two parts"
	for _, part := range []string{text[:7], text[7:]} {
		if _, err := io.WriteString(u, part); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, u.Size())
		if _, err := f.ReadAt(got, 0); err != nil || string(got) != text[:len(got)] {
			t.Errorf("after %d bytes it reads %q (%v)", len(got), got, err)
		}
	}
	d := digest.FromString(text)
	pin, err := u.Commit(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	pin.Release()
	if _, err := s.Remove(t.Context(), d, func() (bool, error) { return false, nil }); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || string(got) != text {
		t.Errorf("after the blob was removed it reads %q (%v), want all of it", got, err)
	}
	if _, err := u.Follow(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("following an upload that has ended: %v, want %v", err, os.ErrClosed)
	}
}

func TestCheckSaysWhatCommitWouldAndKeepsTheUpload(t *testing.T) {
	_, u := followed(t)
	if _, err := io.WriteString(u, "right"); err != nil {
		t.Fatal(err)
	}
	for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA512, digest.SHA256} {
		if err := u.Check(alg.FromString("wrong")); !errors.Is(err, blobstore.ErrDigest) {
			t.Errorf("%s of other bytes: %v, want %v", alg, err, blobstore.ErrDigest)
		}
		if err := u.Check(alg.FromString("right")); err != nil {
			t.Errorf("%s of these bytes: %v", alg, err)
		}
	}
	pin, err := u.Commit(t.Context(), digest.FromString("right"))
	if err != nil {
		t.Fatalf("commit after checks: %v", err)
	}
	pin.Release()
}

func followed(t *testing.T) (*blobstore.Store, *blobstore.Upload) {
	t.Helper()
	s, err := blobstore.Open(blobstore.Config{Dir: t.TempDir(), Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	u, err := s.Create("follow", "", -1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(u.Cancel(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return s, u
}
