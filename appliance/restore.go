package appliance

import (
	"archive/tar"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/blobstore/object"
	"skerry.dev/skerry/meta"
	"skerry.dev/skerry/raft"
)

// A RestoreReport says what an archive held.
type RestoreReport struct {
	Index   uint64          `json:"index"`
	Blobs   int64           `json:"blobs"`
	Bytes   int64           `json:"bytes"`
	Damaged []digest.Digest `json:"damaged,omitempty"` // not in the archive: push them again
}

// Restore builds a new data directory from an archive that backup wrote. The
// node that starts on it is a new one, alone, with everything that the archive
// holds. Its blobs go where storage says, under a prefix that no other registry uses
// now: what one collects, the other would miss.
//
// The directory appears under its name only when it is whole; an interrupted
// restore leaves data+".restoring", which the next one replaces.
func Restore(
	ctx context.Context, data string, storage Storage, archive io.Reader, log *slog.Logger,
) (*RestoreReport, error) {
	if entries, err := os.ReadDir(data); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty: restore into a directory that does not exist yet", data)
	}
	building := filepath.Clean(data) + ".restoring"
	if err := os.RemoveAll(building); err != nil {
		return nil, fmt.Errorf("clear an interrupted restore: %w", err)
	}
	report, err := restoreInto(ctx, building, storage, archive, log)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(building))
	}
	if err := syncDir(building); err != nil { // what was made in it last, the log
		return nil, fmt.Errorf("sync restored directory: %w", err)
	}
	if err := os.Remove(data); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace empty directory: %w", err)
	}
	if err := os.Rename(building, data); err != nil {
		return nil, fmt.Errorf("put restored directory in place: %w", err)
	}
	return report, syncDir(filepath.Dir(filepath.Clean(data)))
}

func restoreInto(
	ctx context.Context, building string, storage Storage, archive io.Reader, log *slog.Logger,
) (_ *RestoreReport, err error) {
	dir, err := openDataDir(building)
	if err != nil {
		return nil, err
	}
	storage.Kind = cmp.Or(storage.Kind, StorageLocal)
	if err := dir.checkLocation(storage); err != nil {
		return nil, errors.Join(err, dir.close())
	}
	blobs, bucket, err := openBytes(ctx, storage, nil, blobstore.Config{
		Dir: dir.join(storageName), Log: log, Reserve: -1,
		Soft: 100, High: 100, Critical: 100, // what fits is restored; the registry judges when it starts
	})
	if err != nil {
		return nil, errors.Join(err, dir.close())
	}
	defer func() { err = errors.Join(err, blobs.Close(), dir.close()) }()
	r := restorer{dir: dir, blobs: blobs, bucket: bucket, tr: tar.NewReader(archive)}
	if err := r.unpack(ctx); err != nil {
		return nil, err
	}
	if err := r.found(ctx, log); err != nil {
		return nil, err
	}
	return &r.report, nil
}

// A restorer unpacks one archive into a data directory.
type restorer struct {
	dir    *dataDir
	blobs  bytesStore
	bucket *object.Store // nil: blobs go to the directory
	tr     *tar.Reader
	report RestoreReport
}

func (r *restorer) unpack(ctx context.Context) error {
	head, err := r.info(archiveHead)
	if err != nil {
		return fmt.Errorf("this is not a backup of Skerry: %w", err)
	}
	if head.Format != archiveFormat {
		return fmt.Errorf("the archive has format %d, this version reads %d: restore with Skerry %s",
			head.Format, archiveFormat, head.Version)
	}
	if r.bucket != nil {
		if head.StorageOwner == "" {
			return errors.New("the archive does not say whose a bucket's blobs are, because an older version wrote it: " +
				"restore it with storage local, start it, and take another backup")
		}
		r.bucket.Claim(head.StorageOwner)
	}
	r.report.Index = head.Index
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := r.tr.Next()
		if errors.Is(err, io.EOF) {
			return errors.New("the archive is cut off: take another backup")
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		if h.Name == archiveTail {
			return r.finish()
		}
		if err := r.member(ctx, h); err != nil {
			return fmt.Errorf("restore %s: %w", h.Name, err)
		}
	}
}

