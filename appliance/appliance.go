package appliance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/blobstore/object"
	"skerry.dev/skerry/kube/resource"
	"skerry.dev/skerry/meta"
	"skerry.dev/skerry/raft"
	"skerry.dev/skerry/tls"
)

// An Appliance is one node. [Open] makes it, Run runs it once, Close ends it.
type Appliance struct {
	// Set by Open, in this order; immutable afterwards.
	cfg             Config // as at the start; what a reload changes is read with config()
	log             *slog.Logger
	atRest          bool
	opened, started time.Time // this appliance, and the first of those that it goes on for
	metrics         *metrics
	dir             *dataDir
	cluster         cluster
	db              *meta.DB
	node            *raft.Node    // nil at rest
	standing        raft.Standing // at rest
	meta            *meta.Store
	place           place // where blobs are
	blobs           bytesStore
	bucket          *object.Store // blobs, where they are not on this disk; else nil
	tls             *tls.Public   // nil: plain HTTP
	oidc            *auth.OIDC    // nil: no issuer
	audit           *audit
	authority       *auth.Authority
	registry        http.Handler
	publicListener  net.Listener
	acmeListener    net.Listener // nil: HTTP-01 is not used
	socketListener  net.Listener
	metricsListener net.Listener // nil: metrics are served on the public address only
	addr            net.Addr

	collecting sync.Mutex    // one collection at a time; held for its whole run
	sweeping   sync.RWMutex  // held for reading while blobs are unlinked, for writing while a backup needs them
	confirmed  atomic.Bool   // the metadata here has what this node said in an earlier process
	sweepSoon  chan struct{} // told when garbage was collected elsewhere
	unsettled  unsettled     // pushed, and perhaps linked
	pruned     lastPrune     // for status
	pressure   atomic.Int64  // blobstore.Pressure as of the last look
	closing    atomic.Bool   // a stop was asked for: readiness says no
	traffic    traffic       // of the public address
	live       live          // the configuration as of the last reload

	httpSecret string               // of the Config object when Open read it
	rule       atomic.Pointer[rule] // what the objects say; never nil
	enforcing  sync.Mutex           // one reading of the objects at a time
	since      transitions          // of the objects' conditions

	gates      map[string]*gate        // what listens, without TLS; written by Open
	reconsider chan struct{}           // told when the objects were read
	verdict    atomic.Pointer[verdict] // on spec.storage; nil: none yet
	reopening  chan struct{}           // closed when a reopening begins
	next       *place                  // written before that, read after Run
	kept       sockets                 // the same; closed by Close
}

