package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	imageUser = 65532 // what images without root use by custom
	imageData = "/var/lib/skerry"
)

// image writes one image index with an image for each architecture as an OCI
// layout. It replaces what was there.
func (j job) image() error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range j.archs {
		img, err := j.imageFor(arch)
		if err != nil {
			return fmt.Errorf("image for %s: %w", arch, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	index, ok := mutate.Annotations(index, j.labels()).(v1.ImageIndex)
	if !ok {
		return fmt.Errorf("annotate the index: it is none any more")
	}
	dir := filepath.Join(j.out, "image")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	// A tag has neither ~ nor +.
	tag := regexp.MustCompile(`[~+]`).ReplaceAllString(j.version, "-")
	return path.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag}))
}

func (j job) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":         "Skerry",
		"org.opencontainers.image.description":   summary,
		"org.opencontainers.image.version":       j.version,
		"org.opencontainers.image.created":       j.time.Format(time.RFC3339),
		"org.opencontainers.image.licenses":      license,
		"org.opencontainers.image.url":           homepage,
		"org.opencontainers.image.documentation": homepage,
	}
}

func (j job) imageFor(arch string) (v1.Image, error) {
	archive, err := j.rootFS(arch)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive)), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: j.time}
	img, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{
		OS: "linux", Architecture: arch, Created: created,
		Config: v1.Config{
			User:         fmt.Sprintf("%d:%d", imageUser, imageUser),
			Entrypoint:   []string{"/usr/bin/skerry"},
			Cmd:          []string{"serve"},
			Env:          []string{"PATH=/usr/bin", "SKERRY_DATA=" + imageData},
			ExposedPorts: map[string]struct{}{"5000/tcp": {}},
			Volumes:      map[string]struct{}{imageData: {}},
			WorkingDir:   "/",
			StopSignal:   "SIGTERM",
			Labels:       j.labels(),
		},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Append(mutate.ConfigMediaType(img, types.OCIConfigJSON), mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: created, CreatedBy: "packaging/build"},
	})
}

// rootFS is the file system of the image: a user, a place for data, and the
// binary.
func (j job) rootFS(arch string) ([]byte, error) {
	binary, err := os.ReadFile(j.staged("skerry-" + arch))
	if err != nil {
		return nil, err
	}
	passwd := fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\nskerry:x:%d:%d:Skerry:%s:/sbin/nologin\n",
		imageUser, imageUser, imageData)
	group := fmt.Sprintf("root:x:0:\nskerry:x:%d:\n", imageUser)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range []struct {
		name  string
		mode  int64
		owner int
		body  []byte
	}{
		{"etc/", 0o755, 0, nil},
		{"etc/group", 0o644, 0, []byte(group)},
		{"etc/passwd", 0o644, 0, []byte(passwd)},
		{"tmp/", 0o1777, 0, nil},
		{"usr/", 0o755, 0, nil},
		{"usr/bin/", 0o755, 0, nil},
		{"usr/bin/skerry", 0o755, 0, binary},
		{"var/", 0o755, 0, nil},
		{"var/lib/", 0o755, 0, nil},
		{"var/lib/skerry/", 0o700, imageUser, nil},
	} {
		h := tar.Header{
			Name: e.name, Mode: e.mode, Uid: e.owner, Gid: e.owner, Size: int64(len(e.body)),
			ModTime: j.time, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR,
		}
		if strings.HasSuffix(e.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.body); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}
