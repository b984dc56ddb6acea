package replicate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/replicate"
	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// A cluster is some nodes in one process, each with its own database and disk. Their
// log agrees at once. After the test the databases are checked, and that what they say
// is on a disk is there.
type cluster struct {
	t     *testing.T
	nodes []*node

	mu      sync.Mutex // held while a command is applied everywhere
	index   uint64
	propose map[meta.NodeID]error // proposals that fail

	asked sync.Map // of digest.Digest: *counter of requests for it
}

// A node is one of a cluster.
type node struct {
	*replicate.Replicator
	c     *cluster
	id    meta.NodeID
	name  string
	db    *meta.DB
	meta  *meta.Store
	bytes *blobstore.Store
	dir   string
	stop  func()

	mu     sync.Mutex
	cond   replicate.Condition // as others see it
	policy replicate.Policy
	serve  func(ctx context.Context, d digest.Digest, f io.ReadSeekCloser, size int64) (io.ReadCloser, int64, error)
	down   bool
	modest bool // it takes itself for one whose copies do not count
	lag    [][]byte
	lagged bool
}

// timing is so short that nothing has to be waited for, and so long that a busy machine
// is not taken for a broken one.
func timing() replicate.Config {
	return replicate.Config{
		Patience: 20 * time.Second, SoftPatience: 100 * time.Millisecond, Hedge: 5 * time.Second, Stall: 10 * time.Second,
		Retry: 50 * time.Millisecond,
	}
}

// newCluster makes nodes in these zones and starts them.
func newCluster(t *testing.T, cfg replicate.Config, zones ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, propose: make(map[meta.NodeID]error)}
	for i := range zones {
		c.add(fmt.Sprintf("n%d", i+1), cfg)
	}
	for i, zone := range zones {
		c.register(c.nodes[i], meta.Node{Zone: zone})
	}
	for _, n := range c.nodes {
		n.start(cfg)
	}
	return c
}

// add makes a node that is not registered and does not run.
func (c *cluster) add(name string, cfg replicate.Config) *node {
	c.t.Helper()
	n := &node{c: c, name: name, dir: c.t.TempDir(), stop: func() {}, policy: replicate.DefaultPolicy()}
	n.id = meta.NodeID(len(c.nodes) + 1)
	var err error
	if n.db, err = meta.OpenDB(meta.DBConfig{Dir: filepath.Join(n.dir, "meta")}); err != nil {
		c.t.Fatal(err)
	}
	n.meta = meta.NewStore(n.db, n, meta.StoreConfig{Grace: -1, Self: func() meta.NodeID { return n.id }})
	n.openBytes()
	c.mu.Lock()
	if len(c.nodes) > 0 && c.index > 0 {
		c.t.Fatal("a node without the log: begin with all of them")
	}
	c.nodes = append(c.nodes, n)
	c.mu.Unlock()
	n.Replicator = n.replicator(cfg)
	c.t.Cleanup(n.close)
	return n
}

func (n *node) openBytes() {
	n.c.t.Helper()
	var err error
	// The test's disk may be as full as it likes.
	n.bytes, err = blobstore.Open(blobstore.Config{
		Dir: filepath.Join(n.dir, "blobs"), Reserve: -1, Soft: 100, High: 100, Critical: 100,
	})
	if err != nil {
		n.c.t.Fatal(err)
	}
}

func (n *node) replicator(cfg replicate.Config) *replicate.Replicator {
	n.c.t.Helper()
	cfg.Meta, cfg.Bytes, cfg.Peers = n.meta, n.bytes, n
	cfg.Self = func() meta.NodeID { return n.id }
	cfg.Confirm = func(context.Context) error {
		n.catchUp()
		return nil
	}
	cfg.Policy = func() replicate.Policy {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.policy
	}
	cfg.Condition = func(id meta.NodeID) replicate.Condition {
		other := n.c.nodes[id-1]
		other.mu.Lock()
		defer other.mu.Unlock()
		cond := other.cond
		cond.Away = cond.Away || other == n && n.modest
		return cond
	}
	r, err := replicate.New(cfg)
	if err != nil {
		n.c.t.Fatal(err)
	}
	return r
}

// start runs the replicator until stop.
func (n *node) start(cfg replicate.Config) {
	n.c.t.Helper()
	n.Replicator = n.replicator(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	r := n.Replicator
	go func() { ended <- r.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				n.c.t.Error(err)
			}
		case <-time.After(30 * time.Second):
			n.c.t.Error("the replicator does not end")
		}
	})
}

// close ends a node and looks whether its records tell the truth (I2).
func (n *node) close() {
	for _, other := range n.c.nodes {
		other.stop()
	}
	for p, err := range n.db.Check(context.Background()) {
		n.c.t.Errorf("check of %s: %s %s %s (%v)", n.name, p.Invariant, p.Where, p.What, err)
	}
	for _, b := range n.all() {
		if !slices.Contains(b.Holders, n.id) {
			continue
		}
		if err := n.bytes.Verify(context.Background(), b.Digest, nil); err != nil {
			n.c.t.Errorf("%s is recorded to hold %s: %v", n.name, b.Digest, err)
		}
	}
	if err := errors.Join(n.bytes.Close(), n.db.Close()); err != nil {
		n.c.t.Error(err)
	}
}

