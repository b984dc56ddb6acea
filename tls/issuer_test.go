package tls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	cryptotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An issuer is somebody else's authority.
type issuer struct {
	tb   testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newIssuer(tb testing.TB, name string) *issuer {
	tb.Helper()
	i := &issuer{tb: tb, key: newKey(tb)}
	i.pem, i.cert = i.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-100 * time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
	}, nil, &i.key.PublicKey)
	return i
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func (i *issuer) sign(c, parent *x509.Certificate, public *ecdsa.PublicKey) ([]byte, *x509.Certificate) {
	i.tb.Helper()
	if parent == nil {
		parent = c
	}
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		i.tb.Fatal(err)
	}
	c.SerialNumber = n
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, i.key)
	if err != nil {
		i.tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		i.tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), cert
}

// An hour ago is when what issue makes began.
const since = time.Hour

// issue makes a certificate that ends after life, and its key.
func (i *issuer) issue(subject pkix.Name, life time.Duration, names ...string) (cert, key []byte) {
	i.tb.Helper()
	k := newKey(i.tb)
	c := &x509.Certificate{
		Subject: subject, NotBefore: time.Now().Add(-since), NotAfter: time.Now().Add(life),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if life < 0 {
		c.NotBefore = c.NotAfter.Add(-since)
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	cert, _ = i.sign(c, i.cert, &k.PublicKey)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		i.tb.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// server is issue for a server.
func (i *issuer) server(life time.Duration, names ...string) (cert, key []byte) {
	i.tb.Helper()
	return i.issue(pkix.Name{CommonName: "server"}, life, names...)
}

// client is what a client with this identity shows.
func (i *issuer) client(life time.Duration, user string, groups ...string) cryptotls.Certificate {
	i.tb.Helper()
	cert, key := i.issue(pkix.Name{CommonName: user, Organization: groups}, life)
	c, err := cryptotls.X509KeyPair(cert, key)
	if err != nil {
		i.tb.Fatal(err)
	}
	return c
}

func writeFile(tb testing.TB, path string, b []byte) {
	tb.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// secretDir is a directory as kubelet makes one for a secret: the files are
// links through a link, which changes for all of them at once.
type secretDir struct {
	tb  testing.TB
	dir string
}

func newSecretDir(tb testing.TB, cert, key []byte) secretDir {
	tb.Helper()
	s := secretDir{tb, tb.TempDir()}
	s.swap(cert, key)
	for _, f := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", f), filepath.Join(s.dir, f)); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

func (s secretDir) swap(cert, key []byte) {
	s.tb.Helper()
	data, err := os.MkdirTemp(s.dir, "..2026")
	if err != nil {
		s.tb.Fatal(err)
	}
	writeFile(s.tb, filepath.Join(data, "tls.crt"), cert)
	writeFile(s.tb, filepath.Join(data, "tls.key"), key)
	link := filepath.Join(s.dir, "..data_tmp")
	if err := os.Symlink(filepath.Base(data), link); err != nil {
		s.tb.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(s.dir, "..data")); err != nil {
		s.tb.Fatal(err)
	}
}

func (s secretDir) file(name string) string { return filepath.Join(s.dir, name) }
