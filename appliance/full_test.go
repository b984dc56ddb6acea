package appliance_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"skerry.dev/skerry/appliance"
)

const mib = 1 << 20

// I9: a full disk stops writes, not life. Uploads get 507 while there is still
// room for everything else; with no room at all, pulls go on, and deleting and
// collecting make room again.
func TestAFullDiskStopsWritesNotLife(t *testing.T) {
	data := disk(t, "160m")
	cfg := appliance.Config{
		Data: data, LogSegmentBytes: mib, Grace: time.Millisecond, DiskSoft: 80, DiskHigh: 90, DiskCritical: 95,
	}
	n := start(t, cfg)
	first := []byte("what was there before")
	n.push("full/kept", "1", first)

	// Until the registry itself says that the disk is full.
	pushed := 0
	for ; ; pushed++ {
		content := bytes.Repeat([]byte{byte(pushed)}, 4*mib)
		status, answer := n.putBlob("full/heap", content)
		if status == http.StatusInsufficientStorage {
			if !strings.Contains(answer, "disk") {
				t.Errorf("507 does not say why: %s", answer)
			}
			break
		}
		if status != http.StatusCreated || pushed > 100 {
			t.Fatalf("upload %d: status %d: %s", pushed, status, answer)
		}
		n.want(http.StatusCreated, http.MethodPut, heapTag(pushed), manifestType, manifestOf(content))
	}
	eventually(t, "writes are reported as not ready", func() bool {
		status, _ := n.do(http.MethodGet, "/readyz/writes", "", nil)
		return status == http.StatusServiceUnavailable
	})
	n.want(http.StatusOK, http.MethodGet, "/readyz", "", nil)

	// Somebody else takes the rest, to the last byte.
	hog := filepath.Join(filepath.Dir(data), "hog")
	fill(t, hog)
	eventually(t, "moving a tag is refused too", func() bool {
		status, _ := n.do(http.MethodPut, "/v2/full/kept/manifests/2", manifestType, manifestOf(first))
		return status == http.StatusInsufficientStorage
	})
	if got := n.want(http.StatusOK, http.MethodGet, blobPath("full/kept", first), "", nil); got != string(first) {
		t.Errorf("pulled %q", got)
	}
	n.want(http.StatusOK, http.MethodGet, "/v2/full/kept/manifests/1", "", nil)

	// It also starts on a disk like that.
	n.stop()
	n = start(t, cfg)
	if got := n.want(http.StatusOK, http.MethodGet, blobPath("full/kept", first), "", nil); got != string(first) {
		t.Errorf("pulled %q after a restart", got)
	}

	// Deletes and a collection find room in the reserve.
	for i := range pushed {
		n.want(http.StatusAccepted, http.MethodDelete, heapTag(i), "", nil)
		d := digestOf(manifestOf(bytes.Repeat([]byte{byte(i)}, 4*mib)))
		n.want(http.StatusAccepted, http.MethodDelete, "/v2/full/heap/manifests/"+d, "", nil)
	}
	collect := func() string {
		return n.want(http.StatusOK, http.MethodPost, "/apis/skerry.dev/v1/collect", "application/json", []byte("{}"))
	}
	eventually(t, "the collection freed the blobs", func() bool {
		collect()
		status, _ := n.do(http.MethodGet, blobPath("full/heap", bytes.Repeat([]byte{0}, 4*mib)), "", nil)
		return status == http.StatusNotFound
	})
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	eventually(t, "pushes work again", func() bool {
		status, _ := n.putBlob("full/kept", []byte("after"))
		return status == http.StatusCreated
	})
	n.push("full/kept", "2", []byte("after"))
	n.stop()
	checkClean(t, data)
}

func heapTag(i int) string { return fmt.Sprintf("/v2/full/heap/manifests/t%d", i) }

// fill writes a file until the disk has no byte left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := mib; size > 0; size /= 4 {
		for b := make([]byte, size); err == nil; {
			_, err = f.Write(b)
		}
		err = nil
	}
}

