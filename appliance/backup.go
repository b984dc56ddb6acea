package appliance

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// An archive is a tar of, in this order: its head, the database, the CA's
// files, every blob, its tail. The tail says that it is whole; an archive
// without one is refused.
const (
	archiveFormat = 1
	archiveHead   = "skerry-backup.json"
	archiveDB     = "meta.db"
	archiveTLS    = "tls/"
	archiveBlobs  = "blobs/" // + algorithm + "/" + hex
	archiveTail   = "complete.json"
)

// archiveInfo is the head of an archive, and with the rest filled in its tail.
type archiveInfo struct {
	Format  int       `json:"format"`
	Version string    `json:"version"`
	Node    string    `json:"node"`
	Created time.Time `json:"created"`
	Index   uint64    `json:"index"` // of the metadata log

	Blobs   int64           `json:"blobs,omitempty"`
	Bytes   int64           `json:"bytes,omitempty"`
	Damaged []digest.Digest `json:"damaged,omitempty"` // known, but not readable when the archive was made
}

// backup writes an archive of one moment while the registry goes on: the
// metadata is one read transaction, blobs never change, and none is unlinked
// until the archive is written. A damaged or missing blob does not spoil the
// rest; the tail names it.
func (a *Appliance) backup(ctx context.Context, w io.Writer) (err error) {
	a.sweeping.Lock()
	defer a.sweeping.Unlock()
	snap, err := a.db.Snapshot()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()

	info := archiveInfo{
		Format: archiveFormat, Version: Version(), Node: a.cfg.Node, Created: time.Now().UTC(), Index: snap.Index,
	}
	ar := &archiver{tw: tar.NewWriter(w), created: info.Created}
	if err := ar.addJSON(archiveHead, info); err != nil {
		return err
	}
	if err := ar.add(archiveDB, snap.Size, snap); err != nil {
		return err
	}
	if err := ar.addDir(archiveTLS, a.dir.join(tlsName)); err != nil {
		return err
	}
	if err := a.backupBlobs(ctx, ar, snap, &info); err != nil {
		return err
	}
	if err := ar.addJSON(archiveTail, info); err != nil {
		return err
	}
	a.log.InfoContext(ctx, "backup written", "blobs", info.Blobs, "bytes", info.Bytes, "damaged", len(info.Damaged))
	return ar.tw.Close()
}

func (a *Appliance) backupBlobs(ctx context.Context, ar *archiver, snap *meta.Snapshot, info *archiveInfo) error {
	for b, err := range snap.Blobs() {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		ok, err := a.backupBlob(ar, b)
		if err != nil {
			return fmt.Errorf("back up blob %s: %w", b.Digest, err)
		}
		if !ok {
			info.Damaged = append(info.Damaged, b.Digest)
			continue
		}
		info.Blobs++
		info.Bytes += b.Size
	}
	return nil
}

// backupBlob reports whether the bytes were what their name says.
func (a *Appliance) backupBlob(ar *archiver, b meta.Blob) (ok bool, err error) {
	f, err := a.blobs.Open(b.Digest)
	if err != nil {
		return false, nil //nolint:nilerr // missing or unreadable: the tail names it
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() != b.Size {
		return false, nil //nolint:nilerr // of another size: the tail names it
	}
	v := b.Digest.Verifier()
	name := archiveBlobs + b.Digest.Algorithm().String() + "/" + b.Digest.Encoded()
	if err := ar.add(name, b.Size, readerTo{io.TeeReader(f, v)}); err != nil {
		return false, err
	}
	return v.Verified(), nil
}

// archiver writes tar members.
type archiver struct {
	tw      *tar.Writer
	created time.Time
}

func (ar *archiver) add(name string, size int64, content io.WriterTo) error {
	h := &tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: ar.created, Format: tar.FormatPAX}
	if err := ar.tw.WriteHeader(h); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	if _, err := content.WriteTo(ar.tw); err != nil {
		return fmt.Errorf("write %s to archive: %w", name, err)
	}
	return nil
}

func (ar *archiver) addJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return ar.add(name, int64(len(b)), bytes.NewReader(b))
}

func (ar *archiver) addDir(prefix, dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil // without TLS of its own there is none
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if err := ar.add(prefix+e.Name(), int64(len(b)), bytes.NewReader(b)); err != nil {
			return err
		}
	}
	return nil
}

// readerTo is a reader that io.Copy must read, and must not look behind.
type readerTo struct{ io.Reader }

func (r readerTo) WriteTo(w io.Writer) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r.Reader}, make([]byte, 1<<20))
}