// Open builds the appliance. Each step uses only what stands above it.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (_ *Appliance, err error) {
	a, err := openStores(ctx, cfg, log, false)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close()) // whatever was opened, in reverse
		}
	}()

	// To the world: certificates, accounts, surfaces.
	if err := a.openTLS(); err != nil {
		return nil, err
	}
	if err := a.initAdmin(ctx); err != nil {
		return nil, err
	}
	if err := a.initObjects(ctx); err != nil {
		return nil, err
	}
	if err := a.openAuth(ctx); err != nil {
		return nil, err
	}
	if err := a.openRegistry(ctx); err != nil {
		return nil, err
	}
	a.openPeers(ctx)
	if err := a.openMetrics(); err != nil {
		return nil, err
	}
	if err := a.listen(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// openStores builds what lies below the surfaces: enough to look at the data,
// not to serve it.
//
// Of stores at rest, which nobody serves, the disk's reserve is left as it is.
func openStores(ctx context.Context, cfg Config, log *slog.Logger, atRest bool) (_ *Appliance, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	a := &Appliance{
		cfg: cfg, log: log, atRest: atRest, opened: time.Now(), started: time.Now(), metrics: newMetrics(),
		gates: make(map[string]*gate), reconsider: make(chan struct{}, 1), reopening: make(chan struct{}),
		sweepSoon: make(chan struct{}, 1), unsettled: unsettled{some: make(chan struct{}, 1)},
	}
	if cfg.from != nil {
		a.started = cfg.from.started
	}
	a.live.set(cfg)
	a.rule.Store(&rule{Config: resource.Config{State: resource.Managed}}) // until the objects are read
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()

	// On this disk: bytes, and what we know about them. It says where the bytes are.
	if a.dir, err = openDataDir(cfg.Data); err != nil {
		return nil, err
	}
	a.warnEphemeral()
	if err := a.openDisk(); err != nil {
		return nil, err
	}

	// With the other nodes, if there are any: trust, and agreement over it.
	if err := a.openCluster(ctx); err != nil {
		return nil, err
	}
	if a.db, err = meta.OpenDB(meta.DBConfig{Dir: a.dir.join(metaName), Log: log}); err != nil {
		return nil, fmt.Errorf("open metadata: %w", err)
	}
	if err := a.agree(ctx); err != nil {
		return nil, err
	}
	if err := a.openPlace(ctx); err != nil {
		return nil, err
	}
	if err := a.claimBucket(ctx); err != nil {
		return nil, err
	}
	return a, a.openCopies()
}

// disk is what every storage uses of this disk.
func (a *Appliance) disk() blobstore.Config {
	return blobstore.Config{
		Dir: a.dir.join(storageName), Log: a.log, LeaveReserve: a.atRest,
		Soft: a.cfg.DiskSoft, High: a.cfg.DiskHigh, Critical: a.cfg.DiskCritical,
	}
}

// openDisk opens the blobs of this disk, wherever they are in the end: uploads come
// here, and the metadata may need the room that is set aside.
func (a *Appliance) openDisk() error {
	disk, err := blobstore.Open(a.disk())
	if err != nil {
		return fmt.Errorf("open blobs: %w", err)
	}
	a.blobs = disk
	if err := a.watchDisk(); err != nil {
		return fmt.Errorf("read disk: %w", err)
	}
	return nil
}

// logConfig is what the log is to be like.
func (a *Appliance) logConfig() raft.Config {
	cfg := raft.Config{
		Dir:         a.dir.join(raftName),
		Log:         a.log,
		SegmentSize: a.cfg.LogSegmentBytes,
		Full:        meta.ErrFull,

		SnapshotThreshold: a.cfg.LogSnapshotEntries,
		SnapshotInterval:  a.cfg.LogSnapshotEvery,
		TrailingLogs:      a.cfg.LogTrailingEntries,
	}
	a.raftConfig(&cfg)
	return cfg
}

// agree starts the log that every change of the metadata goes through.
func (a *Appliance) agree(ctx context.Context) (err error) {
	if a.atRest {
		return a.replay()
	}
	a.node, err = raft.Start(a.logConfig(), stateMachine{a.db})
	if err != nil {
		return misfit(err)
	}
	a.meta = meta.NewStore(a.db, proposer{a.node}, meta.StoreConfig{Grace: a.cfg.Grace, Self: a.self})
	if len(a.node.Members()) > 1 || a.cluster.member != nil {
		return a.catchUp(ctx)
	}
	err = a.node.WaitLeader(ctx)
	if errors.Is(err, raft.ErrFull) { // reads go on, and the log by itself when there is room (I9)
		a.log.WarnContext(ctx, "the disk is full: starting without writes", "err", err)
		err = a.node.ReadIndex(ctx)
	}
	if err != nil {
		return fmt.Errorf("wait for the metadata log: %w", err)
	}
	return nil
}

// misfit says what to do about a log that cannot be opened.
func misfit(err error) error {
	if errors.Is(err, raft.ErrMismatch) || errors.Is(err, raft.ErrDamaged) {
		return fmt.Errorf("%w: put back what was moved, or build a new data directory with skerry restore", err)
	}
	return err
}

// catchUp waits for the others: a new member for as long as it takes to get their
// metadata; another one hardly, for what it has can be served without them (I8).
func (a *Appliance) catchUp(ctx context.Context) error {
	accounts, err := a.meta.Accounts()
	if err != nil {
		return err
	}
	if len(accounts) == 0 {
		a.log.InfoContext(ctx, "waiting for the metadata of the cluster")
		if err := a.node.ReadIndex(ctx); err != nil {
			return fmt.Errorf("wait for the metadata of the cluster: %w", err)
		}
		return nil
	}
	a.catchUpBriefly(ctx)
	return nil
}

// catchUpBriefly waits until this node knows what the others do, if that can be had.
func (a *Appliance) catchUpBriefly(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, catchUpMax)
	defer cancel()
	if err := a.node.ReadIndex(ctx); err != nil {
		a.log.WarnContext(ctx, "going on without the others, with what is here", "err", err)
	}
}

