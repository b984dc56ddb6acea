//go:build crash

package crash_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/test/crash/ledger"
	"skerry.dev/skerry/test/skerry"
)

// pointCall finds the named points in the sources.
var pointCall = regexp.MustCompile(`(?:point\.At|seam\.at)\("([a-z.-]+)"\)`)

// short logs: they are cut while a test runs.
var short = []string{
	"--log-segment-bytes", "65536", "--log-snapshot-entries", "30", "--log-trailing-entries", "10",
	"--log-snapshot-every", "100ms",
}

// scenarios say how to reach each point. One that no single node can reach is
// named with the test that does.
var scenarios = map[string]func(t *testing.T, name string){
	"upload.written":             underLoad,
	"blob.synced":                underLoad,
	"blob.renamed":               underLoad,
	"blob.published":             underLoad,
	"raft.appended":              underLoad,
	"raft.before-rotate":         underLoad,
	"raft.vote-written":          atStart,
	"meta.applied":               underLoad,
	"checkpoint.pinned":          underLoad,
	"checkpoint.synced":          underLoad,
	"checkpoint.current-written": underLoad,
	"checkpoint.renamed":         underLoad,
	"raft.before-truncate":       underLoad,
	"raft.truncated":             underLoad,
	"snapshot.persisted":         underLoad,
	"blob.removed":               inSweep,
	"blob.quarantined":           inScrub,
	"install.received":           inRestore,
	"install.renamed":            inRestore,
	"install.opened":             inRestore,
	"snapshot.installed":         nil, // another node's snapshot: raft's own tests of three nodes
}

func TestEveryNamedPointSurvivesACrash(t *testing.T) {
	for _, name := range pointsInSources(t) {
		scenario, known := scenarios[name]
		if !known {
			t.Errorf("point %s has no scenario: add one", name)
		}
		if scenario != nil {
			t.Run(name, func(t *testing.T) { scenario(t, name) })
		}
	}
}

// pointsInSources lists each point that the program calls.
func pointsInSources(t *testing.T) []string {
	t.Helper()
	seen := map[string]bool{}
	var names []string
	err := filepath.WalkDir(skerry.ModuleRoot(t), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		for _, m := range pointCall.FindAllStringSubmatch(string(src), -1) {
			if !seen[m[1]] {
				seen[m[1]] = true
				names = append(names, m[1])
			}
		}
		return err
	})
	if err != nil || len(names) == 0 {
		t.Fatalf("points in the sources: %v, %v", names, err)
	}
	return names
}

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "skerry-crash-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "skerry")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-tags", "crashpoints", "-o", bin, "skerry.dev/skerry")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build with crash points: %w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// deadly starts a registry that has the points, and dies at none yet.
func deadly(t *testing.T, args ...string) *skerry.Server {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return skerry.Start(t, skerry.Options{Plain: true, Binary: bin, Args: args})
}

// arm restarts s so that it dies at the n-th arrival at a point.
func arm(s *skerry.Server, name string, n int) {
	s.Stop()
	s.Options.Env = []string{fmt.Sprintf("SKERRY_CRASH_AT=%s:%d", name, n)}
	_ = s.TryRestart() // it may die before it is ready
}

// disarm restarts s, dead by now, as it is meant to run.
func disarm(t *testing.T, s *skerry.Server) {
	t.Helper()
	select {
	case <-s.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the point was not reached")
	}
	s.Options.Env = nil
	s.Restart()
}

// underLoad dies at the first, and at some later, arrival while workers push.
func underLoad(t *testing.T, name string) {
	s := deadly(t, short...)
	ls := ledger.NewSet(workers)
	for _, n := range []int{1, 2 + rand.IntN(6)} {
		arm(s, name, n)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if s.URL != "" {
			work(ctx, t, s, ls)
		}
		cancel()
		disarm(t, s)
		verifyAll(t, s, ls, true)
		checked(t, s)
	}
}

// atStart dies at the first arrival of a start that follows some work.
func atStart(t *testing.T, name string) {
	s := deadly(t, short...)
	ls := ledger.NewSet(workers)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	work(ctx, t, s, ls)
	cancel()
	arm(s, name, 1)
	disarm(t, s)
	verifyAll(t, s, ls, true)
	checked(t, s)
}

