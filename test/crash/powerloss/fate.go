//go:build crash

package powerloss

import (
	"fmt"
	"math/rand/v2"
)

// A Fate decides what survives a power cut of what was not synced. The zero
// value lets nothing survive.
type Fate struct {
	// Keep is how probable it is that a change survives: 0 never, 1 always.
	Keep float64
	// Journal lets a prefix of the changes of all directories survive, instead
	// of any subset.
	Journal bool
	// Torn lets some pages survive by sectors.
	Torn bool
	// Rand decides. It may be nil if Keep is 0 or 1 and the rest is false.
	Rand *rand.Rand
}

// NewFate chooses a fate: in one cut of eight nothing that was not synced
// survives, in one of eight everything, else any part of it.
func NewFate(r *rand.Rand) Fate {
	keep := []float64{0, 0.1, 0.1, 0.5, 0.5, 0.9, 0.9, 1}
	return Fate{Keep: keep[r.IntN(len(keep))], Journal: r.IntN(2) == 0, Torn: r.IntN(4) == 0, Rand: r}
}

// String describes f in a few words.
func (f Fate) String() string {
	return fmt.Sprintf("keep=%g journal=%t torn=%t", f.Keep, f.Journal, f.Torn)
}

// survives decides about one change.
func (f Fate) survives() bool {
	return f.Keep == 1 || f.Keep > 0 && f.Rand.Float64() < f.Keep
}

// version chooses one of n unsynced states, or -1 for the synced one. If
// everything survives it is the newest, else that one in half the cases.
func (f Fate) version(n int) int {
	switch {
	case n == 0 || !f.survives():
		return -1
	case f.Keep == 1 || f.Rand.IntN(2) == 0:
		return n - 1
	default:
		return f.Rand.IntN(n)
	}
}

func (f Fate) tears() bool { return f.Torn && f.Rand.IntN(4) == 0 }

// torn is a page some of whose sectors are a's and some b's.
func (f Fate) torn(a, b page) page {
	p := make(page, pageSize)
	for at := 0; at < pageSize; at += sectorSize {
		from := a
		if f.Rand.IntN(2) == 0 {
			from = b
		}
		if from != nil {
			copy(p[at:at+sectorSize], from[at:])
		}
	}
	return p
}
