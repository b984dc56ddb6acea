package tls

import (
	"context"
	cryptotls "crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// A guest is certmagic with what it needs of ours, and nothing of its
// process-wide defaults. It asks when it is told to, once, and waits for the
// answer: when to ask is up to renew.go. Its cache stays empty, so that its own
// maintenance has nothing to do.
type guest struct {
	cache  *certmagic.Cache
	config *certmagic.Config
	issuer *certmagic.ACMEIssuer
}

// newGuest makes one that answers challenges at an address that others listen on.
func newGuest(a *acme, listener string) (*guest, error) {
	log := zap.New(&guestLog{log: a.log})
	template := certmagic.ACMEIssuer{
		CA: a.cfg.Directory, Email: a.cfg.Email, Agreed: true, Logger: log,
		DisableHTTPChallenge: a.cfg.HTTP == "", DisableTLSALPNChallenge: a.cfg.HTTP != "",
	}
	if listener != "" {
		host, port, err := net.SplitHostPort(listener)
		if err != nil {
			return nil, fmt.Errorf("address of ACME challenges: %w", err)
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			return nil, fmt.Errorf("address of ACME challenges %s: want a port number", listener)
		}
		template.ListenHost, template.AltHTTPPort, template.AltTLSALPNPort = host, n, n
	}
	if len(a.cfg.Roots) > 0 {
		roots, err := parsePool(a.cfg.Roots)
		if err != nil {
			return nil, err
		}
		template.TrustedRoots = roots
	}
	g := &guest{}
	g.cache = certmagic.NewCache(certmagic.CacheOptions{
		Logger:           log,
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return g.config, nil },
	})
	g.config = certmagic.New(g.cache, certmagic.Config{
		Storage: guestStorage{a.cfg.Storage}, Logger: log,
		DisableARI:          true, // asked by its maintenance only
		DisableStorageCheck: true, // it would write 10 KiB of noise into the log of all changes
	})
	g.issuer = certmagic.NewACMEIssuer(g.config, template)
	g.config.Issuers = []certmagic.Issuer{silent{g.issuer}}
	return g, nil
}

func (g *guest) stop() { g.cache.Stop() }

// silent is an issuer that never asks the terminal for an email address.
type silent struct{ *certmagic.ACMEIssuer }

// PreCheck implements certmagic.PreChecker.
func (s silent) PreCheck(ctx context.Context, names []string, _ bool) error {
	return s.ACMEIssuer.PreCheck(ctx, names, false)
}

// obtain returns a fresh certificate: one that lies in the storage, or a new one.
func (g *guest) obtain(ctx context.Context, name string) (*cryptotls.Certificate, error) {
	_, err := g.load(ctx, name)
	switch {
	case err == nil:
		err = g.config.RenewCertSync(ctx, name, false)
	case errors.Is(err, fs.ErrNotExist):
		err = g.config.ObtainCertSync(ctx, name)
	case errors.Is(err, errDamaged):
		if err = g.forget(ctx, name); err == nil {
			err = g.config.ObtainCertSync(ctx, name)
		}
	}
	if err != nil {
		return nil, err
	}
	return g.load(ctx, name)
}

// errDamaged says that what lies in the storage is no certificate with its key.
var errDamaged = errors.New("damaged")

// load reads a certificate from the storage.
func (g *guest) load(ctx context.Context, name string) (*cryptotls.Certificate, error) {
	key := g.issuer.IssuerKey()
	cert, err := g.config.Storage.Load(ctx, certmagic.StorageKeys.SiteCert(key, name))
	if err != nil {
		return nil, err
	}
	private, err := g.config.Storage.Load(ctx, certmagic.StorageKeys.SitePrivateKey(key, name))
	if err != nil {
		return nil, err
	}
	c, err := parsePair(cert, private)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return c, nil
}

func (g *guest) forget(ctx context.Context, name string) error {
	return g.config.Storage.Delete(ctx, certmagic.StorageKeys.CertsSitePrefix(g.issuer.IssuerKey(), name))
}
