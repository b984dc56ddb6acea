package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// What callers test for with [errors.Is].
var (
	// ErrNotFound: there is no such blob, or no such upload in that scope.
	ErrNotFound = errors.New("blobstore: not found")
	// ErrDigest: the bytes are not what the digest says.
	ErrDigest = errors.New("blobstore: digest mismatch")
	// ErrFull: the disk is above the high watermark, or has no space left for
	// this write, or a quota of the file system is used up.
	ErrFull = errors.New("blobstore: disk full")
	// ErrBusy: another request holds the upload.
	ErrBusy = errors.New("blobstore: upload in use")
	// ErrPinned: the blob is needed by a push in progress; Remove must come
	// back later.
	ErrPinned = errors.New("blobstore: blob in use by an upload")
	// ErrUnavailable: what keeps the blobs is not this disk, and did not answer,
	// or not in time. Nothing is wrong with the blob; trying again helps.
	ErrUnavailable = errors.New("blobstore: storage unavailable")
	// ErrRefused: what keeps the blobs is not this disk, and does not do what it
	// is asked to: credentials, the bucket or a setting are wrong. Trying again
	// does not help before somebody changed that.
	ErrRefused = errors.New("blobstore: storage refuses")
)

// Config says where a [Store] is and when its disk counts as full.
type Config struct {
	// Dir holds everything. It is created, mode 0700, if absent.
	Dir string
	// Log gets what nobody is waiting for; nil discards it.
	Log *slog.Logger
	// Soft, High and Critical are the watermarks in percent of the file
	// system used. 0 means 80, 90 and 95.
	Soft, High, Critical int
	// Reserve is the size of the ballast in bytes, given up when the disk is
	// full. 0 means 2 % of the file system, at least 16 and at most 256 MiB,
	// and never more than 5 %. Negative means none.
	Reserve int64
	// LeaveReserve leaves the ballast as it is found, for who only looks.
	LeaveReserve bool
	// Publish, where given, keeps finished uploads elsewhere: Dir then holds
	// uploads in progress and the ballast, and no blobs.
	Publish Publisher
}

// A Publisher gives size bytes of from, which were found to be d, the name d,
// and returns when they outlive whatever happens to this machine, pinned. With
// an error nothing has that name that had not before, and the upload stays, to
// be committed again. It is called concurrently, and must not keep from.
type Publisher func(ctx context.Context, d digest.Digest, from io.ReaderAt, size int64) (*Pin, error)

// A Store is a directory of blobs on this disk. It is safe for concurrent use.
type Store struct {
	// Immutable after Open.
	cfg  Config
	log  *slog.Logger
	os   osDisk // reads
	disk disk   // writes: os, or in a test what records it; timed

	metrics *metrics

	sessions sessions
	pins     pins
	shards   shards
	ballast  ballast
	buffers  sync.Pool // of *buffer
}

// A buffer carries bytes from a client or a file to the hash and the disk.
type buffer [256 << 10]byte

