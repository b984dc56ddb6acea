package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const acceptManifests = ocispec.MediaTypeImageManifest + ", " + ocispec.MediaTypeImageIndex

// layerSize is the size of a small image's one layer.
const layerSize = 4096

// An Image is a config, a layer and the manifest that names them.
type Image struct {
	Config, Layer, Manifest []byte
}

// newImage makes the image with number n of stream seed: no two are alike.
func newImage(seed uint64, n int) Image {
	noise := rand.New(rand.NewPCG(seed, uint64(n)))
	layer := make([]byte, layerSize)
	for i := 0; i < len(layer); i += 8 {
		binary.LittleEndian.PutUint64(layer[i:], noise.Uint64())
	}
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Labels":{"image":"%d-%d"}},`+
		`"rootfs":{"type":"layers","diff_ids":["%s"]}}`, seed, n, digest.FromBytes(layer))
	return Image{Config: config, Layer: layer, Manifest: manifest(config, layer, fmt.Sprint(seed, "-", n))}
}

// manifest names config and layer; version makes manifests of the same blobs differ.
func manifest(config, layer []byte, version string) []byte {
	m := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config)),
		},
		Layers: []ocispec.Descriptor{{
			MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(layer), Size: int64(len(layer)),
		}},
		Annotations: map[string]string{ocispec.AnnotationVersion: version},
	}
	m.SchemaVersion = 2
	text, err := json.Marshal(m)
	if err != nil {
		panic("a manifest is plain data: " + err.Error())
	}
	return text
}

// A Large is a blob made up while it is read: noise with a stamp every blockSize, so
// that no two are alike and nothing on the way can make it smaller.
type Large struct {
	size  int64
	stamp uint64
	block []byte // shared and never written
}

const blockSize = 1 << 20

// noiseBlock makes the noise all Larges share.
func noiseBlock() []byte {
	block := make([]byte, blockSize)
	_, _ = rand.NewChaCha8([32]byte{'s', 'k', 'e', 'r', 'r', 'y'}).Read(block) // never fails
	return block
}

// digest hashes the whole blob.
func (l Large) digest() (digest.Digest, error) {
	h := sha256.New()
	if _, err := io.Copy(h, l.reader()); err != nil {
		return "", err
	}
	return digest.NewDigest(digest.SHA256, h), nil
}

// reader reads the blob from its beginning.
func (l Large) reader() io.Reader { return io.LimitReader(&largeReader{blob: l}, l.size) }

// largeReader reads a Large without end. It is owned by one goroutine.
type largeReader struct {
	blob   Large
	offset int64
}

func (r *largeReader) Read(p []byte) (int, error) {
	within := r.offset % blockSize
	if within < 8 { // the stamp: which blob, which block
		var stamp [8]byte
		binary.LittleEndian.PutUint64(stamp[:], r.blob.stamp<<32|uint64(r.offset/blockSize))
		n := copy(p, stamp[within:])
		r.offset += int64(n)
		return n, nil
	}
	n := copy(p, r.blob.block[within:])
	r.offset += int64(n)
	return n, nil
}
