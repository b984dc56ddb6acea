//go:build crash

package powerloss

import (
	"maps"
	"math"
)

// folder is what a directory holds.
type folder struct {
	names    map[string]*node // as programs see it
	synced   map[string]*node // what is surely on the disk
	unsynced []*change        // what led from synced to names
}

func newFolder() *folder {
	return &folder{names: map[string]*node{}, synced: map[string]*node{}}
}

// A change of a directory survives a power cut as a whole or not at all.
type change struct {
	seq uint64 // one order for all directories; the two halves of a rename have the same
	set map[string]*node
}

// change gives each name its new meaning; nil takes it away.
func (f *folder) change(seq uint64, set map[string]*node) {
	apply(f.names, set)
	f.unsynced = append(f.unsynced, &change{seq, set})
}

func apply(names, set map[string]*node) {
	for name, n := range set {
		if n == nil {
			delete(names, name)
		} else {
			names[name] = n
		}
	}
}

// sync makes everything durable.
func (f *folder) sync() {
	f.synced, f.unsynced = maps.Clone(f.names), nil
}

// survivors are the names that the next start finds. Nothing of a later number
// than last survives; before, a change survives if fate wants it and no change
// of the same names was lost.
func (f *folder) survivors(fate Fate, last uint64) map[string]*node {
	names, lost := maps.Clone(f.synced), map[string]bool{}
	for _, c := range f.unsynced {
		survives := c.seq <= last
		if !fate.Journal {
			survives = fate.survives()
		}
		for name := range c.set {
			survives = survives && !lost[name]
		}
		if survives {
			apply(names, c.set)
			continue
		}
		for name := range c.set {
			lost[name] = true
		}
	}
	return names
}

// all is a number behind every change.
const all = math.MaxUint64
