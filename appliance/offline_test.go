package appliance_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/meta"
)

// checked is what an offline check finds wrong with a data directory.
func checked(t *testing.T, data string) (all []meta.Problem) {
	t.Helper()
	err := appliance.Check(t.Context(), data, appliance.Storage{}, quiet(), func(p meta.Problem) { all = append(all, p) })
	if err != nil {
		t.Error("check: ", err)
	}
	return all
}

// leave takes all the room but so many bytes of the file system of dir.
func leave(t *testing.T, hog string, bytes int64) {
	t.Helper()
	fill(t, hog)
	info, err := os.Stat(hog)
	if err == nil {
		err = os.Truncate(hog, info.Size()-bytes)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Watermarks are for a registry that serves. Who checks its data, or builds a new
// directory from a backup, may have a disk that is fuller than that, and is the last
// one to be told to make room first; nor is the reserve theirs to give up.
func TestWatermarksDoNotStopCheckAndRestore(t *testing.T) {
	data := disk(t, "160m")
	hog := filepath.Join(filepath.Dir(data), "hog")
	n := start(t, appliance.Config{Data: data, LogSegmentBytes: mib})
	content := bytes.Repeat([]byte("x"), 8*mib)
	n.push("a/b", "1", content)
	var archive bytes.Buffer
	if err := n.client().Backup(t.Context(), &archive); err != nil {
		t.Fatal(err)
	}
	n.stop()
	reserve := filepath.Join(data, "storage", "reserve")
	before, err := os.Stat(reserve)
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range []int64{3 * mib, 0} { // above 95 %, and to the last byte
		leave(t, hog, room)
		if found := checked(t, data); len(found) > 0 {
			t.Errorf("with %d bytes left: %+v", room, found)
		}
		if now, err := os.Stat(reserve); err != nil || !os.SameFile(before, now) {
			t.Errorf("with %d bytes left the reserve was given up", room)
		}
	}

	other := disk(t, "512m")
	leave(t, filepath.Join(filepath.Dir(other), "hog"), 12*mib) // more than 97 %
	report, err := appliance.Restore(t.Context(), other, appliance.Storage{}, &archive, quiet())
	if err != nil || report.Blobs != 1 {
		t.Fatalf("restored %+v (%v)", report, err)
	}
	if found := checked(t, other); len(found) > 0 {
		t.Errorf("restored: %+v", found)
	}
}
