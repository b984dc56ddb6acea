//go:build cluster

package cluster

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An image is what was pushed.
type image struct {
	digest   digest.Digest
	manifest []byte
	blobs    map[digest.Digest][]byte
}

// layerSize is large enough not to be answered from one read.
const layerSize = 200 << 10

// push pushes a new image of random bytes.
func (n *node) push(repo, tag string) *image {
	n.net.t.Helper()
	img, err := n.tryPush(repo, tag)
	if err != nil {
		n.net.t.Fatalf("push to %s: %v", n.name, err)
	}
	return img
}

func (n *node) tryPush(repo, tag string) (*image, error) {
	img := &image{blobs: map[digest.Digest][]byte{}}
	layer := make([]byte, layerSize)
	if _, err := rand.Read(layer); err != nil {
		return nil, err
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for i, b := range [][]byte{fmt.Appendf(nil, `{"author":"%x"}`, layer[:8]), layer} {
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(b), Size: int64(len(b))}
		img.blobs[d.Digest] = b
		status, _, body, err := n.try(http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+d.Digest.String(), nil, b)
		if err != nil || status != http.StatusCreated {
			return nil, fmt.Errorf("push blob: %d %s: %w", status, body, err)
		}
		if i == 0 {
			d.MediaType = ocispec.MediaTypeImageConfig
			m.Config = d
		} else {
			m.Layers = append(m.Layers, d)
		}
	}
	var err error
	if img.manifest, err = json.Marshal(m); err != nil {
		return nil, err
	}
	img.digest = digest.FromBytes(img.manifest)
	status, _, body, err := n.try(http.MethodPut, "/v2/"+repo+"/manifests/"+tag,
		http.Header{"Content-Type": {m.MediaType}}, img.manifest)
	if err != nil || status != http.StatusCreated {
		return nil, fmt.Errorf("push manifest: %d %s: %w", status, body, err)
	}
	return img, nil
}

// try sends one request as the cluster's account.
func (n *node) try(method, path string, head http.Header, body []byte) (int, http.Header, []byte, error) {
	return n.TryDo(method, path, head, bytes.NewReader(body))
}

// wantPull pulls an image and compares every byte.
func (n *node) wantPull(repo, tag string, img *image) {
	n.net.t.Helper()
	status, _, got := n.Do(http.MethodGet, "/v2/"+repo+"/manifests/"+tag, nil, nil)
	if status != http.StatusOK || !bytes.Equal(got, img.manifest) {
		n.net.t.Errorf("%s: manifest %s: %d %s, want %s", n.name, tag, status, got, img.digest)
	}
	for d, want := range img.blobs {
		status, _, got := n.Do(http.MethodGet, "/v2/"+repo+"/blobs/"+d.String(), nil, nil)
		if status != http.StatusOK || !bytes.Equal(got, want) {
			n.net.t.Errorf("%s: blob %s of %s: %d, %d bytes of %d", n.name, d, tag, status, len(got), len(want))
		}
	}
}
