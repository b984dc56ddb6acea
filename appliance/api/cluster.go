package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/opencontainers/go-digest"
)

// A ClusterOperator says who is in the cluster. Errors wrap [ErrInvalid],
// [ErrConflict], or are those of meta.
type ClusterOperator interface {
	// Members lists the nodes, by the order in which they joined.
	Members(ctx context.Context) ([]Member, error)
	// RemoveMember takes a node out for good. Without force it must be drained.
	RemoveMember(ctx context.Context, name string, force bool, actor string) error
	// DrainMember has a node's copies made elsewhere, and its vote given to another;
	// with back it is as before.
	DrainMember(ctx context.Context, name string, back bool, actor string) error
	// Digest hashes the metadata of the node that is asked.
	Digest(ctx context.Context) (MetaDigest, error)

	// Invite makes a token by which nodes can join until it ends.
	Invite(ctx context.Context, ends time.Time, actor string) (token string, err error)
	// Invitations lists the tokens that have not been revoked.
	Invitations(ctx context.Context) ([]Invitation, error)
	// RevokeInvitation ends a token.
	RevokeInvitation(ctx context.Context, id, actor string) error
}

// A Member is a node of the cluster.
type Member struct {
	ID      uint16    `json:"id"`
	Name    string    `json:"name"`
	Server  string    `json:"server"` // name and disk
	Zone    string    `json:"zone,omitempty"`
	Address string    `json:"address"`
	Role    string    `json:"role"`  // full or witness
	State   string    `json:"state"` // active or draining
	Voter   bool      `json:"voter"`
	Leader  bool      `json:"leader"`
	Here    bool      `json:"here"` // it is the one that answers
	Version string    `json:"version"`
	Joined  time.Time `json:"joined"`
	// Seen is when it answered the node that is asked last; zero: not since that started.
	Seen time.Time `json:"seen,omitzero"`
	// Reachable says that this was just now.
	Reachable bool `json:"reachable"`
	// Free and Capacity are bytes for blobs, as of then.
	Free     int64 `json:"freeBytes"`
	Capacity int64 `json:"capacityBytes"`
	// Behind is how many entries of the log it had yet to apply then.
	Behind uint64 `json:"behind"`
}

// An Invitation is a token to join with, without its secret.
type Invitation struct {
	ID      string    `json:"id"`
	Expires time.Time `json:"expires"`
	Expired bool      `json:"expired"`
	Actor   string    `json:"actor"` // who made it
}

// A MetaDigest is the metadata of one node in short: nodes that are at the same index
// have the same, or one of them is damaged.
type MetaDigest struct {
	Index  uint64        `json:"index"` // of the last entry of the log that changed it
	Digest digest.Digest `json:"digest"`
}

const (
	digestPath      = Prefix + "/cluster/digest"
	membersPath     = Prefix + "/cluster/members"
	invitationsPath = Prefix + "/cluster/tokens"
)

// clustered serves a ClusterOperator. What is asked for stands in the path or the
// query, so that the audit log tells it.
func clustered(op ClusterOperator, on func(pattern string, f operation)) {
	type none = struct{}
	on("GET "+membersPath, answer(func(r *http.Request, _ string, _ none) ([]Member, error) {
		return op.Members(r.Context())
	}))
	on("DELETE "+membersPath+"/{name}", answer(func(r *http.Request, actor string, _ none) (none, error) {
		force := r.URL.Query().Get("force") == "true"
		return none{}, op.RemoveMember(r.Context(), r.PathValue("name"), force, actor)
	}))
	for verb, back := range map[string]bool{"drain": false, "activate": true} {
		on("POST "+membersPath+"/{name}/"+verb, answer(func(r *http.Request, actor string, _ none) (none, error) {
			return none{}, op.DrainMember(r.Context(), r.PathValue("name"), back, actor)
		}))
	}
	on("GET "+digestPath, answer(func(r *http.Request, _ string, _ none) (MetaDigest, error) {
		return op.Digest(r.Context())
	}))
	on("GET "+invitationsPath, answer(func(r *http.Request, _ string, _ none) ([]Invitation, error) {
		return op.Invitations(r.Context())
	}))
	on("POST "+invitationsPath, answer(func(r *http.Request, actor string, _ none) (Made, error) {
		q, err := tokenIn(r.URL.Query())
		if err != nil {
			return Made{}, err
		}
		token, err := op.Invite(r.Context(), q.Expires, actor)
		return Made{token}, err
	}))
	on("DELETE "+invitationsPath+"/{id}", answer(func(r *http.Request, actor string, _ none) (none, error) {
		return none{}, op.RevokeInvitation(r.Context(), r.PathValue("id"), actor)
	}))
}

// Members is [ClusterOperator.Members].
func (c *Client) Members(ctx context.Context) (all []Member, err error) {
	return all, c.call(ctx, http.MethodGet, membersPath, nil, &all)
}

// RemoveMember is [ClusterOperator.RemoveMember].
func (c *Client) RemoveMember(ctx context.Context, name string, force bool) error {
	path := membersPath + "/" + url.PathEscape(name)
	if force {
		path += "?force=true"
	}
	return c.call(ctx, http.MethodDelete, path, nil, nil)
}

// DrainMember is [ClusterOperator.DrainMember].
func (c *Client) DrainMember(ctx context.Context, name string, back bool) error {
	verb := "/drain"
	if back {
		verb = "/activate"
	}
	return c.call(ctx, http.MethodPost, membersPath+"/"+url.PathEscape(name)+verb, nil, nil)
}

// Digest is [ClusterOperator.Digest].
func (c *Client) Digest(ctx context.Context) (d MetaDigest, err error) {
	return d, c.call(ctx, http.MethodGet, digestPath, nil, &d)
}

// Invite is [ClusterOperator.Invite].
func (c *Client) Invite(ctx context.Context, ends time.Time) (token string, err error) {
	var made Made
	q := url.Values{"expires": {ends.UTC().Format(time.RFC3339)}}
	err = c.call(ctx, http.MethodPost, invitationsPath+"?"+q.Encode(), nil, &made)
	return made.Secret, err
}

// Invitations is [ClusterOperator.Invitations].
func (c *Client) Invitations(ctx context.Context) (all []Invitation, err error) {
	return all, c.call(ctx, http.MethodGet, invitationsPath, nil, &all)
}

// RevokeInvitation is [ClusterOperator.RevokeInvitation].
func (c *Client) RevokeInvitation(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, invitationsPath+"/"+url.PathEscape(id), nil, nil)
}
