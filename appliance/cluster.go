package appliance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"skerry.dev/skerry/appliance/peer"
	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/appliance/replicate"
	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/kube/resource"
	"skerry.dev/skerry/meta"
	"skerry.dev/skerry/raft"
	"skerry.dev/skerry/tls"
)

// A cluster is this node's part in one, from its first day: a node alone has it, too,
// and it does nothing until another one joins.
type cluster struct {
	// Immutable after openCluster.
	server  string       // who this disk is among the servers
	address string       // how others dial it
	peers   *tls.Peers   // nil: nobody can come here
	client  *peer.Client // nil with peers
	member  *membership  // of a cluster that others founded; nil for a founder
	copies  *replicate.Replicator
	served  *http.Server // for other nodes; nil with peers

	outlook []outlook // as of the last look; owned by sightLoop

	mu   sync.Mutex // guards seen
	seen map[meta.NodeID]sighting
}

// ErrAlone says that this node has no address for other nodes.
var ErrAlone = errors.New("other nodes cannot reach this one: it serves no TLS; set peer-listen, or tls to self")

// openCluster finds out who this node is, makes it a member where that is asked for,
// and lets others come. Nothing here needs the metadata, which may be on its way.
func (a *Appliance) openCluster(ctx context.Context) (err error) {
	c := &a.cluster
	if c.server, err = a.dir.nodeID(a.cfg.Node); err != nil {
		return err
	}
	if a.atRest {
		c.member, err = a.dir.membership()
		return err
	}
	if err = a.listenPublic(ctx); err != nil {
		return err
	}
	if c.address, err = a.advertised(); err != nil {
		return err
	}
	if a.cfg.TLS == TLSOff && a.cfg.PeerListen == "" {
		c.member, err = a.dir.membership()
		return err
	}
	if err := a.join(ctx); err != nil {
		return err
	}
	c.peers, err = tls.OpenPeers(tls.PeersConfig{
		Dir: a.dir.join(tlsName), Server: c.server, Log: a.log, Admit: a.admitPeer,
	})
	if err != nil {
		return fmt.Errorf("open trust between nodes: %w", err)
	}
	if a.cfg.PeerListen != "" {
		if _, err := c.peers.Listen("tcp", a.cfg.PeerListen); err != nil {
			return fmt.Errorf("listen for other nodes: %w", err)
		}
	}
	if a.cfg.TLS != TLSOff {
		a.publicListener = c.peers.Welcome(a.publicListener)
	}
	c.client = peer.NewClient(peer.ClientConfig{Dial: c.peers.Dial, Errors: peerErrors(), Log: a.log})
	return nil
}

// advertised is the address of this node for others.
func (a *Appliance) advertised() (string, error) {
	if a.cfg.Advertise != "" {
		return a.cfg.Advertise, nil
	}
	listen := a.addr.String()
	if a.cfg.PeerListen != "" {
		listen = a.cfg.PeerListen
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("advertise: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return "", fmt.Errorf("find the host name (give --advertise instead): %w", err)
		}
	}
	return net.JoinHostPort(host, port), nil
}

// admitPeer refuses a node that was removed. One that is not known may have joined
// just now.
func (a *Appliance) admitPeer(_, server string) error {
	if a.db == nil {
		return nil // it starts; what it cannot answer, it does not
	}
	if n, err := a.db.Node(server); err == nil && n.Gone() {
		return errors.New("this node was removed from the cluster: give it a new data directory and join again")
	}
	return nil
}

// raftConfig is what agreement has of the others.
func (a *Appliance) raftConfig(c *raft.Config) {
	c.NodeID, c.Address, c.Witness = a.cluster.server, a.cluster.address, a.cfg.Witness
	c.Join = a.cluster.member != nil
	if a.cluster.peers == nil {
		return
	}
	c.Listener = a.cluster.peers.Raft()
	c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
		return a.cluster.peers.Dial(ctx, tls.ProtocolRaft, address, a.serverAt(address))
	}
	c.Peers, c.Roster = raftPeers{a.cluster.client}, roster{a}
}

// serverAt is who should answer at an address, "" if that is not known. Another one may,
// of the same authority: a node that was restored from a backup, or given a new disk. It
// must not be fed the log of a cluster that it is no member of.
func (a *Appliance) serverAt(address string) string {
	server := ""
	for _, n := range a.db.Nodes() {
		if n.Gone() || n.Address != address {
			continue
		}
		if server != "" {
			return "" // one of them moved, and has not said so yet
		}
		server = n.Server
	}
	return server
}

// openCopies opens what keeps copies of blobs on other nodes. Where they are in a
// bucket, that is the bucket's business.
func (a *Appliance) openCopies() (err error) {
	if a.cluster.peers == nil || a.bucket != nil {
		return nil
	}
	disk, ok := a.blobs.(*blobstore.Store)
	if !ok {
		return fmt.Errorf("copy blobs: of a %T", a.blobs)
	}
	a.cluster.copies, err = replicate.New(replicate.Config{
		Meta: a.meta, Bytes: disk, Peers: blobPeers{a.cluster.client}, Self: a.self, Log: a.log,
		Policy: a.copyPolicy, Condition: a.condition, Confirm: a.node.ReadIndex,
	})
	return err
}

