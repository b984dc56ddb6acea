package appliance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/appliance/peer"
	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/appliance/replicate"
	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
	"skerry.dev/skerry/raft"
)

// Here the parts that do not know each other meet: agreement, copies of blobs and the
// registry ask other nodes through one client, and are asked through one handler.

// raftPeers is what agreement has of the client.
type raftPeers struct{ client *peer.Client }

var _ raft.Peers = raftPeers{}

// Propose implements [raft.Peers].
func (p raftPeers) Propose(ctx context.Context, to raft.Server, command []byte) (uint64, []byte, error) {
	index, answer, err := p.client.Propose(ctx, peer.Node{Server: to.ID, Address: to.Address}, command)
	return index, answer, notSent(err)
}

// ReadIndex implements [raft.Peers].
func (p raftPeers) ReadIndex(ctx context.Context, to raft.Server) (uint64, error) {
	index, err := p.client.ReadIndex(ctx, peer.Node{Server: to.ID, Address: to.Address})
	return index, notSent(err)
}

func notSent(err error) error {
	if errors.Is(err, peer.ErrNotSent) {
		return fmt.Errorf("%w: %w", raft.ErrNotSent, err)
	}
	return err
}

// blobPeers is what copies of blobs have of the client.
type blobPeers struct{ client *peer.Client }

var _ replicate.Peers = blobPeers{}

// Blob implements [replicate.Peers].
func (p blobPeers) Blob(
	ctx context.Context, n meta.Node, d digest.Digest, offset int64,
) (io.ReadCloser, int64, error) {
	return p.client.Blob(ctx, peerOf(n), d, offset)
}

// Want implements [replicate.Peers].
func (p blobPeers) Want(ctx context.Context, n meta.Node, digests []digest.Digest) error {
	return p.client.Want(ctx, peerOf(n), digests)
}

func peerOf(n meta.Node) peer.Node { return peer.Node{Server: n.Server, Address: n.Address} }

// openPeers makes what answers other nodes, and gives this one its number.
func (a *Appliance) openPeers(ctx context.Context) {
	if a.cluster.member == nil && len(a.db.Nodes()) == 0 { // the founder, at its first start
		_, err := a.meta.InitSecret(ctx, clusterIDName, []byte(strings.ToLower(rand.Text())))
		if err == nil {
			err = a.register(ctx)
		}
		if err != nil { // a full disk, perhaps: registerLoop goes on trying
			a.log.WarnContext(ctx, "this node is not registered yet", "err", err)
		}
	}
	if a.cluster.peers != nil {
		a.cluster.served = a.peerHandler()
	}
}

// peerHandler answers other nodes.
func (a *Appliance) peerHandler() *http.Server {
	return peer.Server(peer.Handler(peer.Config{
		Agreement: a.node, Status: a.peerStatus, Blob: a.localBlob, Want: a.fetch, Public: a.forwarded(),
		Renew: a.meta.RenewTouched, Sweep: a.sweepNow,
		Join: joins{a}, Client: a.cluster.client, Member: func(server string) error { return a.admitPeer("", server) },
		Errors: peerErrors(), Log: a.log,
	}), a.log)
}

// localBlob opens bytes of this disk, not those that it would have to fetch.
func (a *Appliance) localBlob(ctx context.Context, d digest.Digest) (io.ReadSeekCloser, error) {
	return a.blobs.Open(ctx, d)
}

func (a *Appliance) fetch(_ context.Context, _ string, digests []digest.Digest) error {
	if a.cluster.copies == nil {
		return nil
	}
	return a.cluster.copies.Hint(digests)
}

// peerStatus is how this node is, for others.
func (a *Appliance) peerStatus(context.Context) peer.Status {
	s := a.node.Status()
	status := peer.Status{
		Server: a.cluster.server, Leader: s.Leader, Leading: s.Leading, Term: s.Term, LastIndex: s.LastIndex,
		Applied: s.AppliedIndex, Version: Version(), Level: meta.Level,
	}
	if usage, err := a.blobs.Usage(); err == nil {
		status.Capacity = usage.Total
		if usage.State < blobstore.High {
			status.Free = usage.Free
		}
	}
	return status
}

// forwarded answers clients' requests that other nodes pass on: as if they had come
// here, from where they came, with the certificate that their client showed there.
func (a *Appliance) forwarded() http.Handler {
	public := a.counted(a.public())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asker, ok := peer.AskerOf(r.Context())
		if !ok {
			deny(w, http.StatusForbidden, "DENIED", "nobody passed this on")
			return
		}
		vouched, err := auth.Vouched(r, asker.Identity)
		if err != nil {
			a.log.WarnContext(r.Context(), "request of a node refused", "server", asker.Server, "err", err)
			deny(w, http.StatusBadRequest, "UNKNOWN", err.Error())
			return
		}
		public.ServeHTTP(w, vouched)
	})
}

// registryCluster is the other nodes as the registry knows them.
type registryCluster struct{ a *Appliance }

var _ registry.Cluster = registryCluster{}

// Confirm implements [registry.Cluster].
func (c registryCluster) Confirm(ctx context.Context) error {
	if c.a.alone() {
		return nil
	}
	return c.a.node.ReadIndex(ctx)
}

// Linked implements [registry.Cluster].
func (c registryCluster) Linked(d digest.Digest, _ int64) {
	if c.a.cluster.copies != nil {
		c.a.cluster.copies.Linked(d)
	}
}

// Unsettled implements [registry.Cluster].
func (c registryCluster) Unsettled(pin *blobstore.Pin, link func(context.Context) error) {
	c.a.unsettled.add(pin, link)
}