func (r *restorer) member(ctx context.Context, h *tar.Header) error {
	switch {
	case h.Name == archiveDB:
		return r.file(filepath.Join(metaName, archiveDB))
	case strings.HasPrefix(h.Name, archiveTLS):
		return r.file(filepath.Join(tlsName, filepath.Base(h.Name)))
	case strings.HasPrefix(h.Name, archiveBlobs):
		alg, hex, _ := strings.Cut(strings.TrimPrefix(h.Name, archiveBlobs), "/")
		return r.blob(ctx, digest.NewDigestFromEncoded(digest.Algorithm(alg), hex), h.Size)
	}
	return errors.New("unknown member")
}

// file writes a small or the database's file. Sync comes with the directory's
// rename: nothing of it counts before.
func (r *restorer) file(name string) error {
	path := r.dir.join(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r.tr)
	return errors.Join(err, f.Sync(), f.Close(), syncDir(filepath.Dir(path)))
}

func (r *restorer) blob(ctx context.Context, d digest.Digest, size int64) error {
	if err := d.Validate(); err != nil {
		return err
	}
	u, err := r.blobs.Create("restore", d.Algorithm(), size)
	if err != nil {
		return err
	}
	if _, err := u.ReadFrom(r.tr); err != nil {
		return errors.Join(err, u.Cancel())
	}
	pin, err := u.Commit(ctx, d)
	if errors.Is(err, blobstore.ErrDigest) {
		return u.Cancel() // was damaged when the archive was made: the tail says so, finish compares
	}
	if err != nil {
		return errors.Join(err, u.Cancel())
	}
	pin.Release()
	r.report.Blobs++
	r.report.Bytes += size
	return nil
}

// finish compares what came with what the tail says must have come.
func (r *restorer) finish() error {
	var tail archiveInfo
	if err := json.NewDecoder(r.tr).Decode(&tail); err != nil {
		return fmt.Errorf("read the archive's tail: %w", err)
	}
	if tail.Blobs != r.report.Blobs || tail.Bytes != r.report.Bytes {
		return fmt.Errorf("the archive should hold %d blobs of %d bytes, and holds %d of %d: it is damaged",
			tail.Blobs, tail.Bytes, r.report.Blobs, r.report.Bytes)
	}
	r.report.Damaged = tail.Damaged
	return nil
}

func (r *restorer) info(name string) (info archiveInfo, err error) {
	h, err := r.tr.Next()
	if err != nil {
		return info, err
	}
	if h.Name != name {
		return info, fmt.Errorf("it begins with %q", h.Name)
	}
	return info, json.NewDecoder(r.tr).Decode(&info)
}

// found makes the unpacked database the state of a new cluster of one node.
func (r *restorer) found(ctx context.Context, log *slog.Logger) (err error) {
	path := r.dir.join(filepath.Join(metaName, archiveDB))
	if _, err := os.Stat(path); err != nil {
		return errors.New("the archive holds no metadata: it is damaged")
	}
	host, err := os.Hostname()
	if err != nil {
		host = "restored"
	}
	id, err := r.dir.nodeID(host)
	if err != nil {
		return err
	}
	db, err := meta.OpenDB(meta.DBConfig{Dir: r.dir.join(metaName), Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Install(path); err != nil {
		return err
	}
	if err := db.ResetNodes(ctx); err != nil {
		return err
	}
	index, position := db.Position()
	position, err = raft.Seed(raft.SeedConfig{Dir: r.dir.join(raftName), NodeID: id, Log: log}, position)
	if err != nil {
		return err
	}
	return db.Checkpoint(index, position)
}
