package tls

import (
	"context"
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// dialMax bounds a dial whatever the context allows.
const dialMax = 10 * time.Second

var (
	// ErrOtherCluster says that a certificate is of an authority that is not this
	// cluster's.
	ErrOtherCluster = errors.New("tls: another cluster")

	// ErrOtherServer says that another server answered than was asked for: the
	// address is now somebody else's, or the disk was wiped.
	ErrOtherServer = errors.New("tls: another server")

	// ErrRefused says that the other node did not let this one in.
	ErrRefused = errors.New("tls: refused")
)

// Dial connects to a node, for a protocol of ours. The address is a name, which
// is resolved now, and a port. If a server is given and another one answers,
// that is [ErrOtherServer]; [ErrOtherCluster], [ErrRefused]. What is written to
// the connection has reached a node that serves it: whatever error Dial returns,
// nothing was sent.
func (p *Peers) Dial(ctx context.Context, protocol, address, server string) (net.Conn, error) {
	pass, err := p.passport()
	if err != nil {
		return nil, err
	}
	check := func(s cryptotls.ConnectionState) error {
		got, err := verify(s.PeerCertificates, pass.roots, x509.ExtKeyUsageServerAuth, p.cfg.Now())
		if err == nil && server != "" && got != server {
			err = fmt.Errorf("%w: it is %s", ErrOtherServer, got)
		}
		return explain(err)
	}
	c, err := dial(ctx, address, &cryptotls.Config{
		NextProtos: []string{protocol}, VerifyConnection: check, Time: p.cfg.Now,
		// Whatever authorities the other side names: its refusal says more than
		// that nothing was shown.
		GetClientCertificate: func(*cryptotls.CertificateRequestInfo) (*cryptotls.Certificate, error) {
			return pass.leaf, nil
		},
	})
	if err != nil && server != "" {
		return nil, fmt.Errorf("dial %s (%s): %w", server, address, err)
	}
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return c, nil
}

// DialJoin connects to a node of a cluster that this one is no member of, to ask
// for that: it shows nothing, and believes who holds the key of the authority
// that caHash names, as [Peers.CAHash] gave it. [ErrOtherCluster], [ErrRefused].
func DialJoin(ctx context.Context, address, caHash string) (net.Conn, error) {
	if b, err := hex.DecodeString(caHash); err != nil || len(b) != 32 {
		return nil, fmt.Errorf("join %s: %.80q is not the SHA-256 of a key in hex", address, caHash)
	}
	c, err := dial(ctx, address, &cryptotls.Config{
		NextProtos:       []string{ProtocolJoin},
		VerifyConnection: func(s cryptotls.ConnectionState) error { return explain(verifyJoin(s, caHash)) },
	})
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", address, err)
	}
	return c, nil
}

// verifyJoin accepts a node whose chain ends with the authority of that hash.
func verifyJoin(s cryptotls.ConnectionState, hash string) error {
	chain := s.PeerCertificates
	if len(chain) == 0 {
		return errNoCertificate
	}
	ca := chain[len(chain)-1]
	if len(chain) == 1 || !strings.EqualFold(caHash(ca), hash) {
		return fmt.Errorf("%w than the one that the token is of", ErrOtherCluster)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, err := verify(chain, roots, x509.ExtKeyUsageServerAuth, time.Now())
	return err
}

// dial connects, does the handshake, and waits for the greeting.
func dial(ctx context.Context, address string, config *cryptotls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialMax)
	defer cancel()
	// A node that lost its power says nothing: three probes find that out.
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	config.MinVersion = cryptotls.VersionTLS13
	config.InsecureSkipVerify = true // names change; VerifyConnection asks who it is instead
	c := cryptotls.Client(raw, config)
	if err := greeted(ctx, c, config.NextProtos[0]); err != nil {
		_ = raw.Close() // a farewell could block
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		return nil, err
	}
	return c, nil
}

// greeted does the handshake and hears whether this node is welcome.
func greeted(ctx context.Context, c *cryptotls.Conn, protocol string) error {
	if err := c.HandshakeContext(ctx); err != nil {
		return explainRefusal(err, protocol)
	}
	if got := c.ConnectionState().NegotiatedProtocol; got != protocol {
		return fmt.Errorf("what answers does not speak %s: is it a node of Skerry, and not too old?", protocol)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	err := readGreeting(c)
	if !stop() {
		return errors.Join(err, ctx.Err())
	}
	return explainRefusal(err, protocol)
}

// readGreeting is the other half of peerConn.greet.
func readGreeting(c net.Conn) error {
	var n [1]byte
	if _, err := io.ReadFull(c, n[:]); err != nil {
		return fmt.Errorf("wait for greeting: %w", err)
	}
	if n[0] == 0 {
		return nil
	}
	reason := make([]byte, n[0])
	if _, err := io.ReadFull(c, reason); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("%w: it said %q", ErrRefused, reason)
}

// explainRefusal says what an alert of the other side means.
func explainRefusal(err error, protocol string) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return err
	}
	words := op.Err.Error() // its type is nobody's but crypto/tls's
	switch {
	case strings.Contains(words, "no application protocol"):
		return fmt.Errorf("what answers does not speak %s: is it a node of Skerry, and not too old? %w", protocol, err)
	case strings.Contains(words, "unknown certificate authority"):
		return fmt.Errorf("%w: it is of %w: %w", ErrRefused, ErrOtherCluster, err)
	case strings.Contains(words, "expired certificate"):
		return fmt.Errorf("%w: it says that the certificate is not valid now, is a clock wrong? %w", ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}