// looks is how often eventually looks.
const looks = 150

// eventually waits for what a background loop brings about. Between two looks are a
// tenth of a second and a sync of the disk: 15 s and a bit where there is nothing else
// to do, and more on a machine whose processors and disk are busy, as what is waited
// for takes more there.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	pace, err := os.Create(filepath.Join(t.TempDir(), "pace"))
	if err != nil {
		t.Fatal(err)
	}
	defer pace.Close()
	begun := time.Now()
	for range looks {
		if is() {
			return
		}
		<-time.After(100 * time.Millisecond)
		if _, err := pace.WriteAt([]byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		if err := pace.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("waited in vain, %d looks in %s: %s", looks, time.Since(begun), what)
}

// checkClean fails the test when the data violates an invariant.
func checkClean(t *testing.T, data string) {
	t.Helper()
	err := appliance.Check(context.WithoutCancel(t.Context()), data, appliance.Storage{}, quiet(), func(p problem) {
		t.Errorf("check: %s %s: %s", p.Invariant, p.Where, p.What)
	})
	if err != nil {
		t.Error(err)
	}
}

// Of many small images the deletes take far more metadata than one, and the collection condemns a
// hundred blobs at a time. All of it gets through with no room but half the reserve, and makes room.
func TestAFullDiskIsEmptiedOfManyImages(t *testing.T) {
	const images, layers = 300, 10
	data := disk(t, "160m")
	n := start(t, appliance.Config{
		Data: data, LogSegmentBytes: mib, Grace: time.Millisecond, DiskSoft: 80, DiskHigh: 90, DiskCritical: 95,
	})
	var paths []string
	for i := range images {
		var digests []string
		for l := range layers {
			content := bytes.Repeat(fmt.Appendf(nil, "image %d layer %d ", i, l), 400)
			if status, answer := n.putBlob("many/small", content); status != http.StatusCreated {
				t.Fatalf("push blob: status %d: %s", status, answer)
			}
			digests = append(digests, digestOf(content))
		}
		image := imageOf(digests)
		n.want(http.StatusCreated, http.MethodPut, fmt.Sprintf("/v2/many/small/manifests/t%d", i), manifestType, image)
		paths = append(paths, "/v2/many/small/manifests/"+digestOf(image))
	}
	hog := filepath.Join(filepath.Dir(data), "hog")
	fill(t, hog)
	eventually(t, "the reserve is given up", func() bool { return strings.Contains(n.status(), `"reserveBytes":0`) })
	if freeBytes(t, data) < 4*mib { // it was, while the disk was being filled, and went with it
		if err := os.Truncate(hog, 0); err != nil {
			t.Fatal(err)
		}
	}
	more := make([]byte, freeBytes(t, data)-4*mib)
	if err := os.WriteFile(filepath.Join(filepath.Dir(data), "more"), more, 0o600); err != nil {
		t.Fatal(err)
	}
	before := freeBytes(t, data)
	for _, path := range paths {
		n.want(http.StatusAccepted, http.MethodDelete, path, "", nil)
	}
	eventually(t, "the collection freed every blob", func() bool {
		n.want(http.StatusOK, http.MethodPost, "/apis/skerry.dev/v1/collect", "application/json", []byte("{}"))
		return strings.Contains(n.status(), `"Blobs":0`)
	})
	if now := freeBytes(t, data); now < before+images*layers*4096 {
		t.Errorf("%d bytes free before, %d after", before, now)
	}
	n.stop()
	checkClean(t, data)
}

// imageOf is a manifest with so many layers.
func imageOf(layers []string) []byte {
	var list []string
	for _, d := range layers {
		list = append(list, fmt.Sprintf(`{"mediaType":"application/octet-stream","digest":%q,"size":1}`, d))
	}
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`,
		manifestType, list[0], strings.Join(list[1:], ","))
}

// freeBytes is what the disk of a directory has left.
func freeBytes(t *testing.T, dir string) int64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Frsize
}
