package appliance

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
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
	// StorageOwner is whose an object store's bucket is; see Appliance.storageOwner.
	StorageOwner string `json:"storageOwner,omitempty"`

	Blobs   int64           `json:"blobs,omitempty"`
	Bytes   int64           `json:"bytes,omitempty"`
	Damaged []digest.Digest `json:"damaged,omitempty"` // known, but not readable when the archive was made
}

// backup writes an archive of one moment while the registry goes on: the
// metadata is one read transaction, blobs never change, and none is unlinked
// until the archive is written. A damaged or missing blob does not spoil the
// rest; the tail names it.
//
// Any node writes the same archive: what others hold is read from them. They go on
// collecting meanwhile, so a blob may be missing that nothing has referred to for the
// grace period. Without a leader the archive holds what this node knows.
func (a *Appliance) backup(ctx context.Context, w io.Writer) error {
	a.sweeping.Lock()
	defer a.sweeping.Unlock()
	a.catchUpBriefly(ctx)
	info := archiveInfo{Format: archiveFormat, Version: Version(), Node: a.cfg.Node, Created: time.Now().UTC()}
	owner, err := a.storageOwner(ctx) // before the snapshot, which then has it too
	if err != nil && a.bucket != nil {
		return err
	}
	info.StorageOwner = owner // without one, on a full disk, it is restored to a disk only
	ar := &archiver{tw: tar.NewWriter(w), created: info.Created}
	blobs, err := a.backupMetadata(ctx, ar, &info)
	if err != nil {
		return err
	}
	if err := ar.addDir(archiveTLS, a.dir.join(tlsName)); err != nil {
		return err
	}
	if err := a.backupBlobs(ctx, ar, blobs, &info); err != nil {
		return err
	}
	if err := ar.addJSON(archiveTail, info); err != nil {
		return err
	}
	level := slog.LevelInfo
	if len(info.Damaged) > 0 {
		level = slog.LevelWarn
	}
	a.log.Log(ctx, level, "backup written", "blobs", info.Blobs, "bytes", info.Bytes, "damaged", len(info.Damaged))
	return ar.tw.Close()
}

// openOnce opens a blob of this disk, or of another node's.
func (a *Appliance) openOnce(ctx context.Context, d digest.Digest) (io.ReadSeekCloser, error) {
	if a.cluster.copies == nil {
		return a.blobs.Open(ctx, d)
	}
	return a.cluster.copies.Store().OpenOnce(ctx, d)
}

// archivedBlob is a blob that the archive should hold.
type archivedBlob struct {
	digest digest.Digest
	size   int64
}

// backupMetadata writes head and database, and lists the blobs that belong to
// them: some 100 bytes of memory for each. Blobs take hours, in which an open
// snapshot would let the database grow with every push.
func (a *Appliance) backupMetadata(
	ctx context.Context, ar *archiver, info *archiveInfo,
) (blobs []archivedBlob, err error) {
	snap, err := a.db.Snapshot()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	info.Index = snap.Index
	if err := ar.addJSON(archiveHead, info); err != nil {
		return nil, err
	}
	if err := ar.add(archiveDB, snap.Size, snap); err != nil {
		return nil, err
	}
	for b, err := range snap.AllBlobs() {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		blobs = append(blobs, archivedBlob{b.Digest, b.Size})
	}
	return blobs, nil
}

func (a *Appliance) backupBlobs(ctx context.Context, ar *archiver, blobs []archivedBlob, info *archiveInfo) error {
	for _, b := range blobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		ok, err := a.backupBlob(ctx, ar, b)
		if err != nil {
			return fmt.Errorf("back up blob %s: %w", b.digest, err)
		}
		if !ok {
			info.Damaged = append(info.Damaged, b.digest)
			continue
		}
		info.Blobs++
		info.Bytes += b.size
	}
	return nil
}

// backupBlob reports whether the bytes were what their name says.
func (a *Appliance) backupBlob(ctx context.Context, ar *archiver, b archivedBlob) (ok bool, err error) {
	f, err := a.openOnce(ctx, b.digest)
	if away(err) {
		return false, err
	}
	if err != nil {
		return false, nil // missing or unreadable: the tail names it
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err != nil || size != b.size {
		return false, nil //nolint:nilerr // of another size: the tail names it
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	v := b.digest.Verifier()
	content := &padded{from: f, left: b.size}
	name := archiveBlobs + b.digest.Algorithm().String() + "/" + b.digest.Encoded()
	if err := ar.add(name, b.size, readerTo{io.TeeReader(content, v)}); err != nil {
		return false, err
	}
	if away(content.err) {
		return false, content.err
	}
	return v.Verified(), nil
}

// away reports whether an error says nothing about a blob: what keeps it does not
// answer.
func away(err error) bool {
	return errors.Is(err, blobstore.ErrUnavailable) || errors.Is(err, blobstore.ErrRefused)
}

// padded gives as many bytes as the archive was told to expect: zeros, from
// where the disk cannot read on. Their digest tells.
type padded struct {
	from io.Reader
	left int64
	err  error // why it is zeros from here on
}

func (p *padded) Read(b []byte) (n int, _ error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.left)]
	if p.err == nil {
		n, p.err = p.from.Read(b)
	}
	if p.err != nil && n == 0 {
		clear(b)
		n = len(b)
	}
	p.left -= int64(n)
	return n, nil
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
