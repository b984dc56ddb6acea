//go:build crash

package powerloss_test

import (
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"skerry.dev/skerry/test/crash/powerloss"
)

// patience is how many sequences may pass before a lie must have been noticed.
const patience = 20

// A harness that never complains proves nothing: where a disk lies about one
// kind of sync, it must. So it shows, too, that none of these is superfluous.
func TestPowerCutsNoticeASyncLeftOut(t *testing.T) {
	below := func(dir string) func(string) bool {
		return func(p string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
	}
	for _, c := range []struct {
		name string
		path func(string) bool
		dir  bool
	}{
		{"files of storage", below("data/storage"), false},
		{"directories of storage", below("data/storage"), true},
		{"files of raft", below("data/raft"), false},
		{"directories of raft", below("data/raft"), true},
		{"the database", func(p string) bool {
			return path.Dir(p) == "data/meta" && !strings.HasPrefix(path.Base(p), "CURRENT")
		}, false},
		{"CURRENT", below("data/meta/CURRENT.tmp"), false},
		{"the directory of CURRENT", below("data/meta"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := powerloss.Options{Lie: func(p string, dir bool) bool { return dir == c.dir && c.path(p) }}
			for i := range patience {
				seed := rand.Uint64()
				m := newMachine(t, seed, o, short...)
				if err := m.live(inSequence); err != nil {
					t.Logf("noticed after %d sequences and %d cuts: %.300v", i, len(m.story), err)
					return
				}
			}
			t.Error("not noticed")
		})
	}
}
