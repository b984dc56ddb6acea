package tls_test

import (
	"context"
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry.dev/skerry/tls"
)

// A clock is set by hand.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func config(tb testing.TB, names ...string) (tls.Config, *clock) {
	tb.Helper()
	c := &clock{time.Now()}
	return tls.Config{Dir: tb.TempDir(), Names: names, Log: slog.New(slog.DiscardHandler), Now: c.now}, c
}

func open(tb testing.TB, cfg tls.Config) *tls.Public {
	tb.Helper()
	p, err := tls.OpenPublic(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func readFile(tb testing.TB, elem ...string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func parse(tb testing.TB, b []byte) *x509.Certificate {
	tb.Helper()
	block, _ := pem.Decode(b)
	if block == nil {
		tb.Fatal("no PEM block")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func leaf(tb testing.TB, cfg tls.Config) *x509.Certificate {
	tb.Helper()
	return parse(tb, readFile(tb, cfg.Dir, "leaf.pem"))
}

// verify checks the leaf as a client does whose clock says at.
func verify(tb testing.TB, cfg tls.Config, name string, at time.Time) {
	tb.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(readFile(tb, cfg.Dir, "ca.crt"))
	_, err := leaf(tb, cfg).Verify(x509.VerifyOptions{DNSName: name, Roots: pool, CurrentTime: at})
	if err != nil {
		tb.Error(err)
	}
}

// serve answers every request with the protocol it came by.
func serve(tb testing.TB, l net.Listener) (url string) {
	tb.Helper()
	s := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			tb.Error(err)
		}
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	return "https://localhost:" + port
}

func listen(tb testing.TB, p *tls.Public) net.Listener {
	tb.Helper()
	l, err := p.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func transport(tb testing.TB, ca []byte) *http.Transport {
	tb.Helper()
	t, err := tls.HTTPTransport(ca)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(t.CloseIdleConnections)
	return t
}

func get(c *http.Client, url string) (string, error) {
	r, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

func TestClientsThatTrustTheAuthorityAreServed(t *testing.T) {
	cfg, _ := config(t, "localhost", "127.0.0.1")
	p := open(t, cfg)
	url := serve(t, listen(t, p))

	got, err := get(&http.Client{Transport: transport(t, p.CA())}, url)
	if err != nil || got != "HTTP/2.0" {
		t.Errorf("h2 client: %q, %v", got, err)
	}
	old := transport(t, p.CA())
	old.ForceAttemptHTTP2 = false
	old.Protocols = new(http.Protocols)
	old.Protocols.SetHTTP1(true)
	got, err = get(&http.Client{Transport: old}, url)
	if err != nil || got != "HTTP/1.1" {
		t.Errorf("http/1.1 client: %q, %v", got, err)
	}
}

func TestOtherAuthoritiesAreRefusedByClients(t *testing.T) {
	cfg, _ := config(t, "localhost")
	url := serve(t, listen(t, open(t, cfg)))
	other, _ := config(t, "localhost")
	for name, ca := range map[string][]byte{"another CA": open(t, other).CA(), "the system's": nil} {
		_, err := get(&http.Client{Transport: transport(t, ca)}, url)
		var unknown x509.UnknownAuthorityError
		if !errors.As(err, &unknown) {
			t.Errorf("%s: %v, want an unknown authority", name, err)
		}
	}
}

func TestOldProtocolVersionsAreRefused(t *testing.T) {
	cfg, _ := config(t, "localhost")
	p := open(t, cfg)
	url := serve(t, listen(t, p))
	tr := transport(t, p.CA())
	tr.TLSClientConfig.MinVersion = cryptotls.VersionTLS10
	tr.TLSClientConfig.MaxVersion = cryptotls.VersionTLS11
	if _, err := get(&http.Client{Transport: tr}, url); err == nil {
		t.Error("a TLS 1.1 client was served")
	}
}

func TestCertificatesAreKeptBetweenStarts(t *testing.T) {
	cfg, _ := config(t, "localhost")
	open(t, cfg)
	before := map[string][]byte{}
	for _, f := range []string{"ca.crt", "ca.key", "leaf.pem"} {
		before[f] = readFile(t, cfg.Dir, f)
	}
	open(t, cfg)
	for f, b := range before {
		if string(readFile(t, cfg.Dir, f)) != string(b) {
			t.Errorf("%s changed", f)
		}
	}
}

func TestKeysAreForTheirOwnerOnly(t *testing.T) {
	cfg, _ := config(t, "localhost")
	open(t, cfg)
	for f, mode := range map[string]os.FileMode{"ca.key": 0o600, "leaf.pem": 0o600, "ca.crt": 0o644} {
		st, err := os.Stat(filepath.Join(cfg.Dir, f))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != mode {
			t.Errorf("%s: mode %o, want %o", f, st.Mode().Perm(), mode)
		}
	}
}

func TestLeafIsReplacedWhenDue(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name     string
		change   func(*tls.Config, *clock)
		replaced bool
	}{
		{"nothing changed", func(*tls.Config, *clock) {}, false},
		{"59 days old", func(_ *tls.Config, c *clock) { c.t = c.t.Add(59 * day) }, false},
		{"61 days old", func(_ *tls.Config, c *clock) { c.t = c.t.Add(61 * day) }, true},
		{"expired while away", func(_ *tls.Config, c *clock) { c.t = c.t.Add(400 * day) }, true},
		{"clock half an hour back", func(_ *tls.Config, c *clock) { c.t = c.t.Add(-30 * time.Minute) }, false},
		{"clock a year back", func(_ *tls.Config, c *clock) { c.t = c.t.Add(-365 * day) }, true},
		{"another name", func(cfg *tls.Config, _ *clock) { cfg.Names = []string{"localhost", "r.example"} }, true},
		{"same names, other order", func(cfg *tls.Config, _ *clock) { cfg.Names = []string{"B", "localhost", "b"} }, false},
		{"removed", func(cfg *tls.Config, _ *clock) { _ = os.Remove(filepath.Join(cfg.Dir, "leaf.pem")) }, true},
		{"damaged", func(cfg *tls.Config, _ *clock) {
			_ = os.WriteFile(filepath.Join(cfg.Dir, "leaf.pem"), []byte("-----BEGIN C"), 0o600)
		}, true},
		{"new authority", func(cfg *tls.Config, _ *clock) {
			_ = os.Remove(filepath.Join(cfg.Dir, "ca.key"))
			_ = os.Remove(filepath.Join(cfg.Dir, "ca.crt"))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, now := config(t, "localhost", "b")
			open(t, cfg)
			before := leaf(t, cfg)
			c.change(&cfg, now)
			open(t, cfg)
			if replaced := !leaf(t, cfg).Equal(before); replaced != c.replaced {
				t.Errorf("replaced %t, want %t", replaced, c.replaced)
			}
			verify(t, cfg, "localhost", now.t)
		})
	}
}

func TestRenewedAuthorityIsTrustedByThoseWhoHaveTheOldOne(t *testing.T) {
	cfg, now := config(t, "localhost")
	old := open(t, cfg).CA()
	now.t = now.t.Add(9*365*24*time.Hour + 24*time.Hour)
	fresh := open(t, cfg).CA()
	if string(old) == string(fresh) {
		t.Fatal("not renewed in its last year")
	}
	if !parse(t, fresh).NotAfter.After(now.t.Add(9 * 365 * 24 * time.Hour)) {
		t.Errorf("renewed only until %v", parse(t, fresh).NotAfter)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(old)
	if _, err := leaf(t, cfg).Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now.t}); err != nil {
		t.Error(err)
	}
}

func TestRunningServerShowsTheRenewedLeaf(t *testing.T) {
	cfg, _ := config(t, "localhost")
	cfg.Now = nil
	synctest.Test(t, func(t *testing.T) {
		p := open(t, cfg)
		first := leaf(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()

		<-time.After(59 * 24 * time.Hour) // the bubble's clock
		synctest.Wait()
		if got := shown(t, p); !got.Equal(first) {
			t.Error("leaf replaced too early")
		}
		<-time.After(2 * 24 * time.Hour)
		synctest.Wait()
		if got := shown(t, p); got.Equal(first) || !got.Equal(leaf(t, cfg)) {
			t.Error("new leaf not shown")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// shown is the certificate a client sees that connects now, and trusts.
func shown(tb testing.TB, p *tls.Public) *x509.Certificate {
	tb.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(p.CA())
	return handshake(tb, p, &cryptotls.Config{ServerName: "localhost", RootCAs: pool})
}

// shownAs is the certificate a client sees that asks for a name, trusted or not.
func shownAs(tb testing.TB, p *tls.Public, name string) *x509.Certificate {
	tb.Helper()
	return handshake(tb, p, &cryptotls.Config{ServerName: name, InsecureSkipVerify: true})
}

func handshake(tb testing.TB, p *tls.Public, client *cryptotls.Config) *x509.Certificate {
	tb.Helper()
	ours, theirs := net.Pipe()
	l := p.Wrap(&once{c: theirs})
	s, err := l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	c := cryptotls.Client(ours, client)
	go func() {
		_, _ = s.Read(make([]byte, 1))
		_ = s.Close()
	}()
	if err := c.Handshake(); err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.ConnectionState().PeerCertificates[0]
}

// once is a listener with one connection.
type once struct {
	net.Listener
	c net.Conn
}

func (o *once) Accept() (net.Conn, error) { return o.c, nil }

func (o *once) Addr() net.Addr { return o.c.LocalAddr() }

func TestDamagedAuthorityIsNamed(t *testing.T) {
	for _, c := range []struct {
		name, file string
		harm       func(dir string) error
	}{
		{"key damaged", "ca.key", func(d string) error {
			return os.WriteFile(filepath.Join(d, "ca.key"), []byte("junk"), 0o600)
		}},
		{"certificate cut", "ca.crt", func(d string) error { return os.Truncate(filepath.Join(d, "ca.crt"), 100) }},
		{"key lost", "ca.key", func(d string) error { return os.Remove(filepath.Join(d, "ca.key")) }},
		{"key of another", "ca.key", func(d string) error {
			other, _ := config(t, "localhost")
			open(t, other)
			return os.WriteFile(filepath.Join(d, "ca.key"), readFile(t, other.Dir, "ca.key"), 0o600)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, _ := config(t, "localhost")
			open(t, cfg)
			before := leaf(t, cfg)
			if err := c.harm(cfg.Dir); err != nil {
				t.Fatal(err)
			}
			_, err := tls.OpenPublic(cfg)
			if err == nil || !strings.Contains(err.Error(), filepath.Join(cfg.Dir, c.file)) {
				t.Errorf("error %v does not name %s", err, c.file)
			}
			if !leaf(t, cfg).Equal(before) {
				t.Error("leaf was replaced all the same")
			}
		})
	}
}

func TestAuthorityIsCompletedFromItsKey(t *testing.T) {
	cfg, now := config(t, "localhost")
	old := open(t, cfg).CA()
	if err := os.Remove(filepath.Join(cfg.Dir, "ca.crt")); err != nil { // or a crash before it was written
		t.Fatal(err)
	}
	fresh := open(t, cfg).CA()
	if parse(t, old).Subject.String() != parse(t, fresh).Subject.String() {
		t.Error("another name")
	}
	verify(t, cfg, "localhost", now.t)
}

func TestNamesMayBeHostsAndAddresses(t *testing.T) {
	cfg, now := config(t, "Registry.Example", "*.r.example", "10.1.2.3", "fd00::1")
	open(t, cfg)
	for _, n := range []string{"registry.example", "a.r.example", "10.1.2.3", "fd00::1"} {
		verify(t, cfg, n, now.t)
	}
	for _, n := range []string{"", "a b", "a..b", "-a", "a-", "bücher.example", "a.*.b", strings.Repeat("a", 64)} {
		cfg.Names = []string{n}
		if _, err := tls.OpenPublic(cfg); err == nil {
			t.Errorf("name %q accepted", n)
		}
	}
}

func TestLocalNamesCanBeServed(t *testing.T) {
	cfg, now := config(t)
	open(t, cfg)
	for _, n := range []string{"localhost", "127.0.0.1", "::1"} {
		if !slices.Contains(tls.LocalNames(), n) {
			t.Errorf("%s is missing", n)
		}
		verify(t, cfg, n, now.t)
	}
}

func BenchmarkOpenFirst(b *testing.B) {
	for b.Loop() {
		cfg, _ := config(b, "localhost")
		open(b, cfg)
	}
}

func BenchmarkOpenAgain(b *testing.B) {
	cfg, _ := config(b, "localhost")
	open(b, cfg)
	for b.Loop() {
		open(b, cfg)
	}
}
