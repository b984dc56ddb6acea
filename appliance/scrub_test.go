package appliance_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/meta"
)

// A check that runs beside a collection tells of no loss.
func TestWhatIsCollectedDuringACheckIsNotMissed(t *testing.T) {
	n := start(t, appliance.Config{Data: filepath.Join(t.TempDir(), "data"), Grace: time.Millisecond})
	for _, content := range []string{"one", "two", "three"} {
		if status, answer := n.putBlob("a/b", []byte(content)); status != http.StatusCreated {
			t.Fatalf("push: %d %s", status, answer)
		}
	}
	looked := 0
	err := n.a.Expected(context.WithoutCancel(t.Context()), func(b meta.Blob, present bool) {
		if !present {
			t.Errorf("%s is missed", b.Digest)
		}
		if looked++; looked > 1 {
			return
		}
		eventually(t, "all is collected", func() bool {
			n.want(http.StatusOK, http.MethodPost, "/apis/skerry.dev/v1/collect", "application/json", []byte("{}"))
			stats, err := n.a.Stats() // to ask a pusher's question of a blob would keep it
			return err == nil && stats.Blobs == 0
		})
	})
	if err != nil || looked != 1 {
		t.Errorf("looked at %d blobs, error %v", looked, err)
	}
}

// A pass takes half a month: a restart goes on where the process before stopped.
func TestTheSlowScrubGoesOnAfterARestart(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	n := start(t, appliance.Config{Data: data})
	var blobs []digest.Digest
	for _, content := range []string{"one", "two", "three"} {
		n.push("a/"+content, "1", []byte(content))
		blobs = append(blobs, digest.FromString(content))
		rot := strings.Repeat("x", len(content))
		if err := os.WriteFile(blobFile(data, []byte(content)), []byte(rot), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.stop()
	slices.Sort(blobs)
	note := func(s string) {
		if err := os.WriteFile(filepath.Join(data, "scrub"), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	quarantined := func(want ...digest.Digest) {
		t.Helper()
		n = start(t, appliance.Config{Data: data})
		eventually(t, fmt.Sprint("the scrub finds ", want), func() bool {
			found := n.status()
			return !slices.ContainsFunc(want, func(d digest.Digest) bool { return !strings.Contains(found, d.String()) })
		})
		if found := n.status(); strings.Count(found, "sha256:") != len(want) {
			t.Errorf("want %s, found %s", want, found)
		}
		n.stop()
	}
	quarantined() // the first is not due
	note(fmt.Sprintf(`{"after":%q,"done":"2020-01-01T00:00:00Z"}`, blobs[1]))
	quarantined(blobs[2])
	note(`{"done":"2020-01-01T00:00:00Z"}`) // long overdue
	quarantined(blobs...)
	quarantined(blobs...)
	after, err := os.ReadFile(filepath.Join(data, "scrub"))
	if err != nil || strings.Contains(string(after), "after") || strings.Contains(string(after), "2020") {
		t.Errorf("noted %s (%v)", after, err)
	}
}
