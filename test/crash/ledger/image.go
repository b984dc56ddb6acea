//go:build crash

package ledger

import (
	"fmt"
	"math/rand/v2"

	"github.com/opencontainers/go-digest"
)

// BlobType is the media type of every layer.
const BlobType = "application/octet-stream"

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	emptyConfig  = "application/vnd.oci.empty.v1+json"
)

// An Image is one manifest and the blobs that it names. Everything about it
// comes from its seed.
type Image struct {
	Digest digest.Digest
	Blobs  []Blob

	manifest []byte
	tag      string // what it is pushed as
	acked    bool   // its manifest was acknowledged
	deleted  state
}

// state says what is known of a delete.
type state int

const (
	kept state = iota
	perhaps
	gone
)

// A Blob is content that can be made again from its seed.
type Blob struct {
	Acked bool // the registry acknowledged it

	seed uint64
	size int
}

// Bytes makes the content.
func (b Blob) Bytes() []byte {
	p := make([]byte, b.size)
	seed := [32]byte{byte(b.seed), byte(b.seed >> 8), byte(b.seed >> 16), byte(b.seed >> 24), byte(b.seed >> 32)}
	_, _ = rand.NewChaCha8(seed).Read(p)
	return p
}

// newImage makes an image of a config and one to three layers.
func newImage(r *rand.Rand, tag string) *Image {
	im := &Image{tag: tag}
	m := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":`, manifestType)
	for i := range 2 + r.IntN(3) {
		b := Blob{seed: r.Uint64(), size: 1 + r.IntN(32<<10)}
		if r.IntN(20) == 0 {
			b.size = 1<<20 + r.IntN(1<<20)
		}
		kind := BlobType
		switch i {
		case 0:
			kind = emptyConfig
		case 1:
			m += `,"layers":[`
		default:
			m += ","
		}
		m += fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, kind, digest.FromBytes(b.Bytes()), b.size)
		im.Blobs = append(im.Blobs, b)
	}
	im.manifest = []byte(m + "]}")
	im.Digest = digest.FromBytes(im.manifest)
	return im
}
