package skerry

import (
	"context"
	cryptotls "crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// pollEvery is the pause between looks at a server that is not ready.
const pollEvery = 5 * time.Millisecond

// Client returns a new client that trusts the server's CA and keeps its own
// connections. It sends no credentials by itself.
func (s *Server) Client() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	if s.Options.Dial != nil {
		transport.DialContext = s.Options.Dial
	}
	if !s.Options.Plain {
		transport.TLSClientConfig = s.TLS()
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TLS returns a client's configuration that trusts the server's CA and nothing
// else. The test fails when the server has none.
func (s *Server) TLS() *cryptotls.Config {
	s.t.Helper()
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		s.t.Fatalf("read CA certificate: %v", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		s.t.Fatalf("no certificate in %s", s.CA)
	}
	return &cryptotls.Config{RootCAs: roots, MinVersion: cryptotls.VersionTLS12}
}

// Do sends one request as the server's account and returns status, header and
// body. The test fails when there is no answer.
func (s *Server) Do(method, path string, header http.Header, body io.Reader) (int, http.Header, []byte) {
	s.t.Helper()
	status, head, b, err := s.TryDo(method, path, header, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return status, head, b
}

// TryDo is Do for a server that may be away.
func (s *Server) TryDo(method, path string, header http.Header, body io.Reader) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, body)
	if err != nil {
		return 0, nil, nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.SetBasicAuth(s.User, s.Password)
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("%s %s: read body: %w", method, path, err)
	}
	return resp.StatusCode, resp.Header, b, nil
}

// ready asks until the server says that it is ready, or ends.
func (s *Server) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.Options.Ready)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := probe(ctx, s.client, s.URL+"/readyz")
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.proc.done:
			return fmt.Errorf("ended before it was ready: %w\n%s", s.proc.err, s.Log())
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w\n%s", s.Options.Ready, err, s.Log())
		}
	}
}

func probe(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}