// bytes is where the registry finds blobs: here, or on other nodes.
func (a *Appliance) bytes() registry.Blobs {
	if a.cluster.copies == nil {
		return a.blobs
	}
	return a.cluster.copies.Store()
}

// copyPolicy is how many copies there are to be, and where. It is asked at every look
// at a blob, so it reads memory only.
func (a *Appliance) copyPolicy() replicate.Policy {
	spread := a.rule.Load().Spread
	if spread == (resource.Spread{}) {
		return replicate.DefaultPolicy() // the objects were not read yet
	}
	p := replicate.DefaultPolicy()
	p.Host = replicate.Constraint{MaxSkew: spread.Host.MaxSkew, Refuse: spread.Host.Refuse}
	p.Zone = replicate.Constraint{MaxSkew: spread.Zone.MaxSkew, Refuse: spread.Zone.Refuse}
	return p
}

// self is this node's number. One that joined was told it before it had any metadata.
func (a *Appliance) self() meta.NodeID {
	if n, err := a.db.Node(a.cluster.server); err == nil {
		return n.ID
	}
	if a.cluster.member != nil {
		return a.cluster.member.Node
	}
	return meta.FirstNode
}

// others are the nodes that are not gone, without this one.
func (a *Appliance) others() (all []meta.Node) {
	for _, n := range a.db.Nodes() {
		if !n.Gone() && n.Server != a.cluster.server {
			all = append(all, n)
		}
	}
	return all
}

// alone says whether there is no other node. It is asked at every read.
func (a *Appliance) alone() bool {
	if a.cluster.peers == nil && a.cluster.member == nil {
		return true
	}
	if a.cluster.member != nil {
		return false
	}
	return len(a.db.Nodes()) < 2 // gone ones are rare enough
}

// servePeers answers other nodes until ctx ends.
func (a *Appliance) servePeers(ctx context.Context) error {
	if a.cluster.peers == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = a.cluster.served.Close() })
	defer stop()
	if err := a.cluster.served.Serve(a.cluster.peers.HTTP()); !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
		return fmt.Errorf("serve other nodes: %w", err)
	}
	return nil
}

// closeCluster ends connections to other nodes.
func (a *Appliance) closeCluster() error {
	if a.cluster.peers == nil {
		return nil
	}
	return errors.Join(a.cluster.client.Close(), a.cluster.peers.Close())
}

// registerLoop keeps what the others know of this node current.
func (a *Appliance) registerLoop(ctx context.Context) error {
	for pause := time.Duration(0); every(ctx, pause); {
		pause = registerEvery
		if err := a.register(ctx); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "this node is not registered yet", "err", err)
			pause = registerAgain
		}
	}
	return nil
}

const (
	registerEvery = time.Minute
	registerAgain = 5 * time.Second
)

// register says to the others what there is to know of this node, if it changed.
func (a *Appliance) register(ctx context.Context) error {
	want, err := a.described()
	if err != nil {
		return err
	}
	have, err := a.db.Node(a.cluster.server)
	switch {
	case errors.Is(err, meta.ErrNotFound) && a.cluster.member == nil:
	case errors.Is(err, meta.ErrNotFound):
		return nil // it registered when it joined, and will hear of that
	case err != nil:
		return err
	case have.Gone():
		return fmt.Errorf("%s was removed from the cluster: give it a new data directory and join again", have.Name)
	}
	want.ID, want.State, want.Joined = have.ID, have.State, have.Joined
	// A disk that grows a little is no news.
	if d := want.Capacity - have.Capacity; d > -have.Capacity/10 && d < have.Capacity/10 {
		want.Capacity = have.Capacity
	}
	if want == have {
		return nil
	}
	_, err = a.meta.PutNode(ctx, want, "")
	return err
}

// described is this node as the others are to know it.
func (a *Appliance) described() (meta.Node, error) {
	usage, err := a.blobs.Usage()
	if err != nil {
		return meta.Node{}, err
	}
	n := meta.Node{
		Server: a.cluster.server, Name: a.cfg.Node, Zone: a.cfg.Zone, Address: a.cluster.address,
		Role: meta.RoleFull, Version: Version(), Level: meta.Level, Capacity: usage.Total,
	}
	if a.cfg.Witness {
		n.Role = meta.RoleWitness
	}
	return n, nil
}

// peerErrors are the errors that mean the same on every node.
func peerErrors() []peer.Sentinel {
	return []peer.Sentinel{
		{Code: "no-leader", Err: raft.ErrNoLeader},
		{Code: "unknown-fate", Err: raft.ErrUnknownFate},
		{Code: "full", Err: raft.ErrFull, Status: http.StatusInsufficientStorage},
		{Code: "stopped", Err: raft.ErrStopped},
		{Code: "closed", Err: raft.ErrClosed},
		{Code: "too-large", Err: raft.ErrTooLarge, Status: http.StatusRequestEntityTooLarge},
		{Code: "blob-unknown", Err: blobstore.ErrNotFound, Status: http.StatusNotFound},
		{Code: "level", Err: meta.ErrLevel, Status: http.StatusConflict},
		{Code: "address-in-use", Err: raft.ErrAddressInUse, Status: http.StatusConflict},
		{Code: "removed", Err: errNodeRemoved, Status: http.StatusForbidden},
	}
}

var errNodeRemoved = errors.New("the node was removed from the cluster")
