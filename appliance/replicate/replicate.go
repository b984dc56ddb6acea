package replicate

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// Peers are the other nodes. It is safe for concurrent use, and a call ends soon
// after its context does.
type Peers interface {
	// Blob opens the bytes of d at node from offset on. size is that of the whole
	// blob. The context bounds reading too; the caller closes the body. An error of
	// [blobstore.ErrNotFound] says that the node has no such blob.
	Blob(ctx context.Context, node meta.Node, d digest.Digest, offset int64) (body io.ReadCloser, size int64, err error)
	// Want asks node to fetch what of digests it lacks, now: [Replicator.Hint] there.
	Want(ctx context.Context, node meta.Node, digests []digest.Digest) error
}

// Meta is what is asked of the metadata: a [meta.Store]. Reads are local.
type Meta interface {
	Nodes() []meta.Node
	Copies(ds ...digest.Digest) ([]meta.BlobCopies, error)
	CopiesAfter(after uint64, n int) ([]meta.BlobCopies, error)
	HeldBy(n meta.NodeID, d digest.Digest) (bool, error)
	Changed() <-chan struct{}
	AddHolder(ctx context.Context, n meta.NodeID, ds []digest.Digest) error
	DropHolder(ctx context.Context, n meta.NodeID, ds []digest.Digest, rule meta.DropRule) ([]digest.Digest, error)
}

var _ Meta = (*meta.Store)(nil)

// Bytes are this node's: a [blobstore.Store].
type Bytes interface {
	Stat(ctx context.Context, d digest.Digest) (blobstore.Info, error)
	Open(ctx context.Context, d digest.Digest) (io.ReadSeekCloser, error)
	Read(ctx context.Context, d digest.Digest, size int64, p []byte) error
	Pin(ctx context.Context, d digest.Digest) (*blobstore.Pin, error)
	Remove(ctx context.Context, d digest.Digest, live func() (bool, error)) (freed int64, err error)
	All(ctx context.Context) iter.Seq2[blobstore.Info, error]

	Create(scope string, alg digest.Algorithm, size int64) (*blobstore.Upload, error)
	Resume(scope, id string) (*blobstore.Upload, error)
	StatUpload(scope, id string) (size int64, started time.Time, err error)
}

var _ Bytes = (*blobstore.Store)(nil)

// A Condition is how a node was when it was last heard of.
type Condition struct {
	Free    int64         // bytes that may be written there; 0: not known
	Full    bool          // it refuses uploads
	Away    bool          // for so long that its copies shall be made elsewhere
	Latency time.Duration // of an exchange with it
}

// Config says what a Replicator works with.
type Config struct {
	Meta  Meta
	Bytes Bytes
	Peers Peers
	// Self is this node's id; 0 while it has none, until [Replicator.Poke]. Nil is
	// [meta.FirstNode].
	Self func() meta.NodeID
	// Policy is what holds now. Nil is [DefaultPolicy].
	Policy func() Policy
	// Condition is how a node is, this one too. Nil: all are well.
	Condition func(meta.NodeID) Condition
	// Confirm returns when this node has applied all that any node has acknowledged
	// before the call. It is asked when the barrier finds a blob that is not known here.
	// Nil: nothing can be acknowledged elsewhere.
	Confirm func(context.Context) error
	// Log gets what an operator would act on; nil discards it.
	Log *slog.Logger

	// Transfers is how many blobs are fetched at once for repair and for moving
	// blobs; those somebody waits for come on top. 0 means 4.
	Transfers int
	// Rate is how many bytes a second these may use; 0 means no bound.
	Rate int64
	// Patience is how long the manifest of a push waits for copies that the policy
	// demands, SoftPatience for those it would like to have. 0 means 30 s and 5 s.
	Patience, SoftPatience time.Duration
	// Hedge is after how long without an answer another holder is asked too; Stall is
	// how long a transfer may make no progress. 0 means 500 ms and 10 s.
	Hedge, Stall time.Duration
	// Surplus is how long the nodes, and a copy, must have been as they are before a
	// copy that is not wanted any more is dropped. 0 means 1 h.
	Surplus time.Duration
	// Backstop is how often all blobs are looked at though nothing called for it, and
	// Retry how soon after a fetch that failed. 0 means 1 h and 30 s.
	Backstop, Retry time.Duration
}

