package object

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
)

// A Kind is a protocol that an object store speaks.
type Kind string

// The kinds.
const (
	S3    Kind = "s3"
	GCS   Kind = "gcs"
	Azure Kind = "azure"
)

// Config says where an object store is, and what it is asked with.
type Config struct {
	Kind Kind
	// Bucket is a bucket that exists, or a container of Azure's.
	Bucket string
	// Prefix is the directory in it that holds everything; "" is the bucket itself.
	Prefix string
	// Endpoint is the URL of the service. "" is the provider's own.
	Endpoint string

	// Region is S3's. It may be "" with an Endpoint.
	Region string
	// Account is Azure's storage account, in the cloud whose domain is Realm; ""
	// means the public one.
	Account, Realm string
	// KeyID and Key are S3's access key and its secret. Key alone is the key of
	// Azure's account, or that of GCS's service account, as JSON. Both "" leaves it to
	// the environment and the machine: AWS_… and AZURE_… variables, roles, managed
	// identities.
	KeyID, Key string
	// KeyFile holds what Key is for GCS, if that is "".
	KeyFile string

	// CA is the certificates, PEM, that S3's is signed by; if it is "", CAFile holds
	// them. Both "" means those that the system trusts.
	CA, CAFile string
	// VirtualHosted puts the bucket into the host name of S3's addresses instead of
	// into their path.
	VirtualHosted bool
	// Encrypt asks S3 to encrypt what is stored, with the key KMSKey or, if that
	// is "", with one of its own.
	Encrypt bool
	KMSKey  string
	// ChunkBytes is what one request of a large blob carries; each blob being
	// committed needs as much memory. 0 means 10 MiB. S3 takes 10,000 to a blob.
	ChunkBytes int64

	// RequestTimeout is how long the store may take for what carries no large blob, or
	// to begin one; StallTimeout for the next piece of one; FinishTimeout to put
	// together or copy what it has. 0 means 15 s, 1 min and 5 min.
	RequestTimeout, StallTimeout, FinishTimeout time.Duration

	// Absent, if it is not nil, says why there is no object store to ask: a Store
	// then keeps its uploads and answers [blobstore.ErrRefused] with it.
	Absent error

	// Staging is the store on this disk that receives uploads. Its Publish is set
	// by Open.
	Staging blobstore.Config
}

const (
	// putsMax is how many blobs are sent at once; others wait.
	putsMax = 8
	// wholeBytes is up to where a blob is sent in one request.
	wholeBytes = 8 << 20
	// chunkDefault is what a Config means by no ChunkBytes.
	chunkDefault = 10 << 20
	// partsMax is how many chunks S3 puts together.
	partsMax = 10_000
)

// A Store is a bucket of blobs. It is safe for concurrent use.
type Store struct {
	// Immutable after Open.
	cfg     Config
	log     *slog.Logger
	backend backend
	staging *blobstore.Store
	pending pending
	metrics *metrics
	puts    chan struct{} // a place for each blob being sent
	buffers sync.Pool     // of *buffer

	names   names
	owner   atomic.Pointer[string] // who this registry is; set by Claim
	owned   atomic.Bool            // the bucket was seen to be the owner's
	owning  sync.Mutex             // held while it is looked
	trouble atomic.Pointer[error]  // what Reach found last; nil: nothing, or not asked yet
}

// A backend is one of distribution's drivers, and how it differs from others.
type backend struct {
	driver.StorageDriver
	// status is the HTTP status that an error stands for, and what it says, in one
	// line. It is 503 when the store did not answer, and 0 when it was not asked.
	status func(error) (code int, text string)
	// atomic: a blob being written cannot be seen before it is committed, and one
	// that is not committed leaves what had its name before.
	atomic bool
	// abandoned: what a killed process wrote can be found by its name alone, and
	// costs money until it is dropped.
	abandoned bool
}

// A buffer carries bytes from the object store to a hash.
type buffer [256 << 10]byte

// Open opens the store. It asks the object store nothing. Nothing can be written
// before [Store.Claim].
func Open(ctx context.Context, cfg Config) (_ *Store, err error) {
	s := &Store{
		cfg:     cfg.withDefaults(),
		log:     cmp.Or(cfg.Staging.Log, slog.New(slog.DiscardHandler)),
		metrics: newMetrics(),
		puts:    make(chan struct{}, putsMax),
		buffers: sync.Pool{New: func() any { return new(buffer) }},
	}
	s.names.init()
	if s.backend, err = connect(ctx, s.cfg); err != nil {
		return nil, fmt.Errorf("open object store: %w", err)
	}
	cfg.Staging.Publish = s.publish
	if s.staging, err = blobstore.Open(cfg.Staging); err != nil {
		return nil, err
	}
	if s.pending, err = openPending(filepath.Join(cfg.Staging.Dir, pendingDir)); err != nil {
		return nil, errors.Join(fmt.Errorf("open object store: %w", err), s.staging.Close())
	}
	return s, nil
}

func (c Config) withDefaults() Config {
	c.ChunkBytes = cmp.Or(c.ChunkBytes, chunkDefault)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 15*time.Second)
	c.StallTimeout = cmp.Or(c.StallTimeout, time.Minute)
	c.FinishTimeout = cmp.Or(c.FinishTimeout, 5*time.Minute)
	return c
}

func connect(ctx context.Context, cfg Config) (backend, error) {
	if cfg.Absent != nil {
		return absent(cfg.Absent), nil
	}
	switch cfg.Kind {
	case S3:
		return openS3(ctx, cfg)
	case GCS:
		return openGCS(ctx, cfg)
	case Azure:
		return openAzure(ctx, cfg)
	}
	return backend{}, fmt.Errorf("kind %q: want %s, %s or %s", cfg.Kind, S3, GCS, Azure)
}

// Close closes the store. Blobs handed out by Open stay readable.
func (s *Store) Close() error { return s.staging.Close() }

// Create is [blobstore.Store.Create]. Nothing is taken while the object store is
// known to be away: the client would be told so after its last byte.
func (s *Store) Create(scope string, alg digest.Algorithm, size int64) (*blobstore.Upload, error) {
	if err := s.Trouble(); err != nil {
		return nil, fmt.Errorf("create upload: %w", err)
	}
	return s.staging.Create(scope, alg, size)
}

// Resume is [blobstore.Store.Resume].
func (s *Store) Resume(scope, id string) (*blobstore.Upload, error) {
	return s.staging.Resume(scope, id)
}

// StatUpload is [blobstore.Store.StatUpload].
func (s *Store) StatUpload(scope, id string) (size int64, started time.Time, err error) {
	return s.staging.StatUpload(scope, id)
}

// Usage is [blobstore.Store.Usage], of the disk that receives uploads: an object
// store is never full.
func (s *Store) Usage() (blobstore.Usage, error) { return s.staging.Usage() }

// Relieve is [blobstore.Store.Relieve], of the same disk.
func (s *Store) Relieve() error { return s.staging.Relieve() }

var _ io.Closer = (*Store)(nil)
