package appliance

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/blobstore/object"
)

// A StorageKind says where blobs are kept.
type StorageKind string

// The kinds.
const (
	StorageLocal StorageKind = "local" // in the data directory
	StorageS3    StorageKind = StorageKind(object.S3)
	StorageGCS   StorageKind = StorageKind(object.GCS)
	StorageAzure StorageKind = StorageKind(object.Azure)
)

// Storage says where blobs are kept; metadata and uploads in progress are in the
// data directory always. The fields are those of OpenShift's spec.storage. The
// metadata keeps one by the names of its fields: see keptPlace.
type Storage struct {
	// Kind is the medium. Default [StorageLocal], which needs nothing below.
	Kind StorageKind
	// Bucket is a bucket that exists, or Azure's container.
	Bucket string
	// Prefix is the directory in the bucket that this registry has for itself.
	Prefix string
	// Region is S3's; Endpoint is the URL of a service other than the provider's own
	// (regionEndpoint). S3 needs one of them.
	Region, Endpoint string
	// Account is Azure's storage account (accountName), in the cloud of the domain
	// Realm (cloudName); "" is the public one.
	Account, Realm string
	// KeyID and Key are S3's access key and its secret; Key alone is Azure's account
	// key, or the key of a service account for GCS, as JSON, which the settings give in
	// KeyFile. Without them the environment and the machine are asked.
	KeyID, Key string
	// KeyFile is the service account's key for GCS, as JSON. For the others it is
	// where Key is read from at the start, if Key is "".
	KeyFile string
	// CAFile holds the certificates, PEM, that sign S3's (trustedCA), instead of those
	// that the system trusts. CA is what such a file holds.
	CAFile, CA string
	// VirtualHosted puts S3's bucket into the host name (virtualHostedStyle).
	VirtualHosted bool
	// Encrypt asks S3 to encrypt, with the key KMSKey if given (encrypt, keyID).
	Encrypt bool
	KMSKey  string
	// ChunkMiB is what one request of a large blob carries (chunkSizeMiB). Default 10.
	ChunkMiB int
	// DisableRedirect sends all bytes through the registry, for clients that cannot
	// reach the object store (spec.disableRedirect).
	DisableRedirect bool
}

// What S3 takes as a piece.
const (
	chunkMin = 5 // MiB
	chunkMax = 5 << 10
)

// Conflicts is everything that is wrong with s, by the keys of the settings.
func (s Storage) Conflicts() (found []Conflict) {
	report := func(text string, keys ...string) { found = append(found, Conflict{keys, text}) }
	kind := cmp.Or(s.Kind, StorageLocal)
	if kind == StorageLocal {
		if s.Bucket != "" {
			report(fmt.Sprintf("%q is given, and blobs stay in the data directory: set storage to s3, gcs or azure",
				s.Bucket), "storage-bucket", "storage")
		}
		return append(found, s.conflictsOfPlace()...)
	}
	if s.Bucket == "" {
		report(fmt.Sprintf("%s needs the bucket or container that blobs go to", kind), "storage-bucket", "storage")
	}
	return slices.Concat(found, s.conflictsOfPlace(), s.conflictsOfKind(kind))
}

// conflictsOfPlace are those of what holds for the Config object's storage, too.
func (s Storage) conflictsOfPlace() (found []Conflict) {
	report := func(text string, keys ...string) { found = append(found, Conflict{keys, text}) }
	if p := s.Prefix; p != strings.Trim(p, "/") || !plainPath(p) {
		report(fmt.Sprintf("%q: want names of letters, digits, . _ - with / between them", p), "storage-prefix")
	}
	if u, err := url.Parse(s.Endpoint); s.Endpoint != "" &&
		(err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		report(fmt.Sprintf("%q: want a URL as in https://s3.example.com", s.Endpoint), "storage-endpoint")
	}
	return found
}

func (s Storage) conflictsOfKind(kind StorageKind) (found []Conflict) {
	report := func(text string, keys ...string) { found = append(found, Conflict{keys, text}) }
	if kind == StorageS3 && s.Region == "" && s.Endpoint == "" {
		report("s3 needs a region, or the endpoint of a service that has none", "storage-region", "storage-endpoint")
	}
	if kind == StorageS3 && (s.KeyID == "") != (s.Key == "" && s.KeyFile == "") {
		report("an access key and its secret are given together, or not at all", "storage-key-id", "storage-key")
	}
	if kind == StorageAzure && s.Account == "" {
		report("azure needs the name of the storage account", "storage-account", "storage")
	}
	if kind == StorageGCS && s.Key != "" {
		report("gcs takes the key of a service account as a file: storage-key-file", "storage-key", "storage")
	}
	if c := s.ChunkMiB; c != 0 && (c < chunkMin || c > chunkMax) {
		report(fmt.Sprintf("%d: want %d to %d", c, chunkMin, chunkMax), "storage-chunk-mib")
	}
	return found
}