func (c Config) withDefaults() Config {
	if c.Self == nil {
		c.Self = func() meta.NodeID { return meta.FirstNode }
	}
	if c.Policy == nil {
		c.Policy = DefaultPolicy
	}
	if c.Condition == nil {
		c.Condition = func(meta.NodeID) Condition { return Condition{} }
	}
	if c.Confirm == nil {
		c.Confirm = func(context.Context) error { return nil }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Transfers = cmp.Or(c.Transfers, 4)
	c.Patience = cmp.Or(c.Patience, 30*time.Second)
	c.SoftPatience = cmp.Or(c.SoftPatience, 5*time.Second)
	c.Hedge = cmp.Or(c.Hedge, 500*time.Millisecond)
	c.Stall = cmp.Or(c.Stall, 10*time.Second)
	c.Surplus = cmp.Or(c.Surplus, time.Hour)
	c.Backstop = cmp.Or(c.Backstop, time.Hour)
	c.Retry = cmp.Or(c.Retry, 30*time.Second)
	return c
}

// A Replicator sees to it that blobs have their copies, and reads those that are
// elsewhere. It is safe for concurrent use. On a node alone it does nothing, and
// passes reads on to Bytes.
type Replicator struct {
	// Immutable after New.
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	rate    *blobstore.Rate

	transfers transfers
	trust     trust
	outbox    outbox
	inbox     inbox
	announced announcements
	scans     scans
}

// New makes a Replicator. It does nothing by itself before Run.
func New(cfg Config) (*Replicator, error) {
	if cfg.Meta == nil || cfg.Bytes == nil || cfg.Peers == nil {
		return nil, errors.New("replicate: Meta, Bytes and Peers are needed")
	}
	cfg = cfg.withDefaults()
	r := &Replicator{cfg: cfg, log: cfg.Log, metrics: newMetrics(), rate: blobstore.NewRate(cfg.Rate)}
	r.transfers.init(cfg.Transfers)
	r.trust.init()
	r.outbox.init()
	r.inbox.init()
	r.announced.init()
	r.scans.init()
	return r, nil
}

// Run does the work until ctx ends: it fetches, tells what was fetched, asks others
// to fetch, and looks for what is missing. It is called once. Nobody can read blobs
// of other nodes while it does not run.
func (r *Replicator) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, job := range []func(context.Context){
		r.fetchLoop, r.announceLoop, r.sendLoop, r.receiveLoop, r.scanLoop,
	} {
		group.Go(func() error {
			job(ctx)
			return nil
		})
	}
	return group.Wait()
}

// A signal wakes one waiter; further ones before it wakes are the same one.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) set() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// clear takes back a signal that nobody has heard.
func (s signal) clear() {
	select {
	case <-s:
	default:
	}
}

// A clock is a mutex and a map of when something happened, bounded: the oldest is
// forgotten first.
type clock[K comparable] struct {
	mu  sync.Mutex
	max int
	at  map[K]time.Time // guarded by mu
}

func newClock[K comparable](limit int) clock[K] {
	return clock[K]{max: limit, at: make(map[K]time.Time)}
}

// note says that k happened now.
func (c *clock[K]) note(k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.at[k]; !known && len(c.at) >= c.max {
		var oldest K
		first := true
		for key, at := range c.at {
			if first || at.Before(c.at[oldest]) {
				oldest, first = key, false
			}
		}
		delete(c.at, oldest)
	}
	c.at[k] = time.Now()
}

// since says whether k happened within the last d.
func (c *clock[K]) since(k K, d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, known := c.at[k]
	return known && time.Since(at) < d
}
