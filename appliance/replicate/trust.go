package replicate

import (
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

const (
	// lieAvoid is how long nobody asks a node again for a blob that it sent wrong
	// bytes for, and prefers others for all blobs.
	lieAvoid = 10 * time.Minute
	// failAvoid is how long others are preferred to a node that did not answer.
	failAvoid = 30 * time.Second
	// liesMax is how many lies are remembered.
	liesMax = 1024
)

// trust remembers which nodes failed and which sent wrong bytes.
type trust struct {
	lies  clock[lie]
	liars clock[meta.NodeID]
	fails clock[meta.NodeID]
	// mixed are blobs that came from several nodes and were wrong: next time they
	// come from one, so that it is known which.
	mixed clock[digest.Digest]
}

type lie struct {
	node   meta.NodeID
	digest digest.Digest
}

func (t *trust) init() {
	t.lies = newClock[lie](liesMax)
	t.liars = newClock[meta.NodeID](liesMax)
	t.fails = newClock[meta.NodeID](liesMax)
	t.mixed = newClock[digest.Digest](liesMax)
}

func (t *trust) liedAbout(n meta.NodeID, d digest.Digest) bool {
	return t.lies.since(lie{n, d}, lieAvoid)
}

func (t *trust) lied(n meta.NodeID) bool   { return t.liars.since(n, lieAvoid) }
func (t *trust) failed(n meta.NodeID) bool { return t.fails.since(n, failAvoid) }

// lieFound notes that n sent bytes that are not d.
func (t *trust) lieFound(n meta.NodeID, d digest.Digest) {
	t.lies.note(lie{n, d})
	t.liars.note(n)
}
