package appliance_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/meta"
)

type problem = meta.Problem

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func digestOf(b []byte) string { return digest.FromBytes(b).String() }

func TestADataDirectoryHasOneUser(t *testing.T) {
	n := start(t, appliance.Config{Data: filepath.Join(t.TempDir(), "data")})
	_, err := appliance.Open(t.Context(), appliance.Config{Data: n.data, Listen: "127.0.0.1:0"}, quiet())
	var used *appliance.InUseError
	if !errors.As(err, &used) || used.PID == "" {
		t.Fatalf("second user: %v, want an InUseError that names the first", err)
	}
	n.want(http.StatusOK, http.MethodGet, "/v2/", "", nil) // the first does not mind
}

func TestReadOnlyRefusesWritesAndServesReads(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	n := start(t, appliance.Config{Data: data})
	content := []byte("read only")
	n.push("ro/app", "1", content)
	n.stop()

	n = start(t, appliance.Config{Data: data, ReadOnly: true})
	n.want(http.StatusOK, http.MethodGet, "/v2/ro/app/manifests/1", "", nil)
	n.want(http.StatusOK, http.MethodGet, blobPath("ro/app", content), "", nil)
	n.want(http.StatusOK, http.MethodGet, "/v2/ro/app/tags/list", "", nil)
	for _, c := range []struct{ method, path string }{
		{http.MethodPost, "/v2/ro/app/blobs/uploads/"},
		{http.MethodPut, "/v2/ro/app/manifests/2"},
		{http.MethodDelete, "/v2/ro/app/manifests/1"},
		{http.MethodDelete, blobPath("ro/app", content)},
	} {
		answer := n.want(http.StatusMethodNotAllowed, c.method, c.path, manifestType, manifestOf(content))
		if !strings.Contains(answer, "UNSUPPORTED") || !strings.Contains(answer, "read-only") {
			t.Errorf("%s %s does not say why: %s", c.method, c.path, answer)
		}
	}
	n.want(http.StatusServiceUnavailable, http.MethodGet, "/readyz/writes", "", nil)
}

// A registry must not come up empty, or with a part of the truth, because a
// file is damaged: it refuses and says what to do.
func TestDamagedDataRefusesToStart(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(data string) error
	}{
		{"checkpoint file cut off", func(data string) error {
			return os.Truncate(filepath.Join(data, "meta", "CURRENT"), 10)
		}},
		{"checkpoint file gone", func(data string) error { return os.Remove(filepath.Join(data, "meta", "CURRENT")) }},
		{"database cut off", func(data string) error { return os.Truncate(databaseFile(data), 4096) }},
		{"database gone", func(data string) error { return os.Remove(databaseFile(data)) }},
		{"log gone, metadata there", func(data string) error { return os.RemoveAll(filepath.Join(data, "raft")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			n := start(t, appliance.Config{Data: data})
			n.push("a/b", "1", []byte("x"))
			n.stop()
			if err := c.harm(data); err != nil {
				t.Fatal(err)
			}
			a, err := appliance.Open(t.Context(), appliance.Config{Data: data, Listen: "127.0.0.1:0"}, quiet())
			if err == nil {
				t.Fatal("it started", a.Close())
			}
			if !strings.Contains(err.Error(), "restore") {
				t.Errorf("the error does not say what to do: %v", err)
			}
		})
	}
}

// A log that was never cut holds everything: without its database, the
// metadata is built again from it.
func TestAWholeLogRebuildsTheMetadata(t *testing.T) {
	n := start(t, appliance.Config{Data: filepath.Join(t.TempDir(), "data")})
	n.push("a/b", "1", []byte("x"))
	n.stop()
	if err := os.RemoveAll(filepath.Join(n.data, "meta")); err != nil {
		t.Fatal(err)
	}
	n = start(t, appliance.Config{Data: n.data})
	n.want(http.StatusOK, http.MethodGet, "/v2/a/b/manifests/1", "", nil)
	n.want(http.StatusOK, http.MethodGet, blobPath("a/b", []byte("x")), "", nil)
}

// databaseFile is the only file in meta beside CURRENT.
func databaseFile(data string) string {
	found := ""
	_ = filepath.WalkDir(filepath.Join(data, "meta"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "CURRENT" {
			found = path
		}
		return err
	})
	return found
}

// A blob whose bytes rot is found by a scrub, is not served, is named, and
// heals when it is pushed again (I6).
func TestRotIsFoundAndHealed(t *testing.T) {
	n := start(t, appliance.Config{Data: filepath.Join(t.TempDir(), "data")})
	content := []byte("these bytes will rot")
	n.push("rot/app", "1", content)
	hex := digest.FromBytes(content).Encoded()
	file := filepath.Join(n.data, "storage", "blobs", "sha256", hex[:2], hex)
	if err := os.WriteFile(file, []byte("those bytes will rot"), 0o600); err != nil {
		t.Fatal(err)
	}
	answer := n.want(http.StatusOK, http.MethodPost, "/apis/skerry.dev/v1/scrub", "application/json", []byte("{}"))
	if !strings.Contains(answer, `"damaged":["sha256:`+hex) {
		t.Errorf("scrub did not name the blob: %s", answer)
	}
	if status, body := n.do(http.MethodGet, blobPath("rot/app", content), "", nil); status < 500 {
		t.Errorf("damaged blob: status %d, %q", status, body)
	}
	if status := n.status(); !strings.Contains(status, hex) {
		t.Errorf("status does not name the blob: %s", status)
	}
	n.push("rot/app", "1", content)
	if got := n.want(http.StatusOK, http.MethodGet, blobPath("rot/app", content), "", nil); got != string(content) {
		t.Errorf("after the push: %q", got)
	}
	if status := n.status(); strings.Contains(status, hex) {
		t.Errorf("status still names the healed blob: %s", status)
	}
}

// A file that no metadata knows, left by a push that never finished, is
// removed by a scrub once it is old.
func TestOrphansAreRemoved(t *testing.T) {
	n := start(t, appliance.Config{Data: filepath.Join(t.TempDir(), "data")})
	n.push("o/app", "1", []byte("kept"))
	orphan := digest.FromString("orphan").Encoded()
	file := filepath.Join(n.data, "storage", "blobs", "sha256", orphan[:2], orphan)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("orphan"), 0o600); err != nil {
		t.Fatal(err)
	}
	scrub := func() {
		n.want(http.StatusOK, http.MethodPost, "/apis/skerry.dev/v1/scrub", "application/json", []byte("{}"))
	}
	scrub()
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("a young file went: %v", err)
	}
	n.stop()
	n = start(t, appliance.Config{Data: n.data, OrphanAge: time.Nanosecond})
	scrub()
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an old orphan stayed: %v", err)
	}
	n.want(http.StatusOK, http.MethodGet, blobPath("o/app", []byte("kept")), "", nil)
}
