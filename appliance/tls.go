package appliance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/meta"
	"skerry.dev/skerry/tls"
)

// A TLSMode says how the public address is protected.
type TLSMode string

// The modes.
const (
	TLSSelf  TLSMode = "self"  // certificates of the appliance's own CA
	TLSACME  TLSMode = "acme"  // of an ACME server, and of the own CA while it gives none
	TLSFiles TLSMode = "files" // of files that somebody else renews
	TLSOff   TLSMode = "off"   // plain HTTP
)

// tlsConflicts is what of the certificates' configuration makes no sense; host
// is the one to listen on.
func (c Config) tlsConflicts(host string) (found []Conflict) {
	conflict := func(text string, keys ...string) { found = append(found, Conflict{keys, text}) }
	switch c.TLS {
	case TLSSelf:
	case TLSACME:
		if len(c.Names) == 0 {
			conflict("for acme, give the host names to have certificates for", "name", "tls")
		}
	case TLSFiles:
		if c.TLSCert == "" || c.TLSKey == "" {
			conflict("for files, give both the certificate and its key", "tls-cert", "tls-key", "tls")
		}
	case TLSOff:
		if !loopback(host) && !c.PlainAnywhere {
			conflict(fmt.Sprintf("plain HTTP on %s would send passwords readable over the network: "+
				"listen on 127.0.0.1, set tls to self, or insist with plain-anywhere", c.Listen), "tls", "listen")
		}
	default:
		conflict(fmt.Sprintf("%q: want self, acme, files or off", c.TLS), "tls")
	}
	if c.TLS != TLSFiles && c.TLSCert+c.TLSKey != "" {
		conflict(fmt.Sprintf("they are for tls files, not for %s", c.TLS), "tls-cert", "tls-key", "tls")
	}
	if c.TLS != TLSACME && c.ACMEEmail+c.ACMEDirectory+c.ACMECA+c.ACMEHTTP != "" {
		conflict(fmt.Sprintf("they are for tls acme, not for %s", c.TLS),
			"acme-directory", "acme-email", "acme-ca", "acme-http", "tls")
	}
	if c.TLS == TLSOff && c.ClientCA != "" {
		conflict("without TLS no client can show a certificate", "client-ca", "tls")
	}
	return found
}

// openTLS opens the certificates, and puts the CA's, if there is one, where
// clients that want a directory (podman --cert-dir) find it without finding keys
// beside it.
func (a *Appliance) openTLS() error {
	if a.cfg.TLS == TLSOff {
		return nil
	}
	cfg := tls.Config{
		Dir: a.dir.join(tlsName), Names: append(tls.LocalNames(), a.cfg.Names...),
		ClientCA: a.cfg.ClientCA, Peers: a.cluster.peers, Log: a.log,
	}
	if a.cfg.TLS == TLSFiles {
		cfg.Files = &tls.Files{Cert: a.cfg.TLSCert, Key: a.cfg.TLSKey}
	}
	var err error
	if a.cfg.TLS == TLSACME {
		if cfg.ACME, err = a.acme(); err != nil {
			return err
		}
	}
	if a.tls, err = tls.OpenPublic(cfg); err != nil {
		return fmt.Errorf("open certificates: %w", err)
	}
	if a.tls.CA() == nil {
		return nil
	}
	return a.dir.publish(trustName, "ca.crt", a.tls.CA())
}

// acme is the configuration for an ACME server.
func (a *Appliance) acme() (*tls.ACME, error) {
	id, err := a.dir.nodeID(a.cfg.Node)
	if err != nil {
		return nil, err
	}
	c := &tls.ACME{
		Directory: a.cfg.ACMEDirectory, Email: a.cfg.ACMEEmail, Names: a.cfg.Names, HTTP: a.cfg.ACMEHTTP,
		Storage: certificates{a.meta, id},
	}
	if a.cfg.ACMECA == "" {
		return c, nil
	}
	if c.Roots, err = os.ReadFile(a.cfg.ACMECA); err != nil {
		return nil, fmt.Errorf("read CA of the ACME directory: %w", err)
	}
	return c, nil
}

// reloadTLS reads certificate files again at once, and lets an ACME server that
// failed be asked again. What cannot be used is no reason to refuse a reload:
// what was good stays in use, and the status says so, too.
func (a *Appliance) reloadTLS() {
	if a.tls == nil {
		return
	}
	if err := a.tls.Reload(); err != nil {
		a.log.Warn("certificates: what was good stays in use", "err", err)
	}
}

// TLS says whether the public address speaks it.
func (a *Appliance) TLS() bool { return a.tls != nil }

// CA is the certificate of the own CA in PEM, which clients must trust, or nil
// without one.
func (a *Appliance) CA() []byte {
	if a.tls == nil {
		return nil
	}
	return a.tls.CA()
}

// tlsStatus is the part of the status about certificates.
func (a *Appliance) tlsStatus() api.TLSStatus {
	s := api.TLSStatus{Mode: string(a.cfg.TLS)}
	if a.tls == nil {
		return s
	}
	now := a.tls.Status()
	s.Error = now.Trouble
	for _, c := range now.Shown {
		shown := api.Certificate{From: c.From, Names: c.Names, Issuer: c.Issuer, Error: c.Trouble}
		if !c.NotAfter.IsZero() {
			shown.NotAfter = &c.NotAfter
		}
		s.Certificates = append(s.Certificates, shown)
	}
	return s
}

// certificates keeps what comes from an ACME server among the secrets, on every
// node the same. Here tls and meta, which do not know each other, meet.
type certificates struct {
	meta *meta.Store
	node string
}

var _ tls.Storage = certificates{}

// secretsACME is what the names of these secrets, and of the locks, begin with.
const secretsACME = "acme/"

// Load implements tls.Storage.
func (c certificates) Load(_ context.Context, name string) ([]byte, error) {
	b, err := c.meta.Secret(secretsACME + name)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return b, err
}

// Store implements tls.Storage.
func (c certificates) Store(ctx context.Context, name string, value []byte) error {
	return c.meta.PutSecret(ctx, secretsACME+name, value)
}

// Delete implements tls.Storage.
func (c certificates) Delete(ctx context.Context, name string) error {
	return unless(meta.ErrNotFound, c.meta.DeleteSecret(ctx, secretsACME+name))
}

// List implements tls.Storage.
func (c certificates) List(_ context.Context, prefix string) ([]string, error) {
	names, err := c.meta.Secrets(secretsACME + prefix)
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], secretsACME)
	}
	return names, err
}

// Lock implements tls.Storage.
func (c certificates) Lock(ctx context.Context, name string, d time.Duration) (bool, error) {
	err := c.meta.TakeLock(ctx, secretsACME+name, c.node, d)
	return err == nil, unless(meta.ErrConflict, err)
}

// Unlock implements tls.Storage.
func (c certificates) Unlock(ctx context.Context, name string) error {
	return unless(meta.ErrNotFound, c.meta.DropLock(ctx, secretsACME+name, c.node))
}

// unless is err, if it is not the one that is expected.
func unless(expected, err error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
