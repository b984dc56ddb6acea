//go:build crash

package crash_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/test/crash/ledger"
	"skerry.dev/skerry/test/skerry"
)

// A ledger that never complains proves nothing: here it must.
func TestTheLedgerNoticesLoss(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(t *testing.T, data, earlier string, ls []*ledger.Ledger)
	}{
		{"a blob is gone", func(t *testing.T, data, _ string, ls []*ledger.Ledger) {
			harm(t, os.Remove(ackedBlob(t, data, ls)))
		}},
		{"a blob is cut off", func(t *testing.T, data, _ string, ls []*ledger.Ledger) {
			harm(t, os.Truncate(ackedBlob(t, data, ls), 0))
		}},
		{"a blob has a bit flipped", func(t *testing.T, data, _ string, ls []*ledger.Ledger) {
			path := ackedBlob(t, data, ls)
			b, err := os.ReadFile(path)
			harm(t, err)
			b[len(b)/2] ^= 1
			harm(t, os.WriteFile(path, b, 0o600))
		}},
		{"the metadata is of an earlier moment", func(t *testing.T, data, earlier string, _ []*ledger.Ledger) {
			for _, part := range []string{"meta", "raft"} {
				harm(t, os.RemoveAll(filepath.Join(data, part)))
				run(t, "cp", "-a", "--sparse=always", filepath.Join(earlier, part), filepath.Join(data, part))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := skerry.Start(t, skerry.Options{Plain: true})
			ls := ledger.NewSet(workers)
			killUnderLoad(t, s, ls, 300*time.Millisecond)
			earlier := filepath.Join(t.TempDir(), "earlier")
			run(t, "cp", "-a", "--sparse=always", s.Options.Data, earlier)
			s.Restart()
			killUnderLoad(t, s, ls, 300*time.Millisecond)
			if images, _, _ := ledger.Count(ls); images == 0 {
				t.Fatal("nothing was acknowledged: nothing can be missed")
			}
			c.lose(t, s.Options.Data, earlier, ls)
			s.Restart()
			if !anyLoss(t.Context(), s, ls) {
				t.Error("the ledger did not notice")
			}
		})
	}
}

func anyLoss(ctx context.Context, s *skerry.Server, ls []*ledger.Ledger) bool {
	for _, l := range ls {
		if l.Verify(ctx, ledger.NewClient(s), true) != nil {
			return true
		}
	}
	return false
}

// ackedBlob is the file of some blob that was acknowledged.
func ackedBlob(t *testing.T, data string, ls []*ledger.Ledger) string {
	t.Helper()
	for _, l := range ls {
		for _, im := range l.Images {
			if im.Blobs[0].Acked {
				hex := digest.FromBytes(im.Blobs[0].Bytes()).Encoded()
				return filepath.Join(data, "storage", "blobs", "sha256", hex[:2], hex)
			}
		}
	}
	t.Fatal("no blob was acknowledged")
	return ""
}

func harm(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