// catchUpMax is how long a start, or a backup, waits for the other nodes.
const catchUpMax = time.Second

func (a *Appliance) openRegistry(ctx context.Context) error {
	secret, err := a.meta.InitSecret(ctx, "registry-http", []byte(rand.Text()))
	if err != nil {
		return fmt.Errorf("read registry secret: %w", err)
	}
	if a.httpSecret != "" {
		secret = []byte(a.httpSecret)
	}
	a.registry, err = registry.Handler(ctx, registry.Config{
		Meta:       a.meta,
		Blobs:      a.bytes(),
		Redirect:   a.redirect(),
		Cluster:    registryCluster{a},
		Auth:       registryAuth{a.authority},
		Audit:      a.registryEvent,
		Log:        a.log,
		ReadOnly:   a.readOnly,
		WriteState: a.writable,
		Secret:     string(secret),
		Metrics:    a.metrics.registry,
	})
	return err
}

// Addr is where the public listener listens.
func (a *Appliance) Addr() net.Addr { return a.addr }

// MetricsAddr is where the listener for metrics listens, or nil without one.
func (a *Appliance) MetricsAddr() net.Addr {
	if a.metricsListener == nil {
		return nil
	}
	return a.metricsListener.Addr()
}

// Run serves until ctx ends, and then until running requests are done. It ends in the
// same way, with [ErrReopen], when blobs are to be kept elsewhere. It owns every
// goroutine of the appliance.
func (a *Appliance) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	// What requests need that are taken to their end after ctx ended: other nodes still
	// get bytes from here, and pass requests of this node's uploads on to it.
	serving, served := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error {
		defer served()
		return a.serve(ctx)
	})
	g.Go(func() error { return a.servePeers(serving) })
	if a.cluster.copies != nil {
		g.Go(func() error { return a.cluster.copies.Run(serving) })
	}
	g.Go(func() error { return a.db.Run(serving) })
	g.Go(func() error { return a.registerLoop(ctx) })
	g.Go(func() error { return a.sightLoop(ctx) })
	g.Go(func() error { return a.leadLoop(ctx) })
	g.Go(func() error { return a.diskLoop(ctx) })
	g.Go(func() error { return a.logLoop(ctx) })
	g.Go(func() error { return a.sweepLoop(ctx) })
	g.Go(func() error { return a.settleLoop(ctx) })
	g.Go(func() error { return a.collectLoop(ctx) })
	g.Go(func() error { return a.pruneLoop(ctx) })
	g.Go(func() error { return a.objectLoop(ctx) })
	g.Go(func() error { return a.scrubLoop(ctx) })
	g.Go(func() error { return a.purgeLoop(ctx) })
	if a.bucket != nil {
		g.Go(func() error { return a.reachLoop(ctx) })
	}
	if !a.place.bySettings {
		g.Go(func() error { return a.moveLoop(ctx) })
	}
	if a.tls != nil {
		g.Go(func() error { return a.tls.Run(ctx) })
	}
	if a.oidc != nil {
		g.Go(func() error { return a.oidc.Run(ctx) })
	}
	return g.Wait()
}

// Close ends what Open began, in reverse. The log closes before the database
// that it feeds, so that the last checkpoint holds all that was agreed.
func (a *Appliance) Close() error {
	var errs []error
	for _, l := range []net.Listener{a.metricsListener, a.socketListener, a.acmeListener, a.publicListener} {
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	errs = append(errs, a.kept.close())
	if a.audit != nil {
		errs = append(errs, a.audit.close())
	}
	if a.node != nil {
		errs = append(errs, a.node.Close())
	}
	errs = append(errs, a.closeCluster())
	if a.db != nil {
		errs = append(errs, a.db.Close())
	}
	if a.blobs != nil {
		errs = append(errs, a.blobs.Close())
	}
	if a.dir != nil {
		errs = append(errs, a.dir.close())
	}
	return errors.Join(errs...)
}