// plainPath tells whether a drivers' path can be built of p.
func plainPath(p string) bool {
	for _, part := range strings.Split(p, "/") {
		if p != "" && (part == "" || part == "." || part == ".." || strings.Trim(part, "._-") == "") {
			return false
		}
	}
	return !strings.ContainsFunc(p, func(r rune) bool {
		return !strings.ContainsRune("/._-", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// object is s for the package that does it. It reads KeyFile.
func (s Storage) object(staging blobstore.Config) (object.Config, error) {
	c := object.Config{
		Kind: object.Kind(s.Kind), Bucket: s.Bucket, Prefix: s.Prefix, Endpoint: s.Endpoint,
		Region: s.Region, Account: s.Account, Realm: s.Realm, KeyID: s.KeyID, Key: s.Key, CAFile: s.CAFile, CA: s.CA,
		VirtualHosted: s.VirtualHosted, Encrypt: s.Encrypt, KMSKey: s.KMSKey,
		ChunkBytes: int64(s.ChunkMiB) << 20, Staging: staging,
	}
	switch {
	case s.Kind == StorageGCS:
		c.KeyFile = s.KeyFile
	case s.Key == "" && s.KeyFile != "":
		key, err := os.ReadFile(s.KeyFile)
		if err != nil {
			return c, fmt.Errorf("read storage-key-file: %w", err)
		}
		c.Key = strings.TrimSpace(string(key))
	}
	return c, nil
}

// Location is where the blobs are, in words that stay the same while they do.
func (s Storage) Location() string {
	if cmp.Or(s.Kind, StorageLocal) == StorageLocal {
		return string(StorageLocal)
	}
	return object.Config{
		Kind: object.Kind(s.Kind), Bucket: s.Bucket, Prefix: s.Prefix, Account: s.Account,
	}.Location()
}

// Reach asks whether the storage is there, open to the credentials, and answers. The
// error is [blobstore.ErrUnavailable] when asking again may help, else
// [blobstore.ErrRefused]. It writes nothing, and is nil for [StorageLocal].
func (s Storage) Reach(ctx context.Context) error {
	if cmp.Or(s.Kind, StorageLocal) == StorageLocal {
		return nil
	}
	cfg, err := s.object(blobstore.Config{})
	if err != nil {
		return fmt.Errorf("%w: %w", blobstore.ErrRefused, err)
	}
	return object.Reach(ctx, cfg)
}

// own is Reach, and whether the bucket is that registry's; see [object.Own].
func (s Storage) own(ctx context.Context, owner string, take bool) error {
	cfg, err := s.object(blobstore.Config{})
	if err != nil {
		return fmt.Errorf("%w: %w", blobstore.ErrRefused, err)
	}
	return object.Own(ctx, cfg, owner, take)
}

// A bytesStore is what the appliance asks of where the bytes are: a [blobstore.Store]
// or an [object.Store].
type bytesStore interface {
	registry.Blobs
	All(ctx context.Context) iter.Seq2[blobstore.Info, error]
	Remove(ctx context.Context, d digest.Digest, live func() (bool, error)) (freed int64, err error)
	Verify(ctx context.Context, d digest.Digest, rate *blobstore.Rate) error
	Quarantined(ctx context.Context) ([]blobstore.Info, error)
	PurgeQuarantine(ctx context.Context, before time.Time) (n int, bytes int64, err error)
	PurgeUploads(ctx context.Context, before time.Time) (n int, bytes int64, err error)
	Usage() (blobstore.Usage, error)
	Relieve() error
	Collectors() []prometheus.Collector
	Close() error
}

// openBytes opens where the bytes are; bucket is nil when that is this disk. absent, if
// not nil, is why an object store can only be told of.
func openBytes(
	ctx context.Context, s Storage, absent error, disk blobstore.Config,
) (all bytesStore, bucket *object.Store, err error) {
	if s.Kind == StorageLocal {
		local, err := blobstore.Open(disk)
		if err != nil {
			return nil, nil, err
		}
		return local, nil, nil
	}
	cfg, err := s.object(disk)
	if err != nil && absent == nil {
		return nil, nil, err
	}
	cfg.Absent = absent
	if bucket, err = object.Open(ctx, cfg); err != nil {
		return nil, nil, err
	}
	return bucket, bucket, nil
}
