package tls

import (
	"context"
	cryptotls "crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
)

// LetsEncrypt is the ACME directory that is asked when no other is named.
const LetsEncrypt = certmagic.LetsEncryptProductionCA

// challengeProto is the application protocol of TLS-ALPN-01 (RFC 8737).
const challengeProto = "acme-tls/1"

// ACME says where certificates come from. Who configures it agrees to the terms
// of the server.
type ACME struct {
	// Directory is the URL of the ACME server's directory. Default [LetsEncrypt].
	Directory string
	// Email is where the server's operators may write to; optional.
	Email string
	// Roots are the authorities, PEM, of the directory's own certificate. Empty
	// means those of the system.
	Roots []byte
	// Names are the host names to have certificates for, each its own. The server
	// must find this one under them.
	Names []string
	// HTTP is the address of the listener that [Public.Challenge] serves on,
	// which the server reaches at port 80 of the names: HTTP-01. Empty means
	// TLS-ALPN-01, by the listener given to Wrap, at port 443.
	HTTP string
	// Storage keeps the account and the certificates.
	Storage Storage
}

// An acme has certificates from an ACME server, and the guest that asks for them.
type acme struct {
	cfg   ACME
	log   *slog.Logger
	now   func() time.Time
	diary *diary
	names map[string]*acmeName // immutable; what it points to is not

	public atomic.Pointer[string] // where Wrap's listener listens
	guest  atomic.Pointer[guest]  // while run runs
	kick   chan struct{}          // asks run to try again now
}

// An acmeName is a name and the certificate that is shown for it.
type acmeName struct {
	name string
	cert atomic.Pointer[cryptotls.Certificate] // the last good one; nil if there never was one
	// The server just issued it, and yet it is not valid now: then it is the
	// clock of this machine that is wrong.
	clockWrong atomic.Bool

	// Owned by run.
	next time.Time     // not before then is the server asked
	wait time.Duration // how long it waited for that; 0 when all is well
}

// openACME loads what was issued before. That the server cannot be reached is no
// reason not to start, but what it could never answer is.
func openACME(cfg ACME, log *slog.Logger, now func() time.Time, d *diary) (*acme, error) {
	if cfg.Storage == nil {
		return nil, errors.New("tls: ACME needs a Storage")
	}
	if cfg.Directory == "" {
		cfg.Directory = LetsEncrypt
	}
	u, err := url.Parse(cfg.Directory)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("ACME directory %q: want a URL that begins with https://", cfg.Directory)
	}
	if len(cfg.Roots) > 0 {
		if _, err := parsePool(cfg.Roots); err != nil {
			return nil, fmt.Errorf("authorities of the ACME directory: %w", err)
		}
	}
	a := &acme{cfg: cfg, log: log, now: now, diary: d, names: map[string]*acmeName{}, kick: make(chan struct{}, 1)}
	names, err := normalize(cfg.Names)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		switch {
		case net.ParseIP(n) != nil: // no public server certifies it like this; the own authority does
			continue
		case strings.HasPrefix(n, "*."):
			return nil, fmt.Errorf("name %s: neither HTTP-01 nor TLS-ALPN-01 proves a wildcard, list the names", n)
		}
		a.names[n] = &acmeName{name: n}
	}
	if len(a.names) == 0 {
		return nil, errors.New("ACME needs at least one host name")
	}
	return a, a.loadAll()
}

// loadAll shows what was issued before, read from this node. A damaged one is
// issued again.
func (a *acme) loadAll() error {
	g, err := newGuest(a, "")
	if err != nil {
		return err
	}
	defer g.stop()
	for _, n := range a.names {
		c, err := g.load(context.Background(), n.name)
		if err == nil {
			n.cert.Store(c)
		} else if !errors.Is(err, fs.ErrNotExist) {
			a.log.Warn("kept certificate is not usable", "name", n.name, "err", err)
		}
	}
	return nil
}

// pick is the certificate for a name; nil if there is none that clients take.
func (a *acme) pick(name string) *cryptotls.Certificate {
	n := a.names[name]
	if n == nil {
		return nil
	}
	c := n.cert.Load()
	if c == nil || expired(c, a.now()) != nil && !n.clockWrong.Load() {
		return nil
	}
	return c
}

// isChallenge says whether it is an ACME server that calls, to see TLS-ALPN-01.
func isChallenge(hello *cryptotls.ClientHelloInfo) bool {
	return slices.Equal(hello.SupportedProtos, []string{challengeProto})
}

// answer shows an ACME server what it asked for.
func (a *acme) answer(hello *cryptotls.ClientHelloInfo) (*cryptotls.Certificate, error) {
	g := a.guest.Load()
	if g == nil {
		return nil, errors.New("no challenge is under way")
	}
	return g.config.GetCertificate(hello)
}

// Challenge answers the HTTP-01 challenges of the ACME server, and nothing else.
// It is to be served at ACME.HTTP while Run runs.
func (p *Public) Challenge() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.acme != nil {
			if g := p.acme.guest.Load(); g != nil && g.issuer.HandleHTTPChallenge(w, r) {
				return
			}
		}
		http.Error(w, "here only ACME servers are answered; the registry speaks https", http.StatusNotFound)
	})
}

// again lets run ask for what failed without waiting.
func (a *acme) again() {
	select {
	case a.kick <- struct{}{}:
	default: // it was asked already
	}
}
