package tls

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// The protocols between nodes, as ALPN names them.
const (
	ProtocolRaft = "skerry-raft/1" // of the raft library
	ProtocolPeer = "skerry-peer/1" // HTTP/1.1, for members
	ProtocolJoin = "skerry-join/1" // HTTP/1.1, for who is no member yet: shows no certificate
)

// PeersConfig says who this node is among the others. Dir, Server and Log are
// required.
type PeersConfig struct {
	// Dir holds ca.key and ca.crt of the cluster's authority, which is this node's
	// own, made where absent. Created if absent, 0700.
	Dir string

	// Server is this node's identity: the node's name and that of its disk.
	Server string

	// Log is told whom this node refused, and why.
	Log *slog.Logger

	// Admit, if not nil, is asked about each node that showed a good certificate,
	// before it is served: an error, whose text that node is told, refuses it. It
	// must not block.
	Admit func(protocol, server string) error

	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Peers is the trust between the nodes of a cluster: every node has the key of
// the cluster's authority and issues its own certificate, which names its
// server; each believes what that authority signed and nobody else. All methods
// are safe for concurrent use.
type Peers struct {
	cfg      PeersConfig
	keeper   *keeper
	raft     *queue
	http     *queue
	refusals *refusals

	issuing sync.Mutex // one at a time; guards the changes of shown
	shown   atomic.Pointer[passport]

	mu     sync.Mutex // guards what follows; never held while waiting
	closed bool
	doors  []*door
	live   map[*peerConn]struct{}
	joins  int // of live, those of ProtocolJoin
}

// OpenPeers reads the authority, or makes it. A damaged one is an error that
// names the file.
func OpenPeers(cfg PeersConfig) (*Peers, error) {
	if cfg.Log == nil {
		return nil, errors.New("tls: Log is required")
	}
	if err := checkServer(cfg.Server); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	k, err := openKeeper(cfg.Dir, cfg.Log)
	if err != nil {
		return nil, err
	}
	p := &Peers{
		cfg: cfg, keeper: k, raft: newQueue(ProtocolRaft), http: newQueue(ProtocolPeer),
		refusals: newRefusals(cfg.Log, cfg.Now), live: map[*peerConn]struct{}{},
	}
	_, err = p.passport()
	return p, err
}

// Raft gives the connections of other nodes' raft. Closing it refuses further
// ones, and leaves those it gave.
func (p *Peers) Raft() net.Listener { return p.raft }

// HTTP gives the connections of [ProtocolPeer] and [ProtocolJoin], for an HTTP
// server without TLS. Each has a method Peer() (protocol, server string) that
// tells who is at the other end; server is empty for one that joins.
func (p *Peers) HTTP() net.Listener { return p.http }

// Listen opens an address for other nodes only, until Close.
func (p *Peers) Listen(network, address string) (net.Addr, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err // names operation and address already
	}
	p.open(l, nil)
	return l.Addr(), nil
}

// Welcome lets nodes in by l, which it owns, and nobody else until [Public.Wrap] of the
// listener that it returns: a node that starts may need the others for that.
func (p *Peers) Welcome(l net.Listener) net.Listener { return p.open(l, nil) }

// Authority returns certificate and key of the cluster's authority, PEM: what a
// node that joins needs to become a member. They are the caller's own copies.
func (p *Peers) Authority() (cert, key []byte, err error) {
	pass, err := p.passport()
	if err != nil {
		return nil, nil, err
	}
	if key, err = encodeKey(pass.ca.key); err != nil {
		return nil, nil, fmt.Errorf("encode key of the authority: %w", err)
	}
	return append([]byte(nil), pass.ca.pem...), key, nil
}

// CAHash names the cluster's authority for [DialJoin]: the SHA-256 of its public
// key, in hex. It stays when the certificate is renewed.
func (p *Peers) CAHash() (string, error) {
	pass, err := p.passport()
	if err != nil {
		return "", err
	}
	return caHash(pass.ca.cert), nil
}

func caHash(ca *x509.Certificate) string {
	sum := sha256.Sum256(ca.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// Disconnect ends the connections that a server opened to this node: it was
// removed, and is to be asked at the door whether it may come in again.
func (p *Peers) Disconnect(server string) {
	p.mu.Lock()
	var gone []*peerConn
	for c := range p.live {
		if c.server == server {
			gone = append(gone, c)
		}
	}
	p.mu.Unlock()
	for _, c := range gone {
		_ = c.Close()
	}
}

// Close closes every address that nodes are let in by, and the connections that
// nobody took yet. Those that were taken are left to whoever has them.
func (p *Peers) Close() error {
	p.mu.Lock()
	p.closed = true
	doors := p.doors
	p.doors = nil
	p.mu.Unlock()
	errs := []error{p.raft.Close(), p.http.Close()}
	for _, d := range doors {
		errs = append(errs, d.shut())
	}
	return errors.Join(errs...)
}
