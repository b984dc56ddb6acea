package tls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	authorityLast = 365 * 24 * time.Hour // when so much is left, the certificate is renewed
	backdate      = time.Hour            // clocks of clients may be behind
)

// An authority is the key and the certificate that clients trust.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

// due says that the certificate is, or will soon be, outside of its validity.
func (a *authority) due(now time.Time) bool {
	return now.Before(a.cert.NotBefore) || now.After(a.cert.NotAfter.Add(-authorityLast))
}

// A keeper has the authority of a directory, for the public certificates and for
// those between nodes: there is one of them, so that both know the same.
type keeper struct {
	dir string
	log *slog.Logger

	mu   sync.Mutex // guards last; held across disk writes when there is none or it is due
	last *authority
}

// openKeeper makes the directory where absent, and reads nothing yet.
func openKeeper(dir string, log *slog.Logger) (*keeper, error) {
	if dir == "" {
		return nil, errors.New("tls: Dir is required")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create certificate directory: %w", err)
	}
	return &keeper{dir: dir, log: log}, nil
}

// authority returns the authority, with a certificate that is good now.
func (k *keeper) authority(now time.Time) (*authority, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last != nil && !k.last.due(now) {
		return k.last, nil
	}
	a, err := k.open(now)
	if err == nil {
		k.last = a
	}
	return a, err
}

// open reads the authority, or creates it.
//
// The key is written before the certificate. A crash between the two leaves a
// key alone, and the certificate is then made from it; it would be the same
// authority even for clients that have seen a certificate of it before.
func (k *keeper) open(now time.Time) (*authority, error) {
	keyPath, certPath := filepath.Join(k.dir, "ca.key"), filepath.Join(k.dir, "ca.crt")
	certPEM, err := os.ReadFile(certPath)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	keyPEM, err := os.ReadFile(keyPath)
	if errors.Is(err, os.ErrNotExist) && certPEM != nil {
		return nil, fmt.Errorf("read authority: %s is missing: "+
			"restore it, or remove %s, too, and give clients the new one", keyPath, certPath)
	}
	if errors.Is(err, os.ErrNotExist) {
		keyPEM, err = createKey(keyPath)
	}
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("read authority: %s is damaged: %w", keyPath, err)
	}
	if certPEM == nil {
		k.log.Info("new certificate authority", "file", certPath)
		return issueAuthority(key, certPath, now)
	}
	a := &authority{key: key, pem: certPEM}
	if a.cert, err = parseCert(certPEM); err != nil {
		return nil, fmt.Errorf("read authority: %s is damaged: %w", certPath, err)
	}
	if !key.PublicKey.Equal(a.cert.PublicKey) {
		return nil, fmt.Errorf("read authority: %s is not the certificate of %s", certPath, keyPath)
	}
	if a.due(now) {
		k.log.Warn("certificate authority renewed, give clients the new certificate", "file", certPath,
			"not_before", a.cert.NotBefore, "not_after", a.cert.NotAfter, "now", now)
		return issueAuthority(key, certPath, now)
	}
	return a, nil
}

// createKey makes the authority's key and keeps it.
func createKey(path string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	b, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return b, writeFile(path, b, 0o600)
}

// issueAuthority signs a certificate for the authority's key, with that key.
func issueAuthority(key *ecdsa.PrivateKey, path string, now time.Time) (*authority, error) {
	id, err := keyID(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("issue authority: %w", err)
	}
	serial, err := serial()
	if err != nil {
		return nil, fmt.Errorf("issue authority: %w", err)
	}
	der, err := sign(&x509.Certificate{
		SerialNumber: serial,
		// The name follows from the key: renewed, it is the same authority.
		Subject:               pkix.Name{CommonName: "Skerry CA " + hex.EncodeToString(id[:4])},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		SubjectKeyId:          id,
	}, nil, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("issue authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("issue authority: %w", err)
	}
	a := &authority{key, cert, pem.EncodeToMemory(&pem.Block{Type: typeCert, Bytes: der})}
	if err := writeFile(path, a.pem, 0o644); err != nil {
		return nil, fmt.Errorf("issue authority: %w", err)
	}
	return a, nil
}

// sign signs a certificate; a nil parent signs itself.
func sign(cert, parent *x509.Certificate, public *ecdsa.PublicKey, by *ecdsa.PrivateKey) ([]byte, error) {
	if parent == nil {
		parent = cert
	}
	return x509.CreateCertificate(rand.Reader, cert, parent, public, by)
}

// keyID names a key: the first 20 bytes of its hash.
func keyID(key *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}

// serial draws a number that no other certificate has.
func serial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}
