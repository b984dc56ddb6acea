package tls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	cryptotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

const (
	// passportLife is short, for nothing revokes a certificate. It is long enough
	// for a clock that is days off.
	passportLife  = 7 * 24 * time.Hour
	passportRenew = 24 * time.Hour // of age
	serverMax     = 255            // bytes, as raft has it
)

// A passport is what this node shows to others, and what it judges theirs by.
// It is never changed, only replaced.
type passport struct {
	ca    *authority
	leaf  *cryptotls.Certificate
	roots *x509.CertPool
}

// passport returns one that is good now. It is made when somebody needs it: no
// clock that jumps, and no machine that slept, finds an old one, and a node
// alone does nothing. It rests in memory only.
func (p *Peers) passport() (*passport, error) {
	now := p.cfg.Now()
	if pass := p.shown.Load(); pass.good(now) {
		return pass, nil
	}
	p.issuing.Lock()
	defer p.issuing.Unlock()
	old := p.shown.Load()
	if old.good(now) {
		return old, nil
	}
	ca, err := p.keeper.authority(now)
	if err != nil && old != nil {
		// A disk that is full, when the authority's certificate has a year left.
		if _, ok := p.refusals.tell("authority"); ok {
			p.cfg.Log.Warn("certificate authority was not renewed, the old one stays in use", "err", err)
		}
		ca, err = old.ca, nil
	}
	if err != nil {
		return nil, err
	}
	pass := &passport{ca: ca, roots: x509.NewCertPool()}
	pass.roots.AddCert(ca.cert)
	if pass.leaf, err = issuePassport(ca, p.cfg.Server, now); err != nil {
		return nil, fmt.Errorf("issue certificate of %s: %w", p.cfg.Server, err)
	}
	p.shown.Store(pass)
	p.cfg.Log.Debug("certificate for other nodes issued", "server", p.cfg.Server, "not_after", pass.leaf.Leaf.NotAfter)
	return pass, nil
}

// good says whether a passport can be shown now. The authority's certificate is
// looked at when the next one is made, a day later at most.
func (p *passport) good(now time.Time) bool {
	return p != nil && !now.Before(p.leaf.Leaf.NotBefore) &&
		now.Before(p.leaf.Leaf.NotBefore.Add(backdate+passportRenew))
}

// issuePassport signs a certificate that names a server.
func issuePassport(ca *authority, server string, now time.Time) (*cryptotls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := serial()
	if err != nil {
		return nil, err
	}
	der, err := sign(&x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: server},
		URIs:         []*url.URL{serverURI(server)},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(passportLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &cryptotls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// verify says which server a chain names, the leaf first.
func verify(chain []*x509.Certificate, roots *x509.CertPool, use x509.ExtKeyUsage, now time.Time) (string, error) {
	if len(chain) == 0 {
		return "", errNoCertificate
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use},
	})
	if err != nil {
		return "", err
	}
	return serverOf(chain[0])
}

// errNoServer says that a certificate of the cluster's authority is none of a
// node: what clients are shown is signed by the same authority.
var errNoServer = errors.New("its certificate is none of a node")

// uriHost makes the name of a server one of ours.
const uriHost = "node"

func serverURI(server string) *url.URL {
	return &url.URL{Scheme: "skerry", Host: uriHost, Path: "/" + server}
}

// serverOf is the server that a certificate names.
func serverOf(c *x509.Certificate) (string, error) {
	if len(c.URIs) != 1 || c.URIs[0].Scheme != "skerry" || c.URIs[0].Host != uriHost {
		return "", errNoServer
	}
	server, _ := strings.CutPrefix(c.URIs[0].Path, "/")
	if checkServer(server) != nil {
		return "", errNoServer
	}
	return server, nil
}

// checkServer accepts what can be an identity: it stands in logs and headers.
func checkServer(s string) error {
	if s == "" || len(s) > serverMax || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("tls: server %.300q: want 1 to %d printable ASCII characters without spaces", s, serverMax)
	}
	return nil
}
