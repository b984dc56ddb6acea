//go:build cluster

package cluster

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A blob is content that can be made again from its seed: an hour of pushes is more
// than fits into memory.
type blob struct {
	digest digest.Digest
	seed   uint64
	size   int
}

// newBlob makes content, small mostly.
func newBlob(r *rand.Rand) blob {
	b := blob{seed: r.Uint64(), size: 1 + r.IntN(24<<10)}
	if r.IntN(20) == 0 {
		b.size += 1 << 20
	}
	b.digest = digest.FromBytes(b.bytes())
	return b
}

func (b blob) bytes() []byte {
	p := make([]byte, b.size)
	seed := [32]byte{}
	for i := range 8 {
		seed[i] = byte(b.seed >> (8 * i))
	}
	_, _ = rand.NewChaCha8(seed).Read(p)
	return p
}

func (b blob) descriptor(kind string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: kind, Digest: b.digest, Size: int64(b.size)}
}

// An artifact is a manifest in a repository, and what it names.
type artifact struct {
	repo     string
	digest   digest.Digest
	manifest []byte
	blobs    []blob
}

func newArtifact(repo string, blobs []blob) *artifact {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: blobs[0].descriptor(ocispec.MediaTypeImageConfig),
	}
	for _, b := range blobs[1:] {
		m.Layers = append(m.Layers, b.descriptor(ocispec.MediaTypeImageLayer))
	}
	a := &artifact{repo: repo, blobs: blobs}
	a.manifest, _ = json.Marshal(m) // of strings and numbers: it works
	a.digest = digest.FromBytes(a.manifest)
	return a
}

// The books are what the registry acknowledged, and what it answered against its word.
type books struct {
	mu    sync.Mutex // guards the rest
	kept  []*artifact
	gone  []*artifact       // deleted by digest, and never pushed again
	loose map[string][]blob // by repository: acknowledged; perhaps nothing refers to them
	wrong []string
}

// keep notes an acknowledged manifest.
func (b *books) keep(a *artifact) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, a)
}

// forget notes that a manifest is about to be deleted: nobody may count on it.
func (b *books) forget(a *artifact) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = slices.DeleteFunc(b.kept, func(k *artifact) bool { return k == a })
}

// deleted notes that the deletion was acknowledged.
func (b *books) deleted(a *artifact) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = append(b.gone, a)
}

// take notes an acknowledged blob.
func (b *books) take(repo string, one blob) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.loose == nil {
		b.loose = map[string][]blob{}
	}
	b.loose[repo] = append(b.loose[repo], one)
}

// drop forgets the blobs that no manifest refers to, perhaps: a disk was lost, and
// only what a manifest refers to has copies for sure.
func (b *books) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.loose)
}

// any is an artifact that is kept, of those that match; nil when there is none.
func (b *books) any(r *rand.Rand, match func(*artifact) bool) *artifact {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range min(len(b.kept), 20) {
		if a := b.kept[r.IntN(len(b.kept))]; match(a) {
			return a
		}
	}
	return nil
}

// counts says whether somebody counts on a blob.
func (b *books) counts(d digest.Digest, loose bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	is := func(one blob) bool { return one.digest == d }
	if slices.ContainsFunc(b.kept, func(a *artifact) bool { return slices.ContainsFunc(a.blobs, is) }) {
		return true
	}
	for _, blobs := range b.loose {
		if loose && slices.ContainsFunc(blobs, is) {
			return true
		}
	}
	return false
}

// has says whether a is still kept: what is being deleted may be gone.
func (b *books) has(a *artifact) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.kept, a)
}

// complain notes what must not be. Only the first ones tell something.
func (b *books) complain(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.wrong) < 20 {
		b.wrong = append(b.wrong, fmt.Sprintf(format, args...))
	}
}
