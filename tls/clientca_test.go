package tls_test

import (
	cryptotls "crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/tls"
)

// lines is a log, a message for each line.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default: // nobody reads
	}
	return len(b), nil
}

// whoami answers with protocol, user and groups of the certificate shown.
func whoami(w http.ResponseWriter, r *http.Request) {
	words := []string{r.Proto}
	for _, chain := range r.TLS.VerifiedChains {
		words = append(words, chain[0].Subject.CommonName)
		words = append(words, chain[0].Subject.Organization...)
	}
	_, _ = io.WriteString(w, strings.Join(words, " "))
}

// asking serves whoami and asks clients for certificates of the authorities in
// a file.
func asking(t *testing.T, cas []byte) (p *tls.Public, url, file string, log lines) {
	t.Helper()
	cfg, _ := config(t, "localhost")
	file = filepath.Join(t.TempDir(), "clients.crt")
	writeFile(t, file, cas)
	cfg.ClientCA = file
	p = open(t, cfg)
	log = make(lines, 10)
	handler := slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})
	s := &http.Server{Handler: http.HandlerFunc(whoami), ErrorLog: slog.NewLogLogger(handler, slog.LevelDebug)}
	l := listen(t, p)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	_, port, _ := strings.Cut(l.Addr().String(), ":")
	return p, "https://localhost:" + port, file, log
}

// as is a client that shows a certificate, over a connection for each request,
// and keeps sessions.
func as(t *testing.T, p *tls.Public, h2 bool, certs ...cryptotls.Certificate) *http.Client {
	t.Helper()
	tr := transport(t, p.CA())
	tr.DisableKeepAlives = !h2
	if !h2 {
		tr.ForceAttemptHTTP2 = false
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetHTTP1(true)
	}
	tr.TLSClientConfig.Certificates = certs
	tr.TLSClientConfig.ClientSessionCache = cryptotls.NewLRUClientSessionCache(10)
	return &http.Client{Transport: tr}
}

func TestClientsAreWhoTheirCertificateSays(t *testing.T) {
	ours, theirs := newIssuer(t, "ours"), newIssuer(t, "theirs")
	p, url, _, _ := asking(t, ours.pem)
	alice := ours.client(day, "alice", "dev", "ops")
	for _, c := range []struct {
		name  string
		h2    bool
		certs []cryptotls.Certificate
		want  string
	}{
		{"over h2", true, []cryptotls.Certificate{alice}, "HTTP/2.0 alice dev ops"},
		{"over http/1.1", false, []cryptotls.Certificate{alice}, "HTTP/1.1 alice dev ops"},
		{"nobody", true, nil, "HTTP/2.0"},
	} {
		client := as(t, p, c.h2, c.certs...)
		for range 3 {
			if got, err := get(client, url); got != c.want || err != nil {
				t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
			}
		}
	}
	for name, cert := range map[string]cryptotls.Certificate{
		"foreign": theirs.client(day, "alice"),
		"expired": ours.client(-time.Hour, "alice"),
	} {
		client := as(t, p, true)
		client.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(
			*cryptotls.CertificateRequestInfo,
		) (*cryptotls.Certificate, error) {
			return &cert, nil // whatever the server says it accepts
		}
		if got, err := get(client, url); err == nil {
			t.Errorf("%s certificate: served as %q", name, got)
		}
	}
}

func TestRefusedClientsAreInTheLog(t *testing.T) {
	ours, theirs := newIssuer(t, "ours"), newIssuer(t, "theirs")
	p, url, _, log := asking(t, ours.pem)
	foreign := theirs.client(day, "alice")
	client := as(t, p, false)
	client.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(
		*cryptotls.CertificateRequestInfo,
	) (*cryptotls.Certificate, error) {
		return &foreign, nil
	}
	if _, err := get(client, url); err == nil {
		t.Fatal("served")
	}
	line := <-log // said after the client was told
	if !strings.Contains(line, "level=DEBUG") || !strings.Contains(line, "unknown authority") {
		t.Errorf("log: %s", line)
	}
}

func TestRevokedAuthoritiesLetNobodyInAgain(t *testing.T) {
	old, fresh := newIssuer(t, "old"), newIssuer(t, "new")
	p, url, file, _ := asking(t, old.pem)
	alice, bob := as(t, p, false, old.client(day, "alice")), as(t, p, false, fresh.client(day, "bob"))
	if got, err := get(alice, url); got != "HTTP/1.1 alice" {
		t.Fatalf("%q, %v", got, err)
	}
	if got, err := get(bob, url); got != "HTTP/1.1" || err != nil { // not asked for one of bob's authority
		t.Fatalf("%q, %v", got, err)
	}
	writeFile(t, file, fresh.pem)
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	// Alice's session would be resumed, and then she would still be alice.
	if got, err := get(alice, url); strings.Contains(got, "alice") {
		t.Errorf("after her authority was revoked: %q, %v", got, err)
	}
	if got, err := get(bob, url); got != "HTTP/1.1 bob" {
		t.Errorf("of the new authority: %q, %v", got, err)
	}
	writeFile(t, file, slices.Concat(old.pem, fresh.pem))
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]*http.Client{"HTTP/1.1 alice": alice, "HTTP/1.1 bob": bob} {
		if got, err := get(c, url); got != want {
			t.Errorf("of two authorities: %q, %v, want %q", got, err, want)
		}
	}
}

func TestBadClientCAsLeaveTheGoodOnesInUse(t *testing.T) {
	ours := newIssuer(t, "ours")
	_, key := ours.server(day, "x")
	p, url, file, _ := asking(t, ours.pem)
	alice := as(t, p, false, ours.client(day, "alice"))
	for name, bad := range map[string][]byte{
		"empty": nil, "junk": []byte("junk"), "cut": slices.Concat(ours.pem, ours.pem[:99]), "a key": key,
	} {
		writeFile(t, file, bad)
		if err := p.Reload(); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v does not name the file", name, err)
		}
		if !strings.Contains(p.Status().Trouble, file) {
			t.Errorf("%s: status %+v", name, p.Status())
		}
		if got, err := get(alice, url); got != "HTTP/1.1 alice" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	cfg, _ := config(t, "localhost")
	cfg.ClientCA = file + ".none"
	if _, err := tls.OpenPublic(cfg); err == nil {
		t.Error("started without the authorities that were asked for")
	}
}