// inSweep dies while condemned blobs are unlinked.
func inSweep(t *testing.T, name string) {
	s := deadly(t, "--grace", "1ms")
	dead, live := ledger.New("crash/dead"), ledger.New("crash/live")
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 5 {
		for _, l := range []*ledger.Ledger{dead, live} {
			w := ledger.NewWorker(ledger.NewClient(s), l, r)
			if err := w.Push(t.Context(), fmt.Sprint("t", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	arm(s, name, 3)
	c := ledger.NewClient(s)
	for d := range dead.Images {
		status, body, err := c.Do(t.Context(), http.MethodDelete, "/v2/crash/dead/manifests/"+d.String(), "", nil)
		if err := ledger.Want("delete", http.StatusAccepted, status, body, err); err != nil {
			t.Fatal(err)
		}
	}
	// The grace is a millisecond, and each command starts a process.
	for range 3 {
		if err := tool(t, s, "gc"); err != nil {
			break // it died
		}
	}
	disarm(t, s)
	if err := live.Verify(t.Context(), ledger.NewClient(s), true); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := tool(t, s, "gc"); err != nil {
			t.Error(err)
		}
	}
	checked(t, s)
	for _, im := range dead.Images {
		for _, b := range im.Blobs {
			hex := digest.FromBytes(b.Bytes()).Encoded()
			file := filepath.Join(s.Options.Data, "storage", "blobs", "sha256", hex[:2], hex)
			if _, err := os.Stat(file); err == nil {
				t.Errorf("collected blob %s is still on the disk", hex)
			}
		}
	}
}

// inScrub dies while a damaged blob is put aside; pushing it again heals it.
func inScrub(t *testing.T, name string) {
	s := deadly(t)
	l := ledger.New("crash/rot")
	w := ledger.NewWorker(ledger.NewClient(s), l, rand.New(rand.NewPCG(3, 4)))
	if err := w.Push(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	path := ackedBlob(t, s.Options.Data, []*ledger.Ledger{l})
	b, err := os.ReadFile(path)
	harm(t, err)
	good := string(b)
	b[0] ^= 1
	harm(t, os.WriteFile(path, b, 0o600))

	arm(s, name, 1)
	if err := tool(t, s, "scrub"); err == nil {
		t.Fatal("a scrub of a damaged blob found nothing")
	}
	disarm(t, s)
	d := digest.FromString(good)
	status, _, err := ledger.NewClient(s).Do(t.Context(), http.MethodGet, "/v2/crash/rot/blobs/"+d.String(), "", nil)
	if err != nil || status < 500 {
		t.Errorf("a blob in quarantine: status %d, %v; want 5xx", status, err)
	}
	up := "/v2/crash/rot/blobs/uploads/?digest=" + d.String()
	status, body, err := ledger.NewClient(s).Do(t.Context(), http.MethodPost, up, ledger.BlobType, []byte(good))
	if err := ledger.Want("push again", http.StatusCreated, status, body, err); err != nil {
		t.Fatal(err)
	}
	if err := l.Verify(t.Context(), ledger.NewClient(s), true); err != nil {
		t.Error(err)
	}
}

// inRestore dies while an archive is unpacked; the next restore is whole.
func inRestore(t *testing.T, name string) {
	s := deadly(t)
	ls := ledger.NewSet(workers)
	killUnderLoad(t, s, ls, 200*time.Millisecond)
	s.Restart()
	archive := filepath.Join(t.TempDir(), "backup.tar")
	if err := tool(t, s, "backup", archive); err != nil {
		t.Fatal(err)
	}
	verifyAll(t, s, ls, true) // settles what was under way; the archive is of the same moment
	s.Stop()

	s.Options.Data = filepath.Join(t.TempDir(), "restored")
	cmd := exec.CommandContext(t.Context(), s.Options.Binary, "restore", "--data", s.Options.Data, archive)
	cmd.Env = append(os.Environ(), "SKERRY_CRASH_AT="+name)
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Fatalf("the point was not reached:\n%s", out)
	}
	if _, err := os.Stat(s.Options.Data); err == nil {
		t.Error("a directory that is not whole stands under its final name")
	}
	if err := tool(t, s, "restore", archive); err != nil {
		t.Fatal(err)
	}
	// The account's hash is in the archive, its password is not.
	password := s.Password
	harm(t, os.WriteFile(filepath.Join(s.Options.Data, "admin-password"), []byte(password), 0o600))
	s.Restart()
	verifyAll(t, s, ls, true)
	checked(t, s)
}

// tool runs a command on the data of s.
func tool(t *testing.T, s *skerry.Server, args ...string) error {
	t.Helper()
	args = append([]string{args[0], "--data", s.Options.Data}, args[1:]...)
	out, err := exec.CommandContext(t.Context(), s.Options.Binary, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("skerry %v: %w\n%s", args, err, out)
	}
	return nil
}
