package tls

import (
	"context"
	"crypto/sha256"
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	fetchFor = 30 * time.Second
	caMax    = 64 << 10 // bytes
)

// Fingerprint names an authority for people: "sha256:" and the hash, in hex, of
// the first certificate in caPEM.
func Fingerprint(caPEM []byte) (string, error) {
	cert, err := parseCert(caPEM)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(cert.Raw)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// FetchCA asks the registry at base, an https URL, for its authority, without
// trusting whoever answers: the caller has to compare its [Fingerprint] with one
// that came another way. That what answers is signed by it, for the name in
// base, is certain.
func FetchCA(ctx context.Context, base string) (caPEM []byte, err error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q: want a URL that begins with https://", base)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchFor)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/ca.crt", nil)
	if err != nil {
		return nil, err
	}
	transport, err := HTTPTransport(nil)
	if err != nil {
		return nil, err
	}
	defer transport.CloseIdleConnections()
	transport.TLSClientConfig.InsecureSkipVerify = true // checked below, with what it hands out
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: it has no CA of its own", req.URL, resp.Status)
	}
	caPEM, err = io.ReadAll(io.LimitReader(resp.Body, caMax))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", req.URL, err)
	}
	ca, err := parseCert(caPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", req.URL, err)
	}
	if err := endsIn(resp.TLS, ca, u.Hostname()); err != nil {
		return nil, fmt.Errorf("%s: what it shows is not signed by the CA that it hands out: %w", base, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: typeCert, Bytes: ca.Raw}), nil
}

// endsIn checks the chain that a server showed.
func endsIn(state *cryptotls.ConnectionState, ca *x509.Certificate, name string) error {
	if state == nil || len(state.PeerCertificates) == 0 {
		return errors.New("no certificate was shown")
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: name}
	opts.Roots.AddCert(ca)
	for _, c := range state.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(opts)
	return err
}
