package tls

import (
	"bytes"
	cryptotls "crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Files names a certificate, with the chain that leads to its authority behind
// it, and its key, both PEM, that somebody else renews: cert-manager, a
// Kubernetes secret, an operator. They are read again every minute, and by
// [Public.Reload]. A new pair that is damaged, cut, expired or not one pair is
// not taken.
type Files struct{ Cert, Key string }

// A pair is what Files hold.
type pair struct {
	files Files
	now   func() time.Time

	looking sync.Mutex // one look at a time; held across disk reads
	cert    atomic.Pointer[cryptotls.Certificate]
}

func openPair(f Files, now func() time.Time, d *diary) (*pair, error) {
	p := &pair{files: f, now: now}
	c, err := p.read()
	if err != nil {
		return nil, err
	}
	p.cert.Store(c)
	if err := expired(c, now()); err != nil {
		d.log.Warn("the certificate is shown although it expired", "file", f.Cert, "not_after", c.Leaf.NotAfter)
		d.set(partFiles, fmt.Errorf("%s: %w", f.Cert, err))
	}
	return p, nil
}

// refresh takes a new pair if there is a good one.
func (p *pair) refresh() error {
	p.looking.Lock()
	defer p.looking.Unlock()
	c, err := p.read()
	if err != nil {
		return err
	}
	// An expired one is told of, but no reason to let go of a better one.
	if err := expired(c, p.now()); err != nil {
		return fmt.Errorf("%s: %w", p.files.Cert, err)
	}
	if old := p.cert.Load(); !bytes.Equal(old.Leaf.Raw, c.Leaf.Raw) || len(old.Certificate) != len(c.Certificate) {
		p.cert.Store(c)
	}
	return nil
}

// read reads both files. When they are exchanged between the one and the other
// they do not fit together, and the next look finds the new pair.
func (p *pair) read() (*cryptotls.Certificate, error) {
	cert, err := os.ReadFile(p.files.Cert)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	key, err := os.ReadFile(p.files.Key)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	c, err := parsePair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", p.files.Cert, p.files.Key, err)
	}
	return c, nil
}

// parsePair reads a certificate with its chain, and its key. A chain that ends
// in the middle of a certificate is an error: crypto/tls would do without what
// is missing, and clients would not.
func parsePair(cert, key []byte) (*cryptotls.Certificate, error) {
	c, err := cryptotls.X509KeyPair(cert, key)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "tls: "))
	}
	if n := bytes.Count(cert, []byte("-----BEGIN CERTIFICATE-----")); n != len(c.Certificate) {
		return nil, fmt.Errorf("of %d certificates only %d are whole", n, len(c.Certificate))
	}
	return &c, nil
}

// expired says since when a certificate is not valid any more; nil if it is.
func expired(c *cryptotls.Certificate, now time.Time) error {
	if now.After(c.Leaf.NotAfter) {
		return fmt.Errorf("expired on %s", c.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}
