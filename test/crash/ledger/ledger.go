//go:build crash

package ledger

import (
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
)

// absent is where a tag points that does not exist.
const absent = digest.Digest("")

// A Ledger is what the registry acknowledged in one repository. One worker
// alone writes it; other goroutines look at it while no worker runs.
type Ledger struct {
	// Repo is the repository's name.
	Repo string
	// Images are all that were ever sent, acknowledged or not.
	Images map[digest.Digest]*Image

	tags  map[string]*entry
	order []string        // the names of tags, for choosing one at random
	sent  []digest.Digest // the keys of Images in the order in which they were sent
}

// New returns an empty ledger of the repository repo.
func New(repo string) *Ledger {
	return &Ledger{Repo: repo, Images: map[digest.Digest]*Image{}, tags: map[string]*entry{}}
}

// NewSet returns n ledgers of repositories of their own.
func NewSet(n int) []*Ledger {
	var ls []*Ledger
	for i := range n {
		ls = append(ls, New(fmt.Sprintf("crash/w%d", i)))
	}
	return ls
}

// Count adds up what was acknowledged in several ledgers.
func Count(ls []*Ledger) (images, tags, blobs int) {
	for _, l := range ls {
		tags += len(l.tags)
		for _, im := range l.Images {
			if im.acked {
				images++
			}
			for _, b := range im.Blobs {
				if b.Acked {
					blobs++
				}
			}
		}
	}
	return images, tags, blobs
}

// Together runs f for each ledger at once, and returns when all have ended.
func Together(ls []*Ledger, f func(i int, l *Ledger)) {
	var wg sync.WaitGroup
	for i, l := range ls {
		wg.Go(func() { f(i, l) })
	}
	wg.Wait()
}

// tag finds a tag's entry, or makes it.
func (l *Ledger) tag(name string) *entry {
	e := l.tags[name]
	if e == nil {
		e = &entry{}
		l.tags[name] = e
		l.order = append(l.order, name)
	}
	return e
}

// An entry is what is known of one tag.
type entry struct {
	acked   digest.Digest   // what the last acknowledged change made it
	pending []digest.Digest // what later changes, of which no answer came, may have made it
}

// begin notes that a change is sent, acknowledge that it was answered with success.
func (e *entry) begin(d digest.Digest) { e.pending = append(e.pending, d) }

func (e *entry) acknowledge(d digest.Digest) { e.acked, e.pending = d, nil }

// may reports whether the tag can point at d, and settles it there.
func (e *entry) may(d digest.Digest) bool {
	ok := d == e.acked
	for _, p := range e.pending {
		ok = ok || d == p
	}
	if ok {
		e.acknowledge(d)
	}
	return ok
}