// Open opens the store in cfg.Dir, or creates it. It reads no blob and costs
// the same however many there are.
func Open(cfg Config) (*Store, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	dir, err := makeRoot(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	d := osDisk{dir: dir}
	s, err := open(cfg, d, d)
	if err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	return s, nil
}

// open is Open with the disk to write to.
func open(cfg Config, from osDisk, to disk) (*Store, error) {
	m := newMetrics()
	s := &Store{
		cfg:      cfg,
		log:      cfg.Log,
		os:       from,
		disk:     timed{to, m},
		metrics:  m,
		sessions: sessions{byKey: make(map[uploadKey]*session)},
		shards:   shards{ready: make(map[string]bool)},
		buffers:  sync.Pool{New: func() any { return new(buffer) }},
	}
	for _, dir := range []string{blobsDir, uploadsDir, quarantineDir} {
		if err := to.mkdir(dir); err != nil {
			return nil, err
		}
	}
	if err := to.syncDir("."); err != nil {
		return nil, err
	}
	return s, s.openBallast()
}

// makeRoot makes dir, and what leads to it, durably where absent, and returns
// its absolute path.
func makeRoot(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	switch info, err := os.Stat(dir); {
	case err == nil && !info.IsDir():
		return "", &os.PathError{Op: "open", Path: dir, Err: unix.ENOTDIR}
	case !errors.Is(err, fs.ErrNotExist):
		return dir, err
	}
	parent, err := makeRoot(filepath.Dir(dir))
	if err != nil {
		return "", err
	}
	return dir, makeDir(osDisk{dir: parent}, filepath.Base(dir))
}

func (c *Config) setDefaults() error {
	if c.Dir == "" {
		return errors.New("no directory given")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	for mark, def := range map[*int]int{&c.Soft: 80, &c.High: 90, &c.Critical: 95} {
		if *mark == 0 {
			*mark = def
		}
	}
	if c.Soft < 1 || c.Soft > c.High || c.High > c.Critical || c.Critical > 100 {
		return fmt.Errorf("watermarks %d, %d, %d: want 1 ≤ soft ≤ high ≤ critical ≤ 100", c.Soft, c.High, c.Critical)
	}
	return nil
}

// Close closes the files that idle uploads kept open. Uploads in use and files
// handed out by Open stay valid; nothing new may be asked of the store.
func (s *Store) Close() error {
	if err := s.sessions.close(); err != nil {
		return fmt.Errorf("close blob store: %w", err)
	}
	return nil
}

// Info is what a file tells about its blob.
type Info struct {
	Digest digest.Digest
	Size   int64     // bytes
	Time   time.Time // of publication; for a quarantined blob, of its quarantine
}

// Stat looks a blob up. It returns [ErrNotFound] when it is not here.
func (s *Store) Stat(_ context.Context, d digest.Digest) (Info, error) {
	b, err := parseDigest(d)
	if err != nil {
		return Info{}, fmt.Errorf("stat blob: %w", err)
	}
	st, err := s.stat(b.path())
	if err != nil {
		return Info{}, fmt.Errorf("stat blob %s: %w", d, asNotFound(err))
	}
	return Info{Digest: d, Size: st.Size, Time: published(st)}, nil
}

// Open opens a blob for reading; the caller closes it. The file stays readable
// when the blob is removed or replaced meanwhile. It is an [*os.File], so that
// the kernel can send it without copying. It returns [ErrNotFound] when the
// blob is not here.
func (s *Store) Open(_ context.Context, d digest.Digest) (io.ReadSeekCloser, error) {
	b, err := parseDigest(d)
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	f, err := s.os.open(b.path(), unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", d, asNotFound(err))
	}
	return f, nil
}

// Read reads a blob of size bytes into p, which must have room for one more: a
// file of another length is [ErrDigest], for it is not what its name says. It is
// for blobs so small that an [*os.File] costs more than their bytes do. It
// returns [ErrNotFound] when the blob is not here.
func (s *Store) Read(_ context.Context, d digest.Digest, size int64, p []byte) error {
	b, err := parseDigest(d)
	if err != nil {
		return fmt.Errorf("read blob: %w", err)
	}
	got, err := s.os.read(b.path(), p[:size+1])
	if err == nil && int64(got) != size {
		err = ErrDigest
	}
	if err != nil {
		return fmt.Errorf("read blob %s: %w", d, asNotFound(err))
	}
	return nil
}

// stat is one system call and no os.FileInfo.
func (s *Store) stat(name string) (st unix.Stat_t, err error) {
	name = s.os.path(name)
	if err := uninterrupted(func() error { return unix.Lstat(name, &st) }); err != nil {
		return st, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	return st, nil
}

// published is when a blob's file was renamed, which changes its inode. The
// last write, which other stores go by, may have been days earlier.
func published(st unix.Stat_t) time.Time { return time.Unix(st.Ctim.Unix()) }

// asNotFound makes an absent file an [ErrNotFound].
func asNotFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	return err
}
