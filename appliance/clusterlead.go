package appliance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"skerry.dev/skerry/appliance/peer"
	"skerry.dev/skerry/meta"
	"skerry.dev/skerry/raft"
)

// joins is this node's part in letting others join.
type joins struct{ a *Appliance }

var _ peer.Joins = joins{}

// inviteName is what the secrets of invitations begin with.
const inviteName = "join/"

// Leader implements [peer.Joins].
func (j joins) Leader(context.Context) (peer.Node, bool, error) {
	now, _ := j.a.node.Leadership()
	if now.Leader.ID == "" {
		return peer.Node{}, false, raft.ErrNoLeader
	}
	return peer.Node{Server: now.Leader.ID, Address: now.Leader.Address}, now.Leading, nil
}

// Invitation implements [peer.Joins].
func (j joins) Invitation(ctx context.Context, id string) (peer.Invitation, error) {
	if err := j.a.node.ReadIndex(ctx); err != nil {
		return peer.Invitation{}, err
	}
	b, err := j.a.meta.Secret(inviteName + id)
	if errors.Is(err, meta.ErrNotFound) {
		return peer.Invitation{}, fmt.Errorf("%w: make one with skerry cluster token create", peer.ErrTokenUnknown)
	}
	if err != nil {
		return peer.Invitation{}, err
	}
	return peer.ParseInvitation(b)
}

// Register implements [peer.Joins].
func (j joins) Register(ctx context.Context, m peer.Member, by string) (uint16, error) {
	n := meta.Node{
		Server: m.Server, Name: m.Name, Zone: m.Zone, Address: m.Address, Role: meta.NodeRole(m.Role),
		Version: m.Version, Level: m.Level, Capacity: m.Capacity,
	}
	have, err := j.a.db.Node(m.Server)
	if err == nil && have.Gone() {
		return 0, errNodeRemoved
	}
	for _, other := range j.a.db.Nodes() {
		if !other.Gone() && other.Server != m.Server && (other.Name == m.Name || other.Address == m.Address) {
			return 0, fmt.Errorf("%w: there is a node %s at %s already; remove it first if its disk is lost: "+
				"skerry cluster remove %s", raft.ErrAddressInUse, other.Name, other.Address, other.Name)
		}
	}
	id, err := j.a.meta.PutNode(ctx, n, by)
	return uint16(id), err
}

// AddNonvoter implements [peer.Joins]. Who had the address before, and was removed just
// now, goes first.
func (j joins) AddNonvoter(ctx context.Context, n peer.Node) error {
	if err := j.a.lead(ctx); err != nil {
		return err
	}
	return j.a.node.AddNonvoter(ctx, raft.Server{ID: n.Server, Address: n.Address})
}

// Members implements [peer.Joins].
func (j joins) Members(context.Context) (all []peer.Member, err error) {
	for _, n := range j.a.db.Nodes() {
		if !n.Gone() {
			all = append(all, peer.Member{
				ID: uint16(n.ID), Server: n.Server, Name: n.Name, Zone: n.Zone, Address: n.Address, Role: string(n.Role),
				Version: n.Version, Level: n.Level, Capacity: n.Capacity,
			})
		}
	}
	return all, nil
}

// Authority implements [peer.Joins].
func (j joins) Authority() (cert, key []byte, err error) { return j.a.cluster.peers.Authority() }

// ClusterID implements [peer.Joins].
func (j joins) ClusterID() string {
	b, err := j.a.meta.Secret(clusterIDName)
	if err != nil {
		return ""
	}
	return string(b)
}

// clusterIDName is the secret that names the cluster. It is not secret.
const clusterIDName = "cluster-id"

// leadEvery is how often a leader compares the members of the agreement with the nodes
// that the metadata knows.
const leadEvery = time.Second

// leadLoop makes the members of the agreement those that the metadata knows, while
// this node leads: a crash between the two leaves nothing that stays.
func (a *Appliance) leadLoop(ctx context.Context) error {
	if a.cluster.peers == nil {
		return nil
	}
	for every(ctx, leadEvery) {
		if len(a.db.Nodes()) < 2 {
			continue
		}
		if now, _ := a.node.Leadership(); !now.Leading {
			continue
		}
		if err := a.lead(ctx); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "members are not as they should be", "err", err)
		}
	}
	return nil
}

func (a *Appliance) lead(ctx context.Context) error {
	members := map[string]raft.Member{}
	for _, m := range a.node.Members() {
		members[m.ID] = m
	}
	var errs []error
	for _, n := range a.db.Nodes() {
		m, is := members[n.Server]
		server := raft.Server{ID: n.Server, Address: n.Address}
		switch {
		case n.Gone() && is && n.Server == a.cluster.server: // the last thing it does
			errs = append(errs, a.node.Transfer(ctx, ""))
		case n.Gone() && is:
			errs = append(errs, a.node.Remove(ctx, n.Server))
			a.cluster.peers.Disconnect(n.Server)
		case n.Gone():
		case !is:
			errs = append(errs, a.node.AddNonvoter(ctx, server))
		case m.Address != n.Address:
			errs = append(errs, a.node.UpdateAddress(ctx, server))
		}
	}
	return errors.Join(errs...)
}

// leading says whether this node does what one node does for all.
func (a *Appliance) leading() bool {
	now, _ := a.node.Leadership()
	return now.Leading
}
