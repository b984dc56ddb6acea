//go:build clients

package clients

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// images is where the images of this run are built, once, for all tests.
var images string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "skerry-images-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		images = dir
		return m.Run()
	}())
}

// A layout is an image in a directory, in the form of the OCI image layout.
type layout struct {
	dir      string
	manifest digest.Digest
	bytes    int64 // of all its blobs
}

// A source is a layer to be: files of this Debian, so many bytes of them.
type source struct {
	root     string
	bytesMax int64
	as       string // media type
}

// debianImage is an image of about 100 MB, its layers packed in the three ways
// there are.
var debianImage = sync.OnceValues(func() (layout, error) {
	return build(filepath.Join(images, "debian"), []source{
		{"/etc/alternatives", 1 << 20, ocispec.MediaTypeImageLayerGzip},
		{"/usr/lib", 90 << 20, ocispec.MediaTypeImageLayerGzip},
		{"/usr/bin", 90 << 20, ocispec.MediaTypeImageLayerZstd},
		{"/usr/share", 30 << 20, ocispec.MediaTypeImageLayer},
	})
})

// gzipImage is a smaller one with only gzip layers, which Docker's formats
// need. It shares a layer with debianImage.
var gzipImage = sync.OnceValues(func() (layout, error) {
	return build(filepath.Join(images, "gzip"), []source{
		{"/etc/alternatives", 1 << 20, ocispec.MediaTypeImageLayerGzip},
		{"/usr/share", 30 << 20, ocispec.MediaTypeImageLayerGzip},
	})
})

// tinyImage is one to have another.
var tinyImage = sync.OnceValues(func() (layout, error) {
	return build(filepath.Join(images, "tiny"), []source{
		{"/etc/alternatives", 1 << 20, ocispec.MediaTypeImageLayerGzip},
	})
})

// image returns what one of the functions above built.
func image(t *testing.T, built func() (layout, error)) layout {
	t.Helper()
	l, err := built()
	if err != nil {
		t.Fatalf("build image: %v", err)
	}
	return l
}

// build makes an image of sources. The same machine makes the same image.
func build(dir string, sources []source) (layout, error) {
	l := layout{dir: dir}
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return l, err
	}
	config := ocispec.Image{
		Created:  &time.Time{},
		Platform: ocispec.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		Config:   ocispec.ImageConfig{Cmd: []string{"/usr/bin/true"}, Labels: map[string]string{"made-of": "debian"}},
		RootFS:   ocispec.RootFS{Type: "layers"},
	}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, c := range sources {
		desc, diffID, err := l.layer(c)
		if err != nil {
			return l, fmt.Errorf("pack %s: %w", c.root, err)
		}
		manifest.Layers = append(manifest.Layers, desc)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
		config.History = append(config.History, ocispec.History{Created: &time.Time{}, CreatedBy: "files of " + c.root})
	}
	var err error
	if manifest.Config, err = l.put(ocispec.MediaTypeImageConfig, config); err != nil {
		return l, err
	}
	desc, err := l.put(ocispec.MediaTypeImageManifest, manifest)
	if err != nil {
		return l, err
	}
	l.manifest = desc.Digest
	desc.Annotations = map[string]string{ocispec.AnnotationRefName: "latest"}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{desc}}
	return l, errors.Join(
		writeJSON(filepath.Join(dir, "index.json"), index),
		writeJSON(filepath.Join(dir, "oci-layout"), ocispec.ImageLayout{Version: "1.0.0"}),
	)
}

// put writes v as a blob.
func (l *layout) put(mediaType string, v any) (ocispec.Descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := digest.FromBytes(b)
	l.bytes += int64(len(b))
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
	return desc, os.WriteFile(l.blob(d), b, 0o644)
}

func (l *layout) blob(d digest.Digest) string {
	return filepath.Join(l.dir, "blobs", string(d.Algorithm()), d.Encoded())
}

