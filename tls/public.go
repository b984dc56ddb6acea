package tls

import (
	"context"
	cryptotls "crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// checkEvery is how often Run looks whether all is still good. It is short
// because clocks jump and files change, and looking costs nothing.
const checkEvery = time.Minute

// Config says which certificates are shown, and to whom. Log is required. With
// neither Files nor ACME they are those of an authority of our own.
type Config struct {
	// Dir holds the files of the own authority. Created if absent, 0700.
	// Required unless Files or Peers is given, and not used then.
	Dir string

	// Peers, if not nil, have the own authority, and are let in where Wrap
	// listens.
	Peers *Peers

	// Names are the host names and IP addresses that clients use for this
	// server; the own authority's leaf carries them. Empty means LocalNames.
	Names []string

	// Files, if not nil, names the certificate that is shown.
	Files *Files

	// ACME, if not nil, is where certificates for some names come from. What is
	// not had from there is the own authority's.
	ACME *ACME

	// ClientCA, if not empty, is a PEM file with authorities whose certificates
	// clients may show: one that shows another is refused, one that shows none
	// is served. Read again like Files.
	ClientCA string

	// Log is told when something is issued, and when something goes wrong or is
	// well again.
	Log *slog.Logger

	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Public is the trust that clients have in this server. All methods are safe
// for concurrent use.
type Public struct {
	log     *slog.Logger
	now     func() time.Time
	diary   *diary
	self    *self      // nil when files says it all
	files   *pair      // nil unless configured
	acme    *acme      // nil unless configured
	clients *clientCAs // nil: clients are not asked
	peers   *Peers     // nil: their protocols are not spoken here
	config  *cryptotls.Config
	hosts   atomic.Pointer[hosts] // nil: none
}

// OpenPublic opens the certificates that cfg names. Of the own authority it
// issues what is missing or out of date, durably; one that cannot be used,
// because a file of it is damaged or lost, is an error that names the file. So
// are Files and a ClientCA that cannot be used; ones that merely expired can.
func OpenPublic(cfg Config) (_ *Public, err error) {
	if cfg.Log == nil {
		return nil, errors.New("tls: Log is required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Public{log: cfg.Log, now: cfg.Now, diary: newDiary(cfg.Log), peers: cfg.Peers}
	if cfg.Files == nil {
		if p.self, err = openSelf(cfg); err != nil {
			return nil, err
		}
	} else if p.files, err = openPair(*cfg.Files, cfg.Now, p.diary); err != nil {
		return nil, err
	}
	if cfg.ACME != nil {
		if p.acme, err = openACME(*cfg.ACME, cfg.Log, cfg.Now, p.diary); err != nil {
			return nil, err
		}
	}
	p.config = &cryptotls.Config{
		MinVersion:     cryptotls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: p.certificate,
		Time:           cfg.Now,
	}
	if p.acme != nil && cfg.ACME.HTTP == "" {
		p.config.NextProtos = append(p.config.NextProtos, challengeProto)
	}
	if cfg.ClientCA != "" {
		if p.clients, err = openClientCAs(cfg.ClientCA, p.config); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Run renews in time what is ours to renew and reads again what is not, until
// ctx ends. When that fails, for a full disk perhaps, what was good stays in
// use and Run tries again.
func (p *Public) Run(ctx context.Context) error {
	if p.acme != nil {
		done := make(chan struct{})
		go func() { // ends with ctx; asking an ACME server may take minutes
			defer close(done)
			p.acme.run(ctx)
		}()
		defer func() { <-done }()
	}
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.look(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// look is one round of Run.
func (p *Public) look(ctx context.Context) {
	for _, of := range p.parts() {
		p.diary.note(ctx, of.name, of.refresh())
	}
}

// A part is a piece of the trust that has to be looked after.
type part struct {
	name    string
	refresh func() error
}

func (p *Public) parts() (all []part) {
	if p.self != nil {
		all = append(all, part{partSelf, p.self.renew})
	}
	if p.files != nil {
		all = append(all, part{partFiles, p.files.refresh})
	}
	if p.clients != nil {
		all = append(all, part{partClients, p.clients.refresh})
	}
	return all
}

// Reload reads the files again at once, and lets an ACME server that failed be
// asked again at once. What cannot be used is in the error, and what was good
// stays in use.
func (p *Public) Reload() error {
	var errs []error
	for _, of := range p.parts() {
		err := of.refresh()
		p.diary.set(of.name, err)
		errs = append(errs, err)
	}
	if p.acme != nil {
		p.acme.again()
	}
	return errors.Join(errs...)
}

// CA returns the own authority's certificate, PEM: what clients are to trust, or
// nil if there is none. It is the caller's own copy.
func (p *Public) CA() []byte {
	if p.self == nil {
		return nil
	}
	return append([]byte(nil), p.self.issued.Load().ca.pem...)
}

// Listen listens on an address as net.Listen does and speaks TLS on it.
func (p *Public) Listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err // names operation and address already
	}
	return p.Wrap(l), nil
}

// Wrap speaks TLS on a listener, from version 1.2, and offers h2 and http/1.1.
// Its connections are those of crypto/tls, as net/http needs them for h2, and
// tell who the client is if it showed a certificate. Each handshake uses what is
// good at that moment. With ACME, wrap what listens before Run.
//
// With Config.Peers, other nodes are let in by the same address from now on; l may be
// one that lets them in already, by [Peers.Welcome].
// Closing the listener then ends it for clients alone: nodes are let in until
// [Peers.Close], which is what closes l.
func (p *Public) Wrap(l net.Listener) net.Listener {
	if p.acme != nil {
		at := l.Addr().String()
		p.acme.public.Store(&at)
	}
	if d, ok := l.(*door); ok && d.peers == p.peers {
		d.let(p.config)
		return d
	}
	if p.peers != nil {
		return p.peers.open(l, p.config)
	}
	return cryptotls.NewListener(l, p.config)
}

// certificate chooses what a client is shown: by the name it asks for one of the
// hosts, else one from the ACME server, else the one of this server.
func (p *Public) certificate(hello *cryptotls.ClientHelloInfo) (*cryptotls.Certificate, error) {
	if p.acme != nil && isChallenge(hello) {
		return p.acme.answer(hello)
	}
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if c := p.hosts.Load().pick(name); c != nil {
		return c, nil
	}
	if p.acme != nil {
		if c := p.acme.pick(name); c != nil {
			return c, nil
		}
	}
	if p.files != nil {
		return p.files.cert.Load(), nil
	}
	return p.self.issued.Load().leaf, nil
}
