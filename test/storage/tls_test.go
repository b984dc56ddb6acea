//go:build storage

package storage

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
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"skerry.dev/skerry/blobstore/object"
)

// placesTLS are places for a process of its own, over TLS where addresses that clients
// are sent to want that, or certificates can be given.
var placesTLS = []struct {
	name string
	open func(*testing.T) *place
}{
	{"s3", openS3TLS},
	{"gcs", openGCSTLS},
	{"azure", openAzureTLS},
}

func onEachTLS(t *testing.T, test func(*testing.T, *place)) {
	t.Helper()
	for _, p := range placesTLS {
		t.Run(p.name, func(t *testing.T) { test(t, p.open(t)) })
	}
}

// certificate is one for the loopback address that signs itself, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "object store"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func openGCSTLS(t *testing.T) *place {
	t.Helper()
	cert, key := certificate(t)
	addr := freeAddr(t)
	host, port, _ := net.SplitHostPort(addr)
	url := "https://" + addr
	run(t, addr, "fake-gcs-server", "-scheme", "https", "-cert-location", cert, "-private-key-location", key,
		"-host", host, "-port", port, "-backend", "memory", "-public-host", addr, "-external-url", url, "-log-level", "error")
	post(t, trusting(t, cert), url+"/storage/v1/b?project=test", `{"name":"`+bucket+`"}`)
	return &place{ca: cert, cfg: object.Config{
		Kind: object.GCS, Bucket: bucket, Endpoint: url, KeyFile: serviceAccount(t),
	}}
}

func openS3TLS(t *testing.T) *place {
	t.Helper()
	cert, key := certificate(t)
	dir, addr := t.TempDir(), freeAddr(t)
	if err := os.Mkdir(filepath.Join(dir, bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, addr, "versitygw", "--port", addr, "--access", accessKey, "--secret", secretKey, "--quiet",
		"--cert", cert, "--key", key, "posix", "--sidecar", t.TempDir(), dir)
	return &place{ca: cert, dir: dir, cfg: object.Config{
		Kind: object.S3, Bucket: bucket, Endpoint: "https://" + addr, KeyID: accessKey, Key: secretKey,
	}}
}

// trusting is a client that trusts what file signs.
func trusting(t *testing.T, file string) *http.Client {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &cryptotls.Config{RootCAs: pool}}}
}
