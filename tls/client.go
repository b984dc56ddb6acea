package tls

import (
	cryptotls "crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
)

// HTTPTransport returns a transport for a client that trusts the authorities in
// caPEM and nobody else, or those of the system if caPEM is empty. It is the
// caller's own.
func HTTPTransport(caPEM []byte) (*http.Transport, error) {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("tls: the default transport was replaced")
	}
	t = t.Clone()
	t.TLSClientConfig = &cryptotls.Config{MinVersion: cryptotls.VersionTLS12}
	t.ForceAttemptHTTP2 = true
	if len(caPEM) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(caPEM) {
			return nil, errors.New("tls: no certificate authority in the PEM given")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return t, nil
}
