package tls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	cryptotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	leafLife  = 90 * 24 * time.Hour
	leafRenew = 60 * 24 * time.Hour // of age
)

// openLeaf reads the leaf, or issues a new one if there is a reason to.
func (s *self) openLeaf(ca *authority, now time.Time) (*cryptotls.Certificate, error) {
	path := filepath.Join(s.dir, "leaf.pem")
	leaf, trouble := readLeaf(path)
	if trouble == "" {
		trouble = s.leafTrouble(leaf, ca, now)
	}
	if trouble == "" {
		return leaf, nil
	}
	leaf, err := s.issueLeaf(ca, path, now)
	if err != nil {
		return nil, fmt.Errorf("issue leaf: %w", err)
	}
	s.log.Info("certificate issued", "reason", trouble, "names", s.names, "not_after", leaf.Leaf.NotAfter)
	return leaf, nil
}

// readLeaf reads the file, or says why it cannot be used.
func readLeaf(path string) (leaf *cryptotls.Certificate, trouble string) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, "there was none"
	}
	if err != nil {
		return nil, "unreadable: " + err.Error()
	}
	c, err := cryptotls.X509KeyPair(b, b)
	if err != nil {
		return nil, "damaged: " + err.Error()
	}
	return &c, ""
}

// leafTrouble says why a leaf must be replaced; "" if it need not.
func (s *self) leafTrouble(leaf *cryptotls.Certificate, ca *authority, now time.Time) string {
	c := leaf.Leaf
	switch {
	case leafDue(c, now) != "":
		return leafDue(c, now)
	case c.CheckSignatureFrom(ca.cert) != nil:
		return "another authority"
	case !slices.Equal(certNames(c), s.names):
		return "other names"
	}
	return ""
}

// leafDue is the part of leafTrouble that comes with time.
func leafDue(c *x509.Certificate, now time.Time) string {
	switch {
	case now.Before(c.NotBefore):
		return "the clock is before its validity"
	case now.After(c.NotBefore.Add(backdate + leafRenew)):
		return "its age"
	}
	return ""
}

// issueLeaf signs a leaf with a key of its own and keeps both. The file is not
// synced: one that a crash spoils is replaced like one that is missing.
func (s *self) issueLeaf(ca *authority, path string, now time.Time) (*cryptotls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := serial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "skerry"},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(leafLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range s.names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	der, err := sign(t, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	b := bytes.Join([][]byte{pem.EncodeToMemory(&pem.Block{Type: typeCert, Bytes: der}), keyPEM}, nil)
	if err := replaceFile(path, b, 0o600, func(*os.File) error { return nil }); err != nil {
		return nil, err
	}
	c, err := cryptotls.X509KeyPair(b, b)
	return &c, err
}

// certNames are the names in a certificate, sorted.
func certNames(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	slices.Sort(names)
	return names
}
