package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// A Member is a node of the cluster, or one that wants to be.
type Member struct {
	ID       uint16 `json:"id,omitempty"` // given by the cluster
	Server   string `json:"server"`
	Name     string `json:"name"`
	Zone     string `json:"zone,omitempty"`
	Address  string `json:"address"` // a name and a port that others reach it by
	Role     string `json:"role"`    // full or witness
	Version  string `json:"version"`
	Level    uint16 `json:"level"`
	Capacity int64  `json:"capacity"` // bytes
}

// Joins is the appliance's part of joining, on the node that is asked and on the
// one that leads. All of its errors that are to keep their identity are in
// Config.Errors.
type Joins interface {
	// Leader says who leads, and whether that is this node. An error if nobody
	// does, or it is not known.
	Leader(ctx context.Context) (leader Node, here bool, err error)

	// Invitation is what is kept of a token; [ErrTokenUnknown].
	Invitation(ctx context.Context, id string) (Invitation, error)

	// Register makes a node known, or what is known of it current, by its Server,
	// and returns its number. by names the invitation. It refuses one that was
	// removed, and one that is too old.
	Register(ctx context.Context, m Member, by string) (id uint16, err error)

	// AddNonvoter has the node brought up to date from now on. It may be one
	// already.
	AddNonvoter(ctx context.Context, n Node) error

	// Members are those that are not gone.
	Members(ctx context.Context) ([]Member, error)

	// Authority gives certificate and key of the cluster's authority, PEM.
	Authority() (cert, key []byte, err error)

	// ClusterID names the cluster.
	ClusterID() string
}

// joinRequest is what a node asks with.
type joinRequest struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
	Member Member `json:"member"`
}

// An Admission is what a node gets that joins: all it needs to be a member.
type Admission struct {
	Cluster string   `json:"cluster"` // id
	ID      uint16   `json:"id"`      // of the node that joined
	CACert  []byte   `json:"caCert"`  // PEM
	CAKey   []byte   `json:"caKey"`   // PEM; secret
	Members []Member `json:"members"` // it is one of them
}

// join makes a node a member, here or by the leader.
func (h *handler) join(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), callMax)
	defer cancel()
	admission, asked, err := h.admission(ctx, w, r)
	via := identityOf(r).server // "": it asked here
	if err != nil {
		if h.refused.open(time.Now()) {
			h.cfg.Log.WarnContext(ctx, "joining refused", "server", asked.Member.Server, "token", asked.ID,
				"remote", r.RemoteAddr, "via", via, "err", err)
		}
		return h.toldTo(via, err)
	}
	h.cfg.Log.InfoContext(ctx, "node joins", "server", asked.Member.Server, "address", asked.Member.Address,
		"node", admission.ID, "token", asked.ID, "remote", r.RemoteAddr, "via", via)
	return writeJSON(w, admission)
}

// admission is the answer to who asks, or why there is none.
func (h *handler) admission(
	ctx context.Context, w http.ResponseWriter, r *http.Request,
) (a Admission, asked joinRequest, err error) {
	body, err := readBody(w, r, smallMax)
	if err != nil {
		return a, asked, err
	}
	if h.cfg.Join == nil {
		return a, asked, fmt.Errorf("%w: nodes do not join by this one", ErrUnknownCall)
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return a, joinRequest{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if err := asked.check(); err != nil {
		return a, joinRequest{}, err // what is in it is not for the log
	}
	select {
	case h.joining <- struct{}{}:
		defer func() { <-h.joining }()
	case <-ctx.Done():
		return a, asked, ctx.Err()
	}
	leader, here, err := h.cfg.Join.Leader(ctx)
	switch {
	case err != nil:
		return a, asked, fmt.Errorf("find leader: %w", err)
	case here:
		a, err = h.welcome(ctx, asked)
	case r.Header.Get(headerHop) != "":
		err = fmt.Errorf("%w: the leader changed, try again", ErrLoop)
	default:
		a, err = h.cfg.Client.join(ctx, leader, body)
	}
	return a, asked, err
}

// welcome makes a node a member: known first, so that whoever meets it in the
// agreement knows who it is. Whoever fails on the way asks once more.
func (h *handler) welcome(ctx context.Context, asked joinRequest) (a Admission, err error) {
	invitation, err := h.cfg.Join.Invitation(ctx, asked.ID)
	if err != nil {
		return a, fmt.Errorf("read invitation: %w", err)
	}
	if err := invitation.Check(asked.Secret, time.Now()); err != nil {
		return a, err
	}
	m := asked.Member
	a.Cluster = h.cfg.Join.ClusterID()
	if a.ID, err = h.cfg.Join.Register(ctx, m, "join/"+asked.ID); err != nil {
		return a, fmt.Errorf("register %s: %w", m.Server, err)
	}
	if err = h.cfg.Join.AddNonvoter(ctx, Node{m.Server, m.Address}); err != nil {
		return a, fmt.Errorf("add %s: %w", m.Server, err)
	}
	if a.Members, err = h.cfg.Join.Members(ctx); err != nil {
		return a, fmt.Errorf("list members: %w", err)
	}
	a.CACert, a.CAKey, err = h.cfg.Join.Authority()
	return a, err
}

// check refuses what could not be a member. Its words stand in logs and
// certificates from now on.
func (j joinRequest) check() error {
	m := j.Member
	_, port, err := net.SplitHostPort(m.Address)
	switch {
	case !tokenID(j.ID) || len(j.Secret) != secretLen:
		return fmt.Errorf("%w: no token in it", ErrRequest)
	case m.Server == "" || m.Name == "" || m.Version == "":
		return fmt.Errorf("%w: server, name and version are required", ErrRequest)
	case err != nil || port == "":
		return fmt.Errorf("%w: address %.300q: want a name and a port", ErrRequest, m.Address)
	case m.Role != "full" && m.Role != "witness":
		return fmt.Errorf("%w: role %.20q: want full or witness", ErrRequest, m.Role)
	case m.Capacity < 0:
		return fmt.Errorf("%w: capacity %d", ErrRequest, m.Capacity)
	}
	for _, s := range []string{m.Server, m.Name, m.Zone, m.Address, m.Version} {
		if len(s) > 255 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("%w: %.300q: want at most 255 printable ASCII characters without spaces", ErrRequest, s)
		}
	}
	return nil
}

// errInternal is what strangers learn of errors that are not for them.
var errInternal = errors.New("the node that was asked could not do it: see its log")

// toldTo is an error as it may be told: to members all of it, to strangers what
// they need.
func (h *handler) toldTo(member string, err error) error {
	if member == "" && h.errors.of(err).Code == "" {
		return errInternal
	}
	return err
}

// join passes the request of a node that joins on to the leader.
func (c *Client) join(ctx context.Context, leader Node, body []byte) (a Admission, err error) {
	req, err := request(ctx, http.MethodPost, leader, pathJoin, body)
	if err != nil {
		return a, err
	}
	req.Header.Set(headerHop, "1")
	_, b, err := c.ask(req, leader, admissionMax)
	if err != nil {
		return a, err
	}
	return readAdmission(leader.Server, b)
}

func readAdmission(server string, b []byte) (a Admission, err error) {
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("%s: %w: admission: %w", server, ErrAnswer, err)
	}
	if a.ID == 0 || len(a.CACert) == 0 || len(a.CAKey) == 0 || len(a.Members) == 0 {
		return a, fmt.Errorf("%s: %w: admission without a number, an authority or members", server, ErrAnswer)
	}
	return a, nil
}
