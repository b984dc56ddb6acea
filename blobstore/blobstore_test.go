package blobstore_test

import (
	"io"
	"log/slog"
	"testing"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/blobstore/blobstoretest"
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
			return blobstoretest.Local(s)
		}
	})
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
