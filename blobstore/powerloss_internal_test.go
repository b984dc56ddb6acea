package blobstore

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// This file holds a model of power loss. A workload runs on a real disk while
// every operation of durable.go is written down, between marks that say what
// was promised to whom. Then, for each instant at which the power could have
// failed, the model computes what may be left: what was synced is there; of
// what was not, each piece may be there or not. In none of these worlds may a
// promise be broken.
//
// The model is harsher than file systems are: a rename is two changes, of two
// directories, which may survive apart.

func TestNoPromiseIsBrokenByPowerLoss(t *testing.T) {
	if broken := crashEverywhere(t, record(t, nil)); len(broken) > 0 {
		t.Errorf("%d worlds break a promise, the first: %s", len(broken), broken[0])
	}
}

// The model must be able to tell: without any one of the syncs it has to find
// a broken promise.
func TestEverySyncIsNeeded(t *testing.T) {
	dir := func(name string) guard {
		return func(_, o op) bool { return o.kind == "syncdir" && o.name == name }
	}
	after := func(kind, prefix string, then guard) guard {
		return func(last, o op) bool {
			return last.kind == kind && strings.HasPrefix(last.target(), prefix) && then(last, o)
		}
	}
	anyDir := func(_, o op) bool { return o.kind == "syncdir" }
	for name, guard := range map[string]guard{
		"bytes":                       func(_, o op) bool { return o.kind == "sync" },
		"shard after a publication":   after("rename", blobsDir+"/", anyDir),
		"shard after a removal":       after("remove", blobsDir+"/", anyDir),
		"shard after a quarantine":    after("syncdir", quarantineDir, anyDir),
		"quarantine":                  after("rename", quarantineDir, anyDir),
		"new shard's parent":          dir("blobs/sha256"),
		"parent of a shard found":     dir("blobs/sha384"),
		"new algorithm's parent":      dir(blobsDir),
		"store's own new directories": dir("."),
	} {
		if broken := crashEverywhere(t, record(t, guard)); len(broken) == 0 {
			t.Errorf("without the sync of the %s nothing is lost: the model cannot tell, or it is not needed", name)
		} else {
			t.Logf("without the sync of the %s: %d worlds break a promise, such as %s", name, len(broken), broken[0])
		}
	}
}

// A store must open in whatever a power cut leaves, show nothing but right
// bytes, and take the same blobs again.
func TestStoreWorksAfterPowerLoss(t *testing.T) {
	ops := record(t, nil)
	for n := 0; n <= len(ops); n += 7 {
		world := replay(ops[:n], rand.New(rand.NewPCG(uint64(n), 1)), unsyncedAtRandom)
		dir := t.TempDir()
		world.writeTo(t, dir)
		s, err := Open(Config{Dir: dir, Reserve: -1, Soft: 100, High: 100, Critical: 100})
		if err != nil {
			t.Fatalf("after %d operations: %v", n, err)
		}
		for info, err := range s.All(t.Context()) {
			if err != nil {
				t.Errorf("after %d operations: %v", n, err)
			} else if err := s.Verify(t.Context(), info.Digest, nil); err != nil && !world.rotten[info.Digest] {
				t.Errorf("after %d operations: %v", n, err)
			}
		}
		for _, data := range [][]byte{first, second, third} {
			pushTo(t, s, data, digest.SHA512)
		}
	}
}

var (
	first  = bytes.Repeat([]byte("first "), 300)
	second = bytes.Repeat([]byte("second "), 400)
	third  = []byte("third")
)

// record runs the workload without the operations that the guard is told to
// leave out.
func record(t *testing.T, leaveOut guard) []op {
	t.Helper()
	r := &recorder{osDisk: osDisk{dir: t.TempDir()}, leaveOut: leaveOut}
	s := r.open(t)

	// One request; several; another algorithm; the same shard again.
	a := r.push(t, s, first, digest.SHA256)
	b := r.push(t, s, second, digest.SHA512)
	r.push(t, s, second, digest.SHA256)
	u := create(t, s)
	write(t, u, third[:2])
	closeIt(t, u)
	u, err := s.Resume("r", u.ID())
	if err != nil {
		t.Fatal(err)
	}
	write(t, u, third[2:])
	r.commit(t, u, digest.FromBytes(third))

	// Over itself, removed, pushed again, dropped.
	r.push(t, s, first, digest.SHA256)
	r.sweep(t, s, a)
	r.push(t, s, first, digest.SHA256)
	u = create(t, s)
	write(t, u, second)
	if err := u.Cancel(); err != nil {
		t.Fatal(err)
	}

	// A process that made a shard was killed before it synced the directory
	// above; the next one finds the shard and must not trust it.
	orphan := []byte("a blob in a shard that somebody made")
	name, err := parseDigest(digest.SHA384.FromBytes(orphan))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Dir(name.shard()), name.shard()} {
		if err := r.mkdir(dir); err != nil {
			t.Fatal(err)
		}
	}
	s = r.open(t)
	r.push(t, s, orphan, digest.SHA384)

	// A process was killed after an unlink and before the sync; the next one
	// finds nothing to remove, and must not take that for durable.
	r.note(op{kind: "removing", digest: name.digest()})
	if err := r.remove(name.path()); err != nil {
		t.Fatal(err)
	}
	r.sweep(t, r.open(t), name.digest())

	// Rot, its quarantine, and its healing.
	r.rot(t, b)
	r.verify(t, s, b)
	r.push(t, s, second, digest.SHA512)
	return r.ops
}

