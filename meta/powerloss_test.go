package meta_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"skerry.dev/skerry/meta"
)

// A power loss keeps what was synced and, of what was written later, any part. These tests keep an
// image of the database file as it was at each sync, go on writing, and build files in which each
// page or sector is, at random, from the last image or from the file as it is. Such a file, with the
// CURRENT of that moment, must open as exactly the state of the checkpoint, and go on from there.

// A platter is what a power loss cannot take: the last synced image of the database file.
type platter struct {
	dir    string
	synced []byte
}

func (p *platter) file(t testing.TB) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.dir, "db-*.db"))
	if err != nil || len(files) != 1 {
		t.Fatalf("database files %q: %v", files, err)
	}
	return files[0]
}

func (p *platter) sync(t testing.TB) { p.synced = read(t, p.file(t)) }

// lose writes into dir what a power loss now would leave.
func (p *platter) lose(t testing.TB, rng *rand.Rand, dir string) {
	t.Helper()
	disk := read(t, p.file(t))
	block := []int{512, 4096}[rng.IntN(2)]
	lost := []float64{0.1, 0.5, 0.9}[rng.IntN(3)]
	for at := 0; at < len(disk); at += block {
		if rng.Float64() >= lost {
			continue
		}
		to := disk[at:min(at+block, len(disk))]
		clear(to)
		if at < len(p.synced) {
			copy(to, p.synced[at:])
		}
	}
	write(t, filepath.Join(dir, filepath.Base(p.file(t))), disk)
	write(t, filepath.Join(dir, "CURRENT"), read(t, filepath.Join(p.dir, "CURRENT")))
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A loss is one simulated power loss: the directory it left, and the state it must open as.
type loss struct {
	dir   string
	at    string
	index uint64
	hash  uint64
}

// run fills a database in rounds of applies and checkpoints and loses power once, at a moment that
// rng chooses: between checkpoints or within the last, with applies running beside it.
func run(t testing.TB, rng *rand.Rand, dir string, s meta.Seam) loss {
	t.Helper()
	moment := []string{
		"between", "checkpoint.pinned", "checkpoint.synced", "checkpoint.current-written",
		"checkpoint.renamed",
	}[rng.IntN(5)]
	disk := platter{dir: dir}
	var db *meta.DB
	var l loss
	last := false
	take := func() {
		l.dir, l.at = ramDir(t), moment
		disk.lose(t, rng, l.dir)
	}
	expect := func() { l.index, _ = db.Position(); l.hash = hashKV(t, db) }
	var pending loss
	s.At = func(name string) {
		switch name {
		case "checkpoint.pinned": // what is frozen is what this checkpoint will keep
			pending.index, _ = db.Position()
			pending.hash = hashKV(t, db)
			if last || rng.IntN(3) == 0 {
				applyKV(t, db, rng.IntN(20)) // while the sync runs
			}
		case "checkpoint.synced":
			disk.sync(t)
			if last {
				applyKV(t, db, rng.IntN(20))
			}
		case "checkpoint.renamed":
			if l.dir == "" {
				l.index, l.hash = pending.index, pending.hash
			}
		}
		if last && name == moment {
			take()
		}
	}
	s.MapBytes = 32 << 20 // so that a huge command has no room
	db = openKV(t, dir, s)
	disk.sync(t)
	expect()
	rounds := 3 + rng.IntN(3) // several, so that pages are freed and used again
	for i := range rounds {
		applyKV(t, db, 20+rng.IntN(40))
		failKV(t, db, rng)
		applyKV(t, db, rng.IntN(20))
		last = i == rounds-1
		if err := db.Checkpoint(0, nil); err != nil {
			t.Fatal(err)
		}
		if l.dir != "" {
			break
		}
	}
	if l.dir == "" { // between
		applyKV(t, db, 1+rng.IntN(60))
		take()
	}
	return l
}

// failKV applies, now and then, what cannot be applied: it is taken back before or in its commit.
func failKV(t testing.TB, db *meta.DB, rng *rand.Rand) {
	t.Helper()
	bad := map[int]error{0: errCommand, 1: meta.ErrFull}
	command := map[int]string{0: "bad", 1: "huge"}
	if i := rng.IntN(6); bad[i] != nil {
		last, _ := db.Position()
		_, err := db.Apply([]uint64{last + 1, last + 2}, [][]byte{seedKV(last), []byte(command[i])}, nil)
		if !errors.Is(err, bad[i]) {
			t.Fatalf("%s: %v, want %v", command[i], err, bad[i])
		}
	}
}

// survives opens what l left and says what is wrong with it, if anything: also after further work,
// when a wrong freelist would have destroyed pages in use.
func (l loss) survives(t testing.TB, s meta.Seam) (err error) {
	t.Helper()
	db, err := meta.OpenSeam(meta.DBConfig{Dir: l.dir}, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	index, pos := db.Position()
	got, err := tryHash(db)
	if err != nil {
		return err
	}
	if index != l.index || got != l.hash || index > 0 && !bytes.Equal(pos, positionKV(index)) {
		return fmt.Errorf("opened as entry %d, hash %x; want entry %d, hash %x", index, got, l.index, l.hash)
	}
	if err := check(db); err != nil {
		return err
	}
	for i := index + 1; i <= index+40; i++ {
		if _, err := db.Apply([]uint64{i}, [][]byte{seedKV(i)}, positionKV(i)); err != nil {
			return err
		}
		if i%10 == 0 {
			if err := db.Checkpoint(0, nil); err != nil {
				return err
			}
		}
	}
	return check(db)
}

// check is bbolt's own: every page is reachable once or free once.
func check(db *meta.DB) error {
	return db.View(func(tx *bbolt.Tx) error {
		var errs []error
		for err := range tx.Check() {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

func TestPowerLossLeavesExactlyTheCheckpoint(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(losses) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			l := run(t, rng, ramDir(t), kvSeam())
			seen[l.at]++
			if err := l.survives(t, kvSeam()); err != nil {
				t.Fatalf("power lost at %s: %v", l.at, err)
			}
			again := run(t, rng, l.dir, kvSeam()) // and once more, in what was recovered
			if err := again.survives(t, kvSeam()); err != nil {
				t.Errorf("power lost at %s, then at %s: %v", l.at, again.at, err)
			}
		})
	}
	if len(seen) != 5 {
		t.Errorf("power was lost only at %v", seen)
	}
}

// The harness must be able to fail, so it is shown to. Without the pinned reader, later transactions
// write over pages of the checkpoint; without the return to the saved meta pages, a start follows
// those that happened to arrive. What is left may end or choke the process that opens it, so another
// one does.
func TestPowerLossDoesHarmWithoutAGuard(t *testing.T) {
	if job := os.Getenv("META_TEST_LOSS"); job != "" { // that process
		var l loss
		var noRoll bool
		if _, err := fmt.Sscan(job, &l.dir, &l.index, &l.hash, &noRoll); err != nil {
			t.Fatal(err)
		}
		go choke() // until the process ends
		s := kvSeam()
		s.NoRoll = noRoll
		if err := l.survives(t, s); err != nil {
			t.Fatal(err)
		}
		return
	}
	const tried = 12
	for name, c := range map[string]struct {
		noPin, noRoll bool
		least, most   int
	}{
		"with both":        {false, false, 0, 0},
		"without pin":      {true, false, 3, tried},
		"without rollback": {false, true, 3, tried},
	} {
		bad := 0
		for seed := range uint64(tried) {
			t.Run(name, func(t *testing.T) {
				s := kvSeam()
				s.NoPin = c.noPin
				l := run(t, rand.New(rand.NewPCG(seed, 7)), ramDir(t), s)
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPowerLossDoesHarmWithoutAGuard$")
				cmd.Env = append(os.Environ(), fmt.Sprint("META_TEST_LOSS=", l.dir, " ", l.index, " ", l.hash, " ", c.noRoll))
				if out, err := cmd.CombinedOutput(); err != nil {
					bad++
					t.Logf("%.200s", out)
				}
			})
		}
		if bad < c.least || bad > c.most {
			t.Errorf("%s, %d of %d losses did harm, want %d to %d", name, bad, tried, c.least, c.most)
		}
	}
}

// choke ends the process when it takes too much memory: a tree of mixed pages may have no end.
func choke() {
	for {
		var m runtime.MemStats
		if runtime.ReadMemStats(&m); m.Sys > 1<<30 {
			os.Exit(3)
		}
		<-time.After(20 * time.Millisecond)
	}
}
