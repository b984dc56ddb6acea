package appliance_test

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"skerry.dev/skerry/appliance"
)

// Who is switched off before the day is over collects all the same.
func TestGarbageIsCollectedSoonAfterAStart(t *testing.T) {
	n := start(t, appliance.Config{
		Data: filepath.Join(t.TempDir(), "data"), Grace: time.Millisecond, CollectFirst: 300 * time.Millisecond,
	})
	if status, answer := n.putBlob("a/b", []byte("junk")); status != http.StatusCreated {
		t.Fatalf("push: %d %s", status, answer)
	}
	eventually(t, "it is collected", func() bool { // nobody asks for it, which would keep it
		st, err := n.a.Stats()
		return err == nil && st.Blobs == 0
	})
}
