package blobstore_test

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/blobstore/blobstoretest"
)

func open(t *testing.T, dir string) *blobstore.Store {
	t.Helper()
	// However full this machine's disk is: what that means, pressure_test.go asks.
	s, err := blobstore.Open(blobstore.Config{Dir: dir, Reserve: -1, Soft: 100, High: 100, Critical: 100})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	blobstoretest.Run(t, func(t *testing.T) func() blobstoretest.Store {
		t.Helper()
		dir := t.TempDir()
		var s *blobstore.Store
		return func() blobstoretest.Store {
			if s != nil {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			s = open(t, dir)
			return s
		}
	})
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func TestOpenMakesItsDirectoryAndRefusesNonsense(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "c")
	d := blobstoretest.Push(t, open(t, dir), []byte("x"))
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v; want mode 0700", info, err)
	}
	for name, cfg := range map[string]blobstore.Config{
		"no directory":            {},
		"a file":                  {Dir: filepath.Join(dir, "blobs", "sha256", d.Encoded()[:2], d.Encoded())},
		"high below soft":         {Dir: dir, Soft: 80, High: 70},
		"more than there is":      {Dir: dir, Critical: 101},
		"less than nothing":       {Dir: dir, Soft: -1},
		"critical below the rest": {Dir: dir, Critical: 85},
	} {
		if _, err := blobstore.Open(cfg); err == nil {
			t.Errorf("opened with %s", name)
		}
	}
}
