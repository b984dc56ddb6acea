package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/appliance/peer"
	"skerry.dev/skerry/meta"
	"skerry.dev/skerry/raft"
)

// seenWithin is how old an answer may be of a node that counts as reachable.
const seenWithin = 3 * sightEvery

// Members implements [api.ClusterOperator].
func (o operator) Members(context.Context) ([]api.Member, error) {
	votes := map[string]raft.Member{}
	for _, m := range o.a.node.Members() {
		votes[m.ID] = m
	}
	all := []api.Member{}
	for _, n := range o.a.db.Nodes() {
		if n.Gone() {
			continue
		}
		vote := votes[n.Server]
		m := api.Member{
			ID: uint16(n.ID), Name: n.Name, Server: n.Server, Zone: n.Zone, Address: n.Address, Role: string(n.Role),
			State: string(n.State), Voter: vote.Voter, Leader: vote.Leader, Here: n.Server == o.a.cluster.server,
			Version: n.Version, Joined: n.Joined, Capacity: n.Capacity,
		}
		o.a.look(&m, n)
		all = append(all, m)
	}
	return all, nil
}

// look adds how the node is.
func (a *Appliance) look(m *api.Member, n meta.Node) {
	if m.Here {
		m.Seen, m.Reachable = time.Now(), true
		if usage, err := a.blobs.Usage(); err == nil {
			m.Free, m.Capacity = usage.Free, usage.Total
		}
		return
	}
	a.cluster.mu.Lock()
	defer a.cluster.mu.Unlock()
	seen, known := a.cluster.seen[n.ID]
	if !known || seen.latency == 0 {
		return
	}
	m.Seen, m.Reachable, m.Free = seen.at, time.Since(seen.at) < seenWithin, seen.free
	m.Capacity = max(seen.capacity, m.Capacity)
	if here := a.node.Status().AppliedIndex; here > seen.applied {
		m.Behind = here - seen.applied
	}
}

// memberNamed finds a node that is not gone by its name, or by its server.
func (a *Appliance) memberNamed(name string) (meta.Node, error) {
	var found []meta.Node
	for _, n := range a.db.Nodes() {
		if !n.Gone() && (n.Name == name || n.Server == name) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return meta.Node{}, fmt.Errorf("%w: there is no node %q; skerry cluster members lists them", api.ErrInvalid, name)
	case 1:
		return found[0], nil
	}
	return meta.Node{}, fmt.Errorf("%w: %d nodes are called %q: name one by its server, which "+
		"skerry cluster members -o json tells", api.ErrInvalid, len(found), name)
}

// RemoveMember implements [api.ClusterOperator].
func (o operator) RemoveMember(ctx context.Context, name string, force bool, actor string) error {
	n, err := o.a.memberNamed(name)
	if err != nil {
		return err
	}
	if len(o.a.others()) == 0 {
		return fmt.Errorf("%w: %s is the only node", api.ErrInvalid, n.Name)
	}
	if !force {
		if err := o.a.removable(n); err != nil {
			return err
		}
	}
	return o.a.meta.SetNodeState(ctx, n.ID, meta.NodeGone, actor)
}

// removable says why a node cannot be removed without losing copies.
func (a *Appliance) removable(n meta.Node) error {
	for after := uint64(0); ; {
		page, err := a.db.CopiesAfter(after, copiesPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, c := range page {
			if slices.Contains(c.Holders, n.ID) && len(c.Holders) == 1 {
				return fmt.Errorf("%w: %s is the only node that has blob %s, and perhaps others: drain it first "+
					"(skerry cluster drain %s) and wait, or remove it with --force if its disk is lost",
					api.ErrConflict, n.Name, c.Digest, n.Name)
			}
			after = c.ID
		}
	}
}

// copiesPage is how many blobs are looked at in one transaction.
const copiesPage = 1000

// DrainMember implements [api.ClusterOperator].
func (o operator) DrainMember(ctx context.Context, name string, back bool, actor string) error {
	n, err := o.a.memberNamed(name)
	if err != nil {
		return err
	}
	state := meta.NodeDraining
	if back {
		state = meta.NodeActive
	}
	return o.a.meta.SetNodeState(ctx, n.ID, state, actor)
}

// Digest implements [api.ClusterOperator].
func (o operator) Digest(ctx context.Context) (api.MetaDigest, error) {
	sum, index, err := o.a.db.Digest(ctx)
	return api.MetaDigest{Index: index, Digest: sum}, err
}

// Invite implements [api.ClusterOperator].
func (o operator) Invite(ctx context.Context, ends time.Time, actor string) (string, error) {
	if o.a.cluster.peers == nil {
		return "", fmt.Errorf("%w: %w", api.ErrInvalid, ErrAlone)
	}
	if ends.IsZero() || ends.Before(time.Now()) {
		return "", fmt.Errorf("%w: a token must end, and not in the past", api.ErrInvalid)
	}
	hash, err := o.a.cluster.peers.CAHash()
	if err != nil {
		return "", err
	}
	token, invitation := peer.NewToken(hash, actor, ends)
	b, err := invitation.Encode()
	if err != nil {
		return "", fmt.Errorf("make token: %w", err)
	}
	return token.String(), o.a.meta.PutSecret(ctx, inviteName+token.ID, b)
}

// Invitations implements [api.ClusterOperator].
func (o operator) Invitations(context.Context) ([]api.Invitation, error) {
	names, err := o.a.meta.Secrets(inviteName)
	all := []api.Invitation{}
	for _, name := range names {
		b, err := o.a.meta.Secret(name)
		if errors.Is(err, meta.ErrNotFound) {
			continue // revoked just now
		}
		if err != nil {
			return nil, err
		}
		i, err := peer.ParseInvitation(b)
		if err != nil {
			return nil, err
		}
		all = append(all, api.Invitation{
			ID: strings.TrimPrefix(name, inviteName), Expires: i.Expires, Expired: time.Now().After(i.Expires), Actor: i.By,
		})
	}
	return all, err
}

// RevokeInvitation implements [api.ClusterOperator].
func (o operator) RevokeInvitation(ctx context.Context, id, _ string) error {
	return o.a.meta.DeleteSecret(ctx, inviteName+id)
}