func create(t *testing.T, s *Store) *Upload {
	t.Helper()
	u, err := s.Create("r", "", -1)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func write(t *testing.T, u *Upload, data []byte) {
	t.Helper()
	for len(data) > 0 { // in pieces, which may survive apart
		n, err := u.Write(data[:min(len(data), 700)])
		if err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
}

func closeIt(t *testing.T, u *Upload) {
	t.Helper()
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
}

func pushTo(t *testing.T, s *Store, data []byte, alg digest.Algorithm) {
	t.Helper()
	u := create(t, s)
	write(t, u, data)
	d := alg.FromBytes(data)
	pin, err := u.Commit(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	pin.Release()
}

// An op is one operation on the disk, or a mark of what was promised.
type op struct {
	// create write truncate sync mkdir rename remove syncdir; or the marks
	// committed removing removed rotten quarantined
	kind     string
	name, to string
	off      int64
	data     []byte
	digest   digest.Digest
}

// target is the name that the operation changed or synced.
func (o op) target() string {
	if o.kind == "rename" {
		return o.to
	}
	return o.name
}

// A guard picks the operations that a recorder leaves out, by the one before.
type guard func(last, o op) bool

// A recorder is a disk that writes down what it does.
type recorder struct {
	osDisk
	leaveOut guard // nil leaves nothing out
	last     op
	ops      []op
}

func (r *recorder) note(o op) { r.ops = append(r.ops, o) }

// do notes an operation that has worked.
func (r *recorder) do(o op, err error) error {
	if err == nil && (r.leaveOut == nil || !r.leaveOut(r.last, o)) {
		r.note(o)
	}
	r.last = o
	return err
}

func (r *recorder) nameOf(f *os.File) string { return strings.TrimPrefix(f.Name(), r.dir+"/") }

func (r *recorder) create(name string) (*os.File, error) {
	f, err := r.osDisk.create(name)
	return f, r.do(op{kind: "create", name: name}, err)
}

func (r *recorder) write(f *os.File, p []byte, off int64) (int, error) {
	n, err := r.osDisk.write(f, p, off)
	return n, r.do(op{kind: "write", name: r.nameOf(f), off: off, data: bytes.Clone(p)}, err)
}

func (r *recorder) truncate(f *os.File, size int64) error {
	return r.do(op{kind: "truncate", name: r.nameOf(f), off: size}, r.osDisk.truncate(f, size))
}

func (r *recorder) sync(f *os.File) error {
	return r.do(op{kind: "sync", name: r.nameOf(f)}, r.osDisk.sync(f))
}

func (r *recorder) mkdir(name string) error {
	return r.do(op{kind: "mkdir", name: name}, r.osDisk.mkdir(name))
}

func (r *recorder) rename(from, to string) error {
	return r.do(op{kind: "rename", name: from, to: to}, r.osDisk.rename(from, to))
}

func (r *recorder) remove(name string) error {
	return r.do(op{kind: "remove", name: name}, r.osDisk.remove(name))
}

func (r *recorder) syncDir(name string) error {
	return r.do(op{kind: "syncdir", name: name}, r.osDisk.syncDir(name))
}

func (r *recorder) open(t *testing.T) *Store {
	t.Helper()
	cfg := Config{Dir: r.dir, Reserve: -1, Soft: 100, High: 100, Critical: 100, Log: slog.New(slog.DiscardHandler)}
	if err := cfg.setDefaults(); err != nil {
		t.Fatal(err)
	}
	s, err := open(cfg, r.osDisk, r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r *recorder) push(t *testing.T, s *Store, data []byte, alg digest.Algorithm) digest.Digest {
	t.Helper()
	u := create(t, s)
	write(t, u, data)
	d := alg.FromBytes(data)
	r.commit(t, u, d)
	return d
}

func (r *recorder) commit(t *testing.T, u *Upload, d digest.Digest) {
	t.Helper()
	pin, err := u.Commit(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	pin.Release()
	r.note(op{kind: "committed", digest: d})
}

func (r *recorder) sweep(t *testing.T, s *Store, d digest.Digest) {
	t.Helper()
	r.note(op{kind: "removing", digest: d})
	if _, err := s.Remove(t.Context(), d, func() (bool, error) { return false, nil }); err != nil {
		t.Fatal(err)
	}
	r.note(op{kind: "removed", digest: d})
}

func (r *recorder) rot(t *testing.T, d digest.Digest) {
	t.Helper()
	b, err := parseDigest(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path(b.path()), []byte("rot"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.note(op{kind: "rotten", name: b.path(), data: []byte("rot"), digest: d})
}

func (r *recorder) verify(t *testing.T, s *Store, d digest.Digest) {
	t.Helper()
	if err := s.Verify(t.Context(), d, nil); err == nil {
		t.Fatal("verify did not see the rot")
	}
	r.note(op{kind: "quarantined", digest: d})
}

// crashEverywhere lists the promises broken in any world of any instant.
func crashEverywhere(t *testing.T, ops []op) (broken []string) {
	t.Helper()
	worlds := 0
	for n := range len(ops) + 1 {
		for i, keep := range []survival{
			unsyncedIsLost, unsyncedSurvives, bytesAreLost, namesAreLost,
			unsyncedAtRandom, unsyncedAtRandom, unsyncedAtRandom, unsyncedAtRandom,
		} {
			w := replay(ops[:n], rand.New(rand.NewPCG(uint64(n), uint64(i))), keep)
			worlds++
			if what := w.broken(); what != "" {
				broken = append(broken, fmt.Sprintf("after %d of %d operations: %s", n, len(ops), what))
			}
		}
	}
	t.Logf("%d operations, %d worlds", len(ops), worlds)
	return broken
}
