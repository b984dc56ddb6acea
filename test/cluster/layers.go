//go:build cluster

package cluster

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// writeLayout writes a new image of so many layers as an OCI layout with the tag
// latest, and returns the digest of its manifest.
func writeLayout(t testing.TB, dir string, layers, size int) digest.Digest {
	t.Helper()
	config := ocispec.Image{
		Platform: ocispec.Platform{Architecture: runtime.GOARCH, OS: "linux"}, RootFS: ocispec.RootFS{Type: "layers"},
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for i := range layers {
		raw := layerTar(t, fmt.Sprint("file", i), size)
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, err := z.Write(raw)
		if err == nil {
			err = z.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(raw))
		config.History = append(config.History, ocispec.History{CreatedBy: fmt.Sprint("layer ", i)})
		m.Layers = append(m.Layers, writeBlob(t, dir, ocispec.MediaTypeImageLayerGzip, packed.Bytes()))
	}
	m.Config = writeBlob(t, dir, ocispec.MediaTypeImageConfig, encode(t, config))
	top := writeBlob(t, dir, m.MediaType, encode(t, m))
	top.Annotations = map[string]string{ocispec.AnnotationRefName: "latest"}
	index := ocispec.Index{Versioned: m.Versioned, Manifests: []ocispec.Descriptor{top}}
	writeFile(t, filepath.Join(dir, ocispec.ImageIndexFile), encode(t, index))
	writeFile(t, filepath.Join(dir, ocispec.ImageLayoutFile), []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return top.Digest
}

// layerTar packs one file of random bytes.
func layerTar(t testing.TB, name string, size int) []byte {
	t.Helper()
	content := make([]byte, size)
	_, _ = rand.Read(content) // never fails
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(size), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func writeBlob(t testing.TB, dir, kind string, content []byte) ocispec.Descriptor {
	t.Helper()
	d := digest.FromBytes(content)
	writeFile(t, filepath.Join(dir, "blobs", "sha256", d.Encoded()), content)
	return ocispec.Descriptor{MediaType: kind, Digest: d, Size: int64(len(content))}
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, path string, content []byte) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
