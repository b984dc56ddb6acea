package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"skerry.dev/skerry/appliance/peer"
	"skerry.dev/skerry/meta"
	"skerry.dev/skerry/tls"
)

// A membership is what a node keeps of the cluster that it joined.
type membership struct {
	Cluster string      `json:"cluster"` // id
	Node    meta.NodeID `json:"node"`
}

// membership reads what this disk is a member of; nil when it founds its own.
func (d *dataDir) membership() (*membership, error) {
	b, err := os.ReadFile(d.join(memberName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // a founder
	}
	m := new(membership)
	if err == nil {
		err = json.Unmarshal(b, m)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.join(memberName), err)
	}
	return m, nil
}

// founded says whether this disk has metadata.
func (d *dataDir) founded() bool {
	_, err := os.Stat(d.join(metaName))
	return err == nil
}

// join makes a new data directory a member of the cluster that the settings name. The
// file that says so is written last: until then a crash leaves a directory that joins
// again, as the same server.
func (a *Appliance) join(ctx context.Context) (err error) {
	c := &a.cluster
	if c.member, err = a.dir.membership(); err != nil || c.member != nil || a.cfg.Join == "" {
		return err
	}
	if a.dir.founded() {
		return fmt.Errorf("%s has a registry of its own already, it cannot join %s: give an empty data directory, "+
			"or leave out join", a.dir.path, a.cfg.Join)
	}
	admission, err := a.ask(ctx)
	if err != nil {
		return fmt.Errorf("join the cluster of %s: %w", a.cfg.Join, err)
	}
	if err := tls.InstallAuthority(a.dir.join(tlsName), admission.CACert, admission.CAKey); err != nil {
		return fmt.Errorf("join the cluster of %s: %w", a.cfg.Join, err)
	}
	c.member = &membership{Cluster: admission.Cluster, Node: meta.NodeID(admission.ID)}
	b, err := json.Marshal(c.member)
	if err != nil {
		return fmt.Errorf("encode membership: %w", err)
	}
	a.log.InfoContext(ctx, "joined", "cluster", admission.Cluster, "node", admission.ID, "members", len(admission.Members))
	return a.dir.write(memberName, string(b)+"\n")
}

// joinAgain is the pause before a node that does not answer is asked again: it may be
// starting, as this one is.
const joinAgain = 2 * time.Second

// ask asks to become a member, until there is an answer.
func (a *Appliance) ask(ctx context.Context) (peer.Admission, error) {
	token, err := peer.ParseToken(a.cfg.Token)
	if err != nil {
		return peer.Admission{}, fmt.Errorf("token: %w", err)
	}
	address, err := joinAddress(a.cfg.Join)
	if err != nil {
		return peer.Admission{}, err
	}
	n, err := a.described()
	if err != nil {
		return peer.Admission{}, err
	}
	dial := func(ctx context.Context) (net.Conn, error) { return tls.DialJoin(ctx, address, token.CAHash) }
	m := peer.Member{
		Server: n.Server, Name: n.Name, Zone: n.Zone, Address: n.Address, Role: string(n.Role),
		Version: n.Version, Level: n.Level, Capacity: n.Capacity,
	}
	for {
		admission, err := peer.Join(ctx, dial, token, m, peerErrors()...)
		if err == nil || !passing(err) {
			return admission, err
		}
		a.log.WarnContext(ctx, "cannot join yet", "address", address, "err", err)
		if !every(ctx, joinAgain) {
			return peer.Admission{}, errors.Join(ctx.Err(), err)
		}
	}
}

// passing says whether joining may work later though nobody changes anything.
func passing(err error) bool {
	var remote *peer.RemoteError
	switch {
	case errors.Is(err, tls.ErrOtherCluster), errors.Is(err, tls.ErrRefused):
		return false
	case errors.As(err, &remote):
		return remote.Code == "no-leader" || remote.Code == "unknown-fate" || remote.Code == ""
	}
	return true
}

// joinAddress is the host and port of what --join names.
func joinAddress(text string) (string, error) {
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" {
			return "", fmt.Errorf("join: %q: want https://HOST:PORT or HOST:PORT", text)
		}
		port := u.Port()
		if port == "" {
			port = "443"
		}
		return net.JoinHostPort(u.Hostname(), port), nil
	}
	if _, _, err := net.SplitHostPort(text); err != nil {
		return "", fmt.Errorf("join: %q: want https://HOST:PORT or HOST:PORT", text)
	}
	return text, nil
}
