package appliance_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance"
)

// A reload reaches what waits already: with the grace and the pause that it
// brings, content that would have stayed for a day goes within moments.
func TestAReloadReachesTheLoops(t *testing.T) {
	n := start(t, appliance.Config{Data: filepath.Join(t.TempDir(), "data")})
	content := []byte("soon gone")
	n.push("reload/first", "1", []byte("by now the loops wait"))
	hex := digest.FromBytes(content).Encoded()
	file := filepath.Join(n.data, "storage", "blobs", "sha256", hex[:2], hex)
	cfg := appliance.Config{
		Data: n.data, Listen: "127.0.0.1:0", TLS: appliance.TLSOff, Node: "test",
		DiskSoft: 100, DiskHigh: 100, DiskCritical: 100,
		Grace: 2 * time.Second, CollectEvery: 50 * time.Millisecond, // a push takes less than the grace
	}
	if err := n.a.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	n.push("reload/app", "1", content)
	n.want(http.StatusAccepted, http.MethodDelete, "/v2/reload/app/manifests/"+digestOf(manifestOf(content)), "", nil)
	n.push("reload/other", "1", []byte("moves the log on"))
	eventually(t, "the blob is collected", func() bool {
		_, err := os.Stat(file)
		return errors.Is(err, fs.ErrNotExist)
	})

	cfg.ReadOnly = true
	if err := n.a.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	n.want(http.StatusMethodNotAllowed, http.MethodPost, "/v2/reload/app/blobs/uploads/", "", nil)
	n.want(http.StatusServiceUnavailable, http.MethodGet, "/readyz/writes", "", nil)
	cfg.Grace = -1
	cfg.ReadOnly = false
	if err := n.a.Reload(cfg); err == nil {
		t.Error("a negative grace was taken")
	}
	n.want(http.StatusMethodNotAllowed, http.MethodPost, "/v2/reload/app/blobs/uploads/", "", nil)
}

// Who cannot read its configuration again says so, and does not pretend.
func TestAReloadNeedsSomethingToRead(t *testing.T) {
	n := start(t, appliance.Config{Data: filepath.Join(t.TempDir(), "data")})
	n.want(http.StatusBadRequest, http.MethodPost, "/apis/skerry.dev/v1/reload", "application/json", nil)
}

// A full disk is a trouble that tells itself: the supervisor must not take it
// for a hang and kill what still serves reads.
func TestAFullDiskIsNoHang(t *testing.T) {
	data := disk(t, "64m")
	n := start(t, appliance.Config{Data: data, LogSegmentBytes: mib, DiskSoft: 80, DiskHigh: 90, DiskCritical: 95})
	n.push("full/app", "1", []byte("x"))
	fill(t, filepath.Join(filepath.Dir(data), "hog"))
	eventually(t, "writes are refused", func() bool { return n.a.State().Writes != nil })
	for i := range 300 { // until the log itself has no room
		n.do(http.MethodPut, heapTag(i), manifestType, manifestOf([]byte("x")))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := n.a.Alive(ctx); err != nil {
		t.Errorf("alive: %v", err)
	}
	if s := n.a.State(); s.Reads != nil || s.Writes == nil || s.Pressure != "critical" {
		t.Errorf("state %+v, want reads, no writes, and critical pressure", s)
	}
}

// Nothing that has ended is alive.
func TestAliveTellsAHang(t *testing.T) {
	n := start(t, appliance.Config{Data: filepath.Join(t.TempDir(), "data")})
	if err := n.a.Alive(t.Context()); err != nil {
		t.Errorf("a new registry: %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel() // no answer is quick enough for this one
	if err := n.a.Alive(over); err == nil {
		t.Error("no answer in time, and no error")
	}
}
