package appliance_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/blobstore"
)

func TestStorageThatCannotBeIsNamed(t *testing.T) {
	s3 := appliance.Storage{Kind: appliance.StorageS3, Bucket: "b", Region: "eu-west-1"}
	with := func(change func(*appliance.Storage)) appliance.Storage {
		s := s3
		change(&s)
		return s
	}
	for key, s := range map[string]appliance.Storage{
		"":                   s3,
		"storage-bucket":     with(func(s *appliance.Storage) { s.Bucket = "" }),
		"storage-region":     with(func(s *appliance.Storage) { s.Region = "" }),
		"storage-key-id":     with(func(s *appliance.Storage) { s.KeyID = "AKIA" }),
		"storage-chunk-mib":  with(func(s *appliance.Storage) { s.ChunkMiB = 4 }),
		"storage-endpoint":   with(func(s *appliance.Storage) { s.Endpoint = "minio:9000" }),
		"storage-prefix":     with(func(s *appliance.Storage) { s.Prefix = "a/../b" }),
		"storage-prefix ":    with(func(s *appliance.Storage) { s.Prefix = "/a" }),
		"storage-prefix  ":   with(func(s *appliance.Storage) { s.Prefix = "a//b" }),
		"storage-prefix   ":  with(func(s *appliance.Storage) { s.Prefix = "a b" }),
		"storage-account":    {Kind: appliance.StorageAzure, Bucket: "b"},
		"storage-key":        {Kind: appliance.StorageGCS, Bucket: "b", Key: "k"},
		"storage-bucket    ": {Bucket: "b"},
	} {
		found := s.Conflicts()
		if key == "" {
			if len(found) != 0 {
				t.Errorf("%+v: %v", s, found)
			}
			continue
		}
		if len(found) != 1 || found[0].Keys[0] != strings.TrimSpace(key) {
			t.Errorf("%+v: %v, want one conflict, of %s", s, found, key)
		}
	}
}

func TestReachOfTheLocalDiskIsFine(t *testing.T) {
	if err := (appliance.Storage{}).Reach(t.Context()); err != nil {
		t.Error(err)
	}
	missing := appliance.Storage{
		Kind: appliance.StorageS3, Bucket: "b", Endpoint: "http://127.0.0.1:1", KeyID: "k",
		KeyFile: filepath.Join(t.TempDir(), "none"),
	}
	if err := missing.Reach(t.Context()); !errors.Is(err, blobstore.ErrRefused) {
		t.Errorf("with a key that cannot be read: %v", err)
	}
}

func TestDataThatDoesNotLastIsNamed(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "skerry-") //nolint:usetesting // it has to be in memory
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n := start(t, appliance.Config{Data: dir, LogSegmentBytes: 1 << 20})
	if s := n.status(); !strings.Contains(s, `"ephemeral":"tmpfs"`) && !strings.Contains(s, `"ephemeral": "tmpfs"`) {
		t.Errorf("status does not tell: %s", s)
	}
}
