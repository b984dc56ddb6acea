package object

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
)

// What stands where under the prefix; FORMAT.md says more.
const (
	blobsDir      = "/blobs"
	uploadsDir    = "/uploads"
	quarantineDir = "/quarantine"
	ownerFile     = "/skerry.json"
)

// blobPath is where a blob is. It refuses what is no digest that can be computed
// here: paths are built of nothing else.
func blobPath(d digest.Digest) (string, error) {
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("digest %q: %w", d, err)
	}
	hex := d.Encoded()
	return blobsDir + "/" + d.Algorithm().String() + "/" + hex[:2] + "/" + hex, nil
}

// parseBlobPath is the reverse of blobPath.
func parseBlobPath(path string) (digest.Digest, bool) {
	rest, _ := strings.CutPrefix(path, blobsDir+"/")
	alg, rest, _ := strings.Cut(rest, "/")
	_, hex, _ := strings.Cut(rest, "/")
	d := digest.NewDigestFromEncoded(digest.Algorithm(alg), hex)
	again, err := blobPath(d)
	return d, err == nil && again == path
}

// quarantineTime is how the name of what was put aside begins.
const quarantineTime = "20060102T150405.000000000Z"

func quarantinePath(d digest.Digest, at time.Time) string {
	return quarantineDir + "/" + at.UTC().Format(quarantineTime) + "-" + d.Algorithm().String() + "-" + d.Encoded()
}

// parseQuarantined is the reverse of quarantinePath.
func parseQuarantined(path string) (digest.Digest, time.Time, bool) {
	name := strings.TrimPrefix(path, quarantineDir+"/")
	stamp, rest, _ := strings.Cut(name, "-")
	alg, hex, _ := strings.Cut(rest, "-")
	at, err := time.Parse(quarantineTime, stamp)
	d := digest.NewDigestFromEncoded(digest.Algorithm(alg), hex)
	return d, at, err == nil && d.Validate() == nil
}

// names says who does what with which blob, so that none is removed that
// somebody needs. Requests to the object store are made without its lock.
type names struct {
	mu      sync.Mutex
	changed sync.Cond // something was released; its lock is mu

	pinned map[digest.Digest]int  // guarded by mu
	taken  map[digest.Digest]bool // guarded by mu: being removed or put aside
}

func (n *names) init() {
	n.changed.L = &n.mu
	n.pinned, n.taken = make(map[digest.Digest]int), make(map[digest.Digest]bool)
}

// pin keeps d from being taken, as soon as nobody is taking it.
func (n *names) pin(d digest.Digest) *blobstore.Pin {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.taken[d] {
		n.changed.Wait()
	}
	n.pinned[d]++
	return blobstore.NewPin(func() { n.unpin(d) })
}

func (n *names) unpin(d digest.Digest) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pinned[d]--; n.pinned[d] == 0 {
		delete(n.pinned, d)
	}
	n.changed.Broadcast()
}

// take keeps d from being pinned until give. While it is pinned, take waits or
// else returns false.
func (n *names) take(d digest.Digest, wait bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.taken[d] || wait && n.pinned[d] > 0 {
		n.changed.Wait()
	}
	if n.pinned[d] > 0 {
		return false
	}
	n.taken[d] = true
	return true
}

func (n *names) give(d digest.Digest) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.taken, d)
	n.changed.Broadcast()
}
