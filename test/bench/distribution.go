package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// distributionModule pins the peer's version, beside this file.
const (
	distributionModule  = "test/bench/distribution"
	distributionPackage = "github.com/distribution/distribution/v3/cmd/registry"
	distributionSecret  = "bench"
)

// buildDistribution builds distribution's own program as `make build` builds ours.
func buildDistribution(ctx context.Context, dir string) (string, error) {
	program, err := filepath.Abs(filepath.Join(dir, "distribution"))
	if err != nil {
		return "", fmt.Errorf("find %s: %w", dir, err)
	}
	c := exec.CommandContext(ctx, "go", "build", "-C", distributionModule, "-buildvcs=false", "-trimpath",
		"-ldflags=-s -w", "-o", program, distributionPackage)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build distribution (run from the top of the repository): %w\n%s", err, out)
	}
	return program, nil
}

func distributionKind(program string, htpasswd bool) Kind {
	return Kind{
		Name: "distribution", Program: program,
		arguments: func(dir, addr string, tls bool) ([]string, error) {
			config := fmt.Sprintf(distributionConfig, dir, addr, distributionSecret)
			if tls {
				if err := writeCertificate(dir); err != nil {
					return nil, fmt.Errorf("write certificate: %w", err)
				}
				config += fmt.Sprintf("  tls: {certificate: %s/cert.pem, key: %s/key.pem}\n", dir, dir)
			}
			if htpasswd {
				if err := writeHtpasswd(dir); err != nil {
					return nil, fmt.Errorf("write passwords: %w", err)
				}
				config += fmt.Sprintf("auth: {htpasswd: {realm: bench, path: %s/htpasswd}}\n", dir)
			}
			path := filepath.Join(dir, "config.yml")
			return []string{"serve", path}, os.WriteFile(path, []byte(config), 0o644)
		},
		ready:    []string{"/v2/"},
		password: func(string) (string, error) { return distributionSecret, nil },
	}
}

// distributionConfig is config-example.yml of its release without the password file,
// with delete on, and with logs of errors only. The blob descriptor cache is the one
// it ships with.
const distributionConfig = `version: 0.1
log:
  level: error
  accesslog: {disabled: true}
storage:
  cache: {blobdescriptor: inmemory}
  filesystem: {rootdirectory: %s/data}
  delete: {enabled: true}
  tag: {concurrencylimit: 8}
health:
  storagedriver: {enabled: true, interval: 10s, threshold: 3}
http:
  addr: %s
  secret: %s
  headers: {X-Content-Type-Options: [nosniff]}
`

// writeCertificate makes cert.pem and key.pem for loopback, of the kind Skerry's own
// CA issues (ECDSA P-256), so that both sides shake hands at the same price.
func writeCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "bench"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		writePEM(filepath.Join(dir, "cert.pem"), "CERTIFICATE", cert),
		writePEM(filepath.Join(dir, "key.pem"), "PRIVATE KEY", private))
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// writeHtpasswd makes htpasswd for the account, at htpasswd's own default cost.
func writeHtpasswd(dir string) error {
	const cost = 5
	hash, err := bcrypt.GenerateFromPassword([]byte(distributionSecret), cost)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "htpasswd"), fmt.Appendf(nil, "%s:%s\n", account, hash), 0o600)
}
