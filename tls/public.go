package tls

import (
	"context"
	cryptotls "crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// checkEvery is how often Run looks whether the leaf is still good. It is short
// because clocks jump, and looking costs nothing.
const checkEvery = time.Minute

// Config says where certificates rest and for whom they are. Dir and Log are
// required.
type Config struct {
	// Dir holds the files. Created if absent, 0700.
	Dir string

	// Names are the host names and IP addresses that clients use for this
	// server. Empty means LocalNames.
	Names []string

	// Log is told when something is issued.
	Log *slog.Logger

	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Public is the trust that clients have in this server. All methods are safe
// for concurrent use.
type Public struct {
	dir   string
	names []string // sorted
	log   *slog.Logger
	now   func() time.Time

	renewing sync.Mutex // one renewal at a time; held across its disk writes
	issued   atomic.Pointer[issued]
}

// An issued is what is shown to clients. It is never changed, only replaced.
type issued struct {
	ca   *authority
	leaf *cryptotls.Certificate
}

// OpenPublic opens the certificates in cfg.Dir and issues what is missing or
// out of date, durably. An authority that cannot be used, because a file of it
// is damaged or lost, is an error that names the file.
func OpenPublic(cfg Config) (*Public, error) {
	if cfg.Dir == "" || cfg.Log == nil {
		return nil, errors.New("tls: Dir and Log are required")
	}
	p := &Public{dir: cfg.Dir, log: cfg.Log, now: cfg.Now}
	if p.now == nil {
		p.now = time.Now
	}
	names := cfg.Names
	if len(names) == 0 {
		names = LocalNames()
	}
	var err error
	if p.names, err = normalize(names); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create certificate directory: %w", err)
	}
	if err := p.renew(); err != nil {
		return nil, err
	}
	return p, nil
}

// Run replaces the leaf in time, until ctx ends. When that fails, for a full
// disk perhaps, the old one stays in use and Run tries again.
func (p *Public) Run(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := p.renew(); err != nil {
				p.log.ErrorContext(ctx, "certificate not renewed", "err", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// renew issues what is due: the authority's certificate, the leaf, or nothing.
func (p *Public) renew() error {
	p.renewing.Lock()
	defer p.renewing.Unlock()
	now := p.now()
	old := p.issued.Load()
	if old != nil && !old.ca.due(now) && leafDue(old.leaf.Leaf, now) == "" {
		return nil
	}
	ca, err := p.openAuthority(now)
	if err != nil {
		return err
	}
	leaf, err := p.openLeaf(ca, now)
	if err != nil {
		return err
	}
	p.issued.Store(&issued{ca, leaf})
	return nil
}

// CA returns the authority's certificate, PEM: what clients are to trust. It is
// the caller's own copy.
func (p *Public) CA() []byte { return append([]byte(nil), p.issued.Load().ca.pem...) }

// Listen listens on an address as net.Listen does and speaks TLS on it.
func (p *Public) Listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err // names operation and address already
	}
	return p.Wrap(l), nil
}

// Wrap speaks TLS on a listener, from version 1.2, and offers h2 and http/1.1.
// Its connections are those of crypto/tls, as net/http needs them for h2. Each
// handshake uses the leaf that is good at that moment.
func (p *Public) Wrap(l net.Listener) net.Listener {
	return cryptotls.NewListener(l, &cryptotls.Config{
		MinVersion: cryptotls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*cryptotls.ClientHelloInfo) (*cryptotls.Certificate, error) {
			return p.issued.Load().leaf, nil
		},
	})
}