// all lists every blob.
func (n *node) all() (all []meta.BlobCopies) {
	n.c.t.Helper()
	for after := uint64(0); ; {
		page, err := n.db.CopiesAfter(after, 100)
		if err != nil {
			n.c.t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		after = page[len(page)-1].ID
	}
}

// register makes n known to all.
func (c *cluster) register(n *node, as meta.Node) {
	c.t.Helper()
	as.Server, as.Name, as.Capacity = n.name+".disk", n.name, 1<<40
	id, err := c.nodes[0].meta.PutNode(context.Background(), as, "test")
	if err != nil || id != n.id {
		c.t.Fatalf("node %s became %d, want %d (%v)", n.name, id, n.id, err)
	}
	for _, n := range c.nodes {
		n.Poke()
	}
}

// Propose agrees at once, and applies everywhere.
func (n *node) Propose(_ context.Context, command []byte) (result []byte, err error) {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	if err := n.c.propose[n.id]; err != nil {
		return nil, err
	}
	n.c.index++
	for _, other := range n.c.nodes {
		other.mu.Lock()
		lagged := other.lagged
		if lagged {
			other.lag = append(other.lag, command)
		}
		other.mu.Unlock()
		if lagged {
			continue
		}
		results, err := other.db.Apply([]uint64{n.c.index}, [][]byte{command}, nil)
		if err != nil {
			return nil, err
		}
		if other == n {
			result = results[0]
		}
	}
	return result, nil
}

// catchUp applies what n did not apply yet.
func (n *node) catchUp() {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lagged = false
	for i, command := range n.lag {
		index := n.c.index - uint64(len(n.lag)-1-i)
		if _, err := n.db.Apply([]uint64{index}, [][]byte{command}, nil); err != nil {
			n.c.t.Error(err)
		}
	}
	n.lag = nil
}

func (n *node) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

var errDown = errors.New("connection refused")

// Blob is what node sends.
func (n *node) Blob(ctx context.Context, at meta.Node, d digest.Digest, offset int64) (io.ReadCloser, int64, error) {
	other := n.c.nodes[at.ID-1]
	other.mu.Lock()
	down, serve := other.down, other.serve
	other.mu.Unlock()
	if down {
		return nil, 0, errDown
	}
	n.c.count(d, 1)
	f, err := other.bytes.Open(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, 0, err
	}
	if serve != nil {
		return serve(ctx, d, f, size)
	}
	return f, size, nil
}

// Want is a hint to node.
func (n *node) Want(_ context.Context, at meta.Node, ds []digest.Digest) error {
	other := n.c.nodes[at.ID-1]
	other.mu.Lock()
	down := other.down
	other.mu.Unlock()
	if down {
		return errDown
	}
	return other.Hint(ds)
}

// count counts requests for a blob.
func (c *cluster) count(d digest.Digest, by int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, _ := c.asked.LoadOrStore(d, new(int))
	n := v.(*int)
	*n += by
	return *n
}

// content makes size bytes that are the same for the same seed.
func content(seed uint64, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// push makes n do what a client's push of a blob does.
func (n *node) push(b []byte) digest.Digest {
	n.c.t.Helper()
	d := n.pushQuietly(b)
	n.Linked(d)
	return d
}

// pushQuietly is push of which no node is told.
func (n *node) pushQuietly(b []byte) digest.Digest {
	n.c.t.Helper()
	d := digest.FromBytes(b)
	ctx := context.Background()
	u, err := n.bytes.Create("repo", "", int64(len(b)))
	if err != nil {
		n.c.t.Fatal(err)
	}
	if _, err := u.Write(b); err != nil {
		n.c.t.Fatal(err)
	}
	pin, err := u.Commit(ctx, d)
	if err != nil {
		n.c.t.Fatal(err)
	}
	defer pin.Release()
	if err := n.meta.LinkBlob(ctx, "repo", d, int64(len(b)), "test"); err != nil {
		n.c.t.Fatal(err)
	}
	return d
}

// holders are who the first node believes to hold d.
func (c *cluster) holders(d digest.Digest) []meta.NodeID {
	c.t.Helper()
	return c.nodes[0].holders(d)
}

func (n *node) holders(d digest.Digest) []meta.NodeID {
	n.c.t.Helper()
	copies, err := n.db.Copies(d)
	if err != nil || len(copies) != 1 {
		n.c.t.Fatalf("copies of %s: %v (%v)", d, copies, err)
	}
	return copies[0].Holders
}

// has says whether the bytes are on n's disk.
func (n *node) has(d digest.Digest) bool {
	_, err := n.bytes.Stat(context.Background(), d)
	return err == nil
}

// wanted is where d belongs.
func (c *cluster) wanted(d digest.Digest, size int) []meta.NodeID {
	c.t.Helper()
	var all []replicate.Place
	for _, n := range c.nodes[0].db.Nodes() {
		if n.State == meta.NodeActive && n.Role == meta.RoleFull {
			all = append(all, replicate.Place{ID: n.ID, Host: n.Name, Zone: n.Zone, Capacity: n.Capacity})
		}
	}
	chosen := replicate.Wanted(d, int64(size), all, replicate.DefaultPolicy())
	slices.Sort(chosen)
	return chosen
}

// belonging makes a blob that is wanted on exactly these nodes.
func (c *cluster) belonging(size int, nodes ...*node) []byte {
	c.t.Helper()
	for seed := range uint64(1000) {
		b := content(seed, size)
		if slices.Equal(c.wanted(digest.FromBytes(b), size), ids(nodes)) {
			return b
		}
	}
	c.t.Fatal("no such blob")
	return nil
}

func ids(nodes []*node) []meta.NodeID {
	var all []meta.NodeID
	for _, n := range nodes {
		all = append(all, n.id)
	}
	slices.Sort(all)
	return all
}

// eventually waits for what happens in the background.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within half a minute: %s", what)
		}
	}
}

// read reads a blob through the store of many nodes.
func (n *node) read(d digest.Digest) ([]byte, error) {
	f, err := n.Store().Open(context.Background(), d)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

type nodeID = meta.NodeID

var errNotFound = blobstore.ErrNotFound