// Spread implements [registry.Cluster]. Blobs that were pushed to another node may not
// be known here yet.
func (c registryCluster) Spread(ctx context.Context, blobs []digest.Digest) error {
	if c.a.alone() || c.a.cluster.copies == nil {
		return nil
	}
	if err := c.a.node.ReadIndex(ctx); err != nil {
		return fmt.Errorf("%w: %w", meta.ErrUnavailable, err)
	}
	degraded, err := c.a.cluster.copies.Wait(ctx, blobs)
	if errors.Is(err, replicate.ErrCopies) {
		return fmt.Errorf("%w: %w", registry.ErrCopies, err)
	}
	if degraded {
		c.a.log.WarnContext(ctx, "pushed with fewer copies than wanted", "blobs", len(blobs))
	}
	return err
}

// Node implements [registry.Cluster].
func (c registryCluster) Node() string { return uploadNode(c.a.self()) }

func uploadNode(n meta.NodeID) string { return fmt.Sprintf("%x", uint16(n)) }

// Forward implements [registry.Cluster].
func (c registryCluster) Forward(w http.ResponseWriter, r *http.Request, node string) (err error) {
	for _, n := range c.a.others() {
		if uploadNode(n.ID) != node || c.a.cluster.client == nil {
			continue
		}
		who := auth.Certificate(r)
		c.a.cluster.client.Forward(w, r, peerOf(n), who, func(_ http.ResponseWriter, _ *http.Request, failed error) {
			if err = failed; errors.Is(err, peer.ErrNotSent) {
				err = fmt.Errorf("%w: %w", meta.ErrNotFound, err)
			} else {
				err = fmt.Errorf("%w: %w", meta.ErrUnavailable, err)
			}
		})
		return err
	}
	return meta.ErrNotFound
}

// roster is what agreement has of the metadata.
type roster struct{ a *Appliance }

var _ raft.Roster = roster{}

// Traits implements [raft.Roster].
func (r roster) Traits(server string) (raft.Traits, bool) {
	n, err := r.a.db.Node(server)
	if err != nil {
		return raft.Traits{}, false
	}
	leaving := n.State == meta.NodeDraining
	return raft.Traits{
		Zone: n.Zone, Witness: n.Role == meta.RoleWitness || leaving,
		Unfit: n.Gone() || leaving && r.a.active() >= votersMin,
	}, true
}

// votersMin is how many nodes outlive the loss of one. While there are not so many
// without it, a node that leaves keeps its vote: until it is removed it may be needed.
const votersMin = 3

// active is how many nodes stay.
func (a *Appliance) active() (n int) {
	for _, node := range a.db.Nodes() {
		if node.State == meta.NodeActive {
			n++
		}
	}
	return n
}

// A sighting is how a node was when it was last asked.
type sighting struct {
	at, asked time.Time // of the last answer; of the last question
	free      int64
	capacity  int64
	latency   time.Duration
	version   string
	applied   uint64
}

const (
	sightEvery   = 5 * time.Second
	sightTimeout = 3 * time.Second
)

// sightLoop asks the others how they are, where there are any.
func (a *Appliance) sightLoop(ctx context.Context) error {
	if a.cluster.client == nil {
		return nil
	}
	for every(ctx, sightEvery) {
		var looks sync.WaitGroup
		for _, n := range a.others() {
			looks.Go(func() { a.sight(ctx, n) }) // waited for below, and bounded by its timeout
		}
		looks.Wait()
		a.noteOutlook()
	}
	return nil
}

// An outlook is what of a node decides where copies are to be.
type outlook struct {
	node       meta.NodeID
	away, full bool
}

// noteOutlook has all blobs looked at when nodes, or their condition, have changed.
func (a *Appliance) noteOutlook() {
	var now []outlook
	for _, n := range a.db.Nodes() {
		if !n.Gone() {
			c := a.condition(n.ID)
			now = append(now, outlook{n.ID, c.Away, c.Full})
		}
	}
	if a.cluster.copies != nil && !slices.Equal(now, a.cluster.outlook) {
		a.cluster.copies.Poke()
	}
	a.cluster.outlook = now
}

func (a *Appliance) sight(ctx context.Context, n meta.Node) {
	ctx, cancel := context.WithTimeout(ctx, sightTimeout)
	defer cancel()
	begun := time.Now()
	s, err := a.cluster.client.Status(ctx, peerOf(n))
	a.cluster.mu.Lock()
	defer a.cluster.mu.Unlock()
	seen, known := a.cluster.seen[n.ID]
	if !known {
		seen.at = begun // the clock of its absence begins with the first look
	}
	seen.asked = begun
	if err == nil {
		seen = sighting{
			at: begun, asked: begun, free: s.Free, capacity: s.Capacity, latency: time.Since(begun),
			version: s.Version, applied: s.Applied,
		}
	}
	if a.cluster.seen == nil {
		a.cluster.seen = map[meta.NodeID]sighting{}
	}
	a.cluster.seen[n.ID] = seen
}

// condition is how a node is, for decisions about copies.
func (a *Appliance) condition(id meta.NodeID) replicate.Condition {
	if id == a.self() {
		return replicate.Condition{Full: blobstore.Pressure(a.pressure.Load()) >= blobstore.High}
	}
	a.cluster.mu.Lock()
	defer a.cluster.mu.Unlock()
	seen, known := a.cluster.seen[id]
	if !known {
		return replicate.Condition{}
	}
	return replicate.Condition{
		Free: seen.free, Full: seen.capacity > 0 && seen.free == 0, Latency: seen.latency,
		Away: time.Since(seen.at) > a.cfg.RepairAfter,
	}
}