// layer packs files below c.root and returns the blob and the digest of the
// tar archive in it.
func (l *layout) layer(c source) (ocispec.Descriptor, digest.Digest, error) {
	desc := ocispec.Descriptor{MediaType: c.as}
	temp, err := os.Create(filepath.Join(l.dir, "layer"))
	if err != nil {
		return desc, "", err
	}
	defer temp.Close()
	packed, raw := digest.Canonical.Digester(), digest.Canonical.Digester()
	blob := io.MultiWriter(temp, packed.Hash())
	packer, err := pack(c.as, blob)
	if err != nil {
		return desc, "", err
	}
	err = errors.Join(archive(io.MultiWriter(packer, raw.Hash()), c), packer.Close())
	if err != nil {
		return desc, "", err
	}
	desc.Digest = packed.Digest()
	if desc.Size, err = temp.Seek(0, io.SeekCurrent); err != nil {
		return desc, "", err
	}
	l.bytes += desc.Size
	return desc, raw.Digest(), os.Rename(temp.Name(), l.blob(desc.Digest))
}

// pack compresses what is written to it into w, as the media type says.
func pack(mediaType string, w io.Writer) (io.WriteCloser, error) {
	switch mediaType {
	case ocispec.MediaTypeImageLayerGzip:
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case ocispec.MediaTypeImageLayerZstd:
		cmd := exec.Command("zstd", "-q", "-1", "-c", "-")
		cmd.Stdout, cmd.Stderr = w, os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		return command{in, cmd}, cmd.Start()
	default:
		return whole{w}, nil
	}
}

// A command is the input of a running command; Close waits for its end.
type command struct {
	io.WriteCloser
	cmd *exec.Cmd
}

func (c command) Close() error { return errors.Join(c.WriteCloser.Close(), c.cmd.Wait()) }

// A whole is a writer with nothing to close.
type whole struct{ io.Writer }

func (whole) Close() error { return nil }

// archive writes files below c.root as a tar archive, as if root had made them
// at the epoch, until there are enough.
func archive(w io.Writer, c source) error {
	tw := tar.NewWriter(w)
	var total int64
	err := filepath.WalkDir(c.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir // not readable for us: not in the image
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if total += info.Size(); total > c.bytesMax {
			return fs.SkipAll
		}
		return add(tw, path, info)
	})
	return errors.Join(err, tw.Close())
}

// add writes one directory, symbolic link or readable regular file.
func add(tw *tar.Writer, path string, info fs.FileInfo) error {
	head := &tar.Header{
		Name: path[1:], Mode: int64(info.Mode().Perm()), ModTime: time.Unix(0, 0), Format: tar.FormatPAX,
	}
	var file io.Reader = strings.NewReader("")
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		head.Typeflag, head.Linkname = tar.TypeSymlink, target
	case fs.ModeDir:
		head.Typeflag, head.Name = tar.TypeDir, head.Name+"/"
	case 0:
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrPermission) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		file = f
		head.Typeflag, head.Size = tar.TypeReg, info.Size()
	default:
		return nil // no device, socket or pipe
	}
	if err := tw.WriteHeader(head); err != nil {
		return err
	}
	_, err := io.Copy(tw, file)
	return err
}

func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// checkLayout compares an image that came back, as an OCI layout, with the one
// that was pushed: the same manifest, and every blob what its name says.
func checkLayout(t *testing.T, dir string, want layout) {
	t.Helper()
	var index ocispec.Index
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 1 || index.Manifests[0].Digest != want.manifest {
		t.Errorf("came back as %v, want %s", index.Manifests, want.manifest)
	}
	if n := checkBlobs(t, filepath.Join(dir, "blobs", "sha256")); n != want.bytes {
		t.Errorf("%d bytes came back, want %d", n, want.bytes)
	}
}

// checkBlobs hashes every file of a directory whose files are named by their
// sha256, and returns their size.
func checkBlobs(t *testing.T, dir string) (total int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		digester := digest.SHA256.Digester()
		n, err := io.Copy(digester.Hash(), f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if got := digester.Digest().Encoded(); got != e.Name() {
			t.Errorf("blob %s has the bytes of %s", e.Name(), got)
		}
		total += n
	}
	return total
}
