package tls

import (
	"bytes"
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// clientCAs are the authorities whose certificates clients may show.
//
// With them, sessions are not resumed: a resumed one carries the identity that
// was verified when it began, against the authorities of then. A whole
// handshake asks those of now.
type clientCAs struct {
	path    string
	base    *cryptotls.Config // a copy is made for each change of the file
	current atomic.Pointer[cryptotls.Config]
}

// openClientCAs reads the authorities and lets config ask for them.
func openClientCAs(path string, config *cryptotls.Config) (*clientCAs, error) {
	config.SessionTicketsDisabled = true
	c := &clientCAs{path: path, base: config.Clone()}
	if err := c.refresh(); err != nil {
		return nil, err
	}
	config.GetConfigForClient = func(*cryptotls.ClientHelloInfo) (*cryptotls.Config, error) {
		return c.current.Load(), nil
	}
	return c, nil
}

// refresh takes what the file holds now, if all of it can be read.
func (c *clientCAs) refresh() error {
	b, err := os.ReadFile(c.path)
	if err != nil {
		return fmt.Errorf("read client CA: %w", err)
	}
	pool, err := parsePool(b)
	if err != nil {
		return fmt.Errorf("client CA %s: %w", c.path, err)
	}
	if old := c.current.Load(); old != nil && old.ClientCAs.Equal(pool) {
		return nil
	}
	config := c.base.Clone()
	config.ClientAuth = cryptotls.VerifyClientCertIfGiven
	config.ClientCAs = pool
	c.current.Store(config)
	return nil
}

// parsePool reads authorities, of which none may be damaged.
func parsePool(b []byte) (*x509.CertPool, error) {
	pool, n, want := x509.NewCertPool(), 0, bytes.Count(b, []byte("-----BEGIN "))
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type != typeCert {
			return nil, fmt.Errorf("a %s among the certificates", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", n+1, err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return nil, errors.New("no PEM certificate in it")
	}
	if n != want {
		return nil, fmt.Errorf("of %d certificates only %d are whole", want, n)
	}
	return pool, nil
}
