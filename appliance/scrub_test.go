package appliance_test

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"time"

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
			status, _ := n.do(http.MethodHead, blobPath("a/b", []byte("three")), "", nil)
			return status == http.StatusNotFound
		})
	})
	if err != nil || looked != 1 {
		t.Errorf("looked at %d blobs, error %v", looked, err)
	}
}
