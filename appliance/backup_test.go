package appliance_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance"
)

// A slowBackup is one whose client has read the first bytes, and waits.
type slowBackup struct {
	n    *node
	body io.ReadCloser
	read bytes.Buffer
}

// beginBackup begins one that cannot end before the rest is read: the first blob
// is larger than what the connection buffers.
func (n *node) beginBackup() *slowBackup {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, n.url+"/apis/skerry.dev/v1/backup", nil)
	if err != nil {
		n.t.Fatal(err)
	}
	req.SetBasicAuth("admin", n.password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	b := &slowBackup{n: n, body: resp.Body}
	n.t.Cleanup(func() { _ = b.body.Close() })
	if _, err := io.CopyN(&b.read, b.body, 1<<10); err != nil {
		n.t.Fatal(err)
	}
	return b
}

// restore reads the rest and restores it into a new directory.
func (b *slowBackup) restore() (data string, report *appliance.RestoreReport) {
	t := b.n.t
	t.Helper()
	if _, err := io.Copy(&b.read, b.body); err != nil {
		t.Fatalf("the backup broke off: %v", err)
	}
	data = filepath.Join(t.TempDir(), "restored")
	report, err := appliance.Restore(t.Context(), data, appliance.Storage{}, &b.read, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return data, report
}

const large = 48 * mib

func TestABackupGoesOnPastABlobThatCannotBeRead(t *testing.T) {
	n := start(t, appliance.Config{Data: filepath.Join(t.TempDir(), "data")})
	first, later := bytes.Repeat([]byte("x"), large), []byte("later")
	n.push("a/first", "1", first)
	n.push("a/later", "1", later)
	b := n.beginBackup()
	if err := os.Truncate(blobFile(n.data, first), 40*mib); err != nil {
		t.Fatal(err)
	}
	data, report := b.restore()
	if len(report.Damaged) != 1 || report.Damaged[0] != digest.FromBytes(first) || report.Blobs != 1 {
		t.Errorf("restored %+v", report)
	}
	if got, err := os.ReadFile(blobFile(data, later)); err != nil || !bytes.Equal(got, later) {
		t.Errorf("restored %q (%v)", got, err)
	}
}

// blobFile is where a blob rests.
func blobFile(data string, content []byte) string {
	enc := digest.FromBytes(content).Encoded()
	return filepath.Join(data, "storage", "blobs", "sha256", enc[:2], enc)
}

func TestABackupHoldsWhatIsDeletedMeanwhile(t *testing.T) {
	n := start(t, appliance.Config{
		Data: filepath.Join(t.TempDir(), "data"), Grace: time.Millisecond, OrphanAge: time.Nanosecond,
	})
	n.push("a/first", "1", bytes.Repeat([]byte("x"), large))
	later := []byte("later")
	n.push("a/later", "1", later)
	b := n.beginBackup()
	n.want(http.StatusAccepted, http.MethodDelete, "/v2/a/later/manifests/"+digestOf(manifestOf(later)), "", nil)
	const api = "/apis/skerry.dev/v1/"
	eventually(t, "the blob is collected", func() bool {
		n.want(http.StatusOK, http.MethodPost, api+"collect", "application/json", []byte("{}"))
		status, _ := n.do(http.MethodGet, blobPath("a/later", later), "", nil) // HEAD would keep it
		return status == http.StatusNotFound
	})
	n.want(http.StatusOK, http.MethodPost, api+"scrub", "application/json", []byte("{}"))
	if _, report := b.restore(); report.Blobs != 2 || len(report.Damaged) > 0 {
		t.Errorf("restored %+v", report)
	}
}

// An open snapshot would keep every page that pushes replace.
func TestADatabaseDoesNotGrowWithEveryPushWhileABackupCopiesBlobs(t *testing.T) {
	n := start(t, appliance.Config{Data: filepath.Join(t.TempDir(), "data")})
	n.push("a/first", "1", bytes.Repeat([]byte("x"), large))
	b := n.beginBackup()
	size := func() int64 {
		st, err := n.a.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return st.DatabaseBytes
	}
	before := size()
	for i := range 300 { // 24 MiB, if nothing were used again
		n.push("a/more", "1", fmt.Append(nil, i))
		if i%100 == 99 {
			<-time.After(1200 * time.Millisecond) // a checkpoint
		}
	}
	if grown := size() - before; grown > 12*mib {
		t.Errorf("grew by %d KiB", grown>>10)
	}
	b.restore()
}
