package blobstore_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
)

func open(t *testing.T, dir string) *blobstore.Store {
	t.Helper()
	s, err := blobstore.Open(blobstore.Config{Dir: dir, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func noise(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.Read(p)
	return p
}

func TestUploadIsReadAgainAfterRestart(t *testing.T) {
	dir := t.TempDir()
	data := noise(3 << 20)
	s := open(t, dir)
	u, err := s.Create("r", "", int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.ReadFrom(bytes.NewReader(data[:1<<20])); err != nil {
		t.Fatal(err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	if _, err := s.Resume("other", u.ID()); !errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("resume in another scope: %v, want ErrNotFound", err)
	}
	u, err = s.Resume("r", u.ID())
	if err != nil {
		t.Fatal(err)
	}
	if u.Size() != 1<<20 {
		t.Fatalf("size after restart: %d", u.Size())
	}
	if _, err := u.ReadFrom(bytes.NewReader(data[1<<20:])); err != nil {
		t.Fatal(err)
	}
	d := digest.FromBytes(data)
	pin, err := u.Commit(d)
	if err != nil {
		t.Fatal(err)
	}
	pin.Release()
	f, err := s.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read back: %d bytes, %v", len(got), err)
	}
}
