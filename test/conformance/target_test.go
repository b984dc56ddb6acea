//go:build conformance

package conformance_test

import (
	cryptotls "crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"skerry.dev/skerry/test/skerry"
)

// open returns the registry that the environment names, or a Skerry started for t.
func open(t *testing.T) *registry {
	t.Helper()
	at := target{
		url:      os.Getenv("SKERRY_CONFORMANCE_URL"),
		user:     os.Getenv("SKERRY_CONFORMANCE_USER"),
		password: os.Getenv("SKERRY_CONFORMANCE_PASSWORD"),
		ca:       os.Getenv("SKERRY_CONFORMANCE_CA"),
	}
	if at.url == "" {
		s := skerry.Start(t, skerry.Options{})
		at = target{url: s.URL, user: s.User, password: s.Password, ca: s.CA}
	}
	return at.connect(t)
}

// A target says where a registry is and how to log in to it.
type target struct {
	url            string
	user, password string // empty for nobody
	ca             string // a PEM file; "" for the system's own
}

// connect prepares the two clients, with and without a login.
func (at target) connect(t *testing.T) *registry {
	t.Helper()
	base, err := url.Parse(at.url)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig:     &cryptotls.Config{RootCAs: at.roots(t), MinVersion: cryptotls.VersionTLS12},
		MaxIdleConnsPerHost: 16,
		DisableCompression:  true, // bytes are compared as they were sent
	}
	t.Cleanup(transport.CloseIdleConnections)
	r := &registry{
		base:      base,
		client:    &http.Client{Transport: transport, Timeout: 2 * time.Minute},
		anonymous: &http.Client{Transport: transport, Timeout: 2 * time.Minute},
	}
	if at.user != "" {
		r.protected = true
		r.client.Transport = &login{user: at.user, password: at.password, next: transport, kept: map[string]string{}}
	}
	return r
}

// roots returns the certificates to trust, or nil for the system's.
func (at target) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	if at.ca == "" {
		return nil
	}
	pem, err := os.ReadFile(at.ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", at.ca)
	}
	return roots
}
