//go:build crash

package crash_test

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/opencontainers/go-digest"
)

// absent is where a tag points that does not exist.
const absent = digest.Digest("")

// A ledger is what the registry acknowledged. Everything in it belongs to one
// worker, which alone writes it; other goroutines look at it while no worker
// runs.
type ledger struct {
	repo   string
	tags   map[string]*entry
	order  []string // the names of tags, for choosing one at random
	images map[digest.Digest]*image
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

// An image is one manifest and the blobs that it names. Everything about it
// comes from its seed.
type image struct {
	manifest []byte
	digest   digest.Digest
	blobs    []blob
	acked    bool // its manifest was acknowledged
	deleted  entryState
}

// entryState says what is known of a delete.
type entryState int

const (
	kept entryState = iota
	perhaps
	gone
)

// A blob is content that can be made again from its seed.
type blob struct {
	seed  uint64
	size  int
	acked bool
}

func (b blob) bytes() []byte {
	p := make([]byte, b.size)
	r := rand.NewChaCha8([32]byte{byte(b.seed), byte(b.seed >> 8), byte(b.seed >> 16), byte(b.seed >> 24), byte(b.seed >> 32)})
	_, _ = r.Read(p)
	return p
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	emptyConfig  = "application/vnd.oci.empty.v1+json"
	layerType    = "application/octet-stream"
)

// newImage makes an image of a config and one to three layers.
func newImage(r *rand.Rand) *image {
	im := &image{}
	m := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":`, manifestType)
	for i := range 2 + r.IntN(3) {
		b := blob{seed: r.Uint64(), size: 1 + r.IntN(32<<10)}
		if r.IntN(20) == 0 {
			b.size = 1<<20 + r.IntN(1<<20)
		}
		kind := layerType
		switch i {
		case 0:
			kind = emptyConfig
		case 1:
			m += `,"layers":[`
		default:
			m += ","
		}
		m += fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, kind, digest.FromBytes(b.bytes()), b.size)
		im.blobs = append(im.blobs, b)
	}
	im.manifest = []byte(m + "]}")
	im.digest = digest.FromBytes(im.manifest)
	return im
}

func newLedger(repo string) *ledger {
	return &ledger{repo: repo, tags: map[string]*entry{}, images: map[digest.Digest]*image{}}
}

func (l *ledger) tag(name string) *entry {
	e := l.tags[name]
	if e == nil {
		e = &entry{}
		l.tags[name] = e
		l.order = append(l.order, name)
	}
	return e
}

// count adds up what several ledgers hold.
func count(ls []*ledger) (images, tags, blobs int) {
	for _, l := range ls {
		tags += len(l.tags)
		for _, im := range l.images {
			if im.acked {
				images++
			}
			for _, b := range im.blobs {
				if b.acked {
					blobs++
				}
			}
		}
	}
	return images, tags, blobs
}

// together runs f for each ledger at once.
func together(ls []*ledger, f func(i int, l *ledger)) {
	var wg sync.WaitGroup
	for i, l := range ls {
		wg.Go(func() { f(i, l) })
	}
	wg.Wait()
}
