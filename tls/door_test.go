package tls_test

import (
	cryptotls "crypto/tls"
	"crypto/x509"
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

// A house is a node whose one address is for clients and nodes.
type house struct {
	*node
	public *tls.Public
	server *http.Server
	at     string // host:port
	errors *logged
}

// newHouse serves whoami at one address, with a configuration that may be changed.
func newHouse(t *testing.T, change func(*tls.Config)) *house {
	t.Helper()
	h := &house{node: founder(t, "a.disk1"), errors: &logged{}}
	cfg, _ := config(t, "localhost", "127.0.0.1")
	cfg.Peers = h.Peers
	if change != nil {
		change(&cfg)
	}
	h.public = open(t, cfg)
	h.server = &http.Server{
		Handler:  http.HandlerFunc(whoami),
		ErrorLog: slog.NewLogLogger(slog.NewTextHandler(h.errors, nil), slog.LevelInfo),
	}
	l := listen(t, h.public)
	done := make(chan error, 1)
	go func() { done <- h.server.Serve(l) }()
	t.Cleanup(func() {
		_ = h.server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	h.at = l.Addr().String()
	h.address = h.at // nodes come in by it, too
	return h
}

func (h *house) url() string {
	_, port, _ := net.SplitHostPort(h.at)
	return "https://localhost:" + port
}

func TestClientsNoticeNothingOfNodes(t *testing.T) {
	h := newHouse(t, nil)
	b := h.member(t, "b.disk2")
	fine(t, b, h.node)
	for want, h2 := range map[string]bool{"HTTP/2.0": true, "HTTP/1.1": false} {
		client := as(t, h.public, h2)
		for range 3 {
			if got, err := get(client, h.url()); got != want || err != nil {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		}
	}
	fine(t, b, h.node)
	for _, protocols := range [][]string{nil, {"http/1.1"}, {"http/1.0"}} {
		c, err := cryptotls.Dial("tcp", h.at, &cryptotls.Config{InsecureSkipVerify: true, NextProtos: protocols})
		if err != nil && protocols != nil && protocols[0] == "http/1.0" {
			continue // nobody ever offered that
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		if got := readAll(t, c); !strings.HasSuffix(got, "HTTP/1.0") {
			t.Errorf("%q: %q", protocols, got)
		}
	}
}

func TestSessionsOfClientsAreResumedStill(t *testing.T) {
	h := newHouse(t, nil)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(h.public.CA())
	for _, version := range []uint16{cryptotls.VersionTLS12, cryptotls.VersionTLS13} {
		config := &cryptotls.Config{
			RootCAs: pool, ServerName: "localhost", MaxVersion: version,
			ClientSessionCache: cryptotls.NewLRUClientSessionCache(4),
		}
		for i := range 3 {
			c, err := cryptotls.Dial("tcp", h.at, config)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
			_ = readAll(t, c) // the session comes behind the handshake
			if resumed := c.ConnectionState().DidResume; resumed != (i > 0) {
				t.Errorf("version %x, connection %d: resumed %t", version, i, resumed)
			}
		}
	}
}

func TestPlainHTTPIsAnsweredAsEver(t *testing.T) {
	h := newHouse(t, nil)
	c, err := net.Dial("tcp", h.at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got := readAll(t, c); !strings.Contains(got, "Client sent an HTTP request to an HTTPS server.") {
		t.Errorf("%q", got)
	}
	h.errors.holds(t, "TLS handshake error", "client sent an HTTP request")
}

func TestACMEServersAreAnsweredBesideNodes(t *testing.T) {
	ca := newIssuer(t, "acme")
	good, key := ca.server(90*day, "a.example")
	m := newMemory()
	m.keep("a.example", good, key)
	h := newHouse(t, func(c *tls.Config) {
		c.ACME = &tls.ACME{Directory: directory, Names: []string{"a.example"}, Storage: m}
	})
	fine(t, h.member(t, "b.disk2"), h.node)
	show := func(protocols ...string) (*cryptotls.Conn, error) {
		return cryptotls.Dial("tcp", h.at, &cryptotls.Config{
			InsecureSkipVerify: true, ServerName: "a.example", NextProtos: protocols,
		})
	}
	c, err := show("h2", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if got := c.ConnectionState().PeerCertificates[0]; !got.Equal(parse(t, good)) {
		t.Errorf("shown %v", got.Subject)
	}
	if _, err := show("acme-tls/1"); err == nil {
		t.Error("answered although no challenge is under way")
	}
	h.errors.holds(t, "no challenge is under way") // it got to where challenges are answered
}

func TestClientCertificatesAreJudgedBesideNodes(t *testing.T) {
	users := newIssuer(t, "users")
	file := filepath.Join(t.TempDir(), "clients.crt")
	writeFile(t, file, users.pem)
	h := newHouse(t, func(c *tls.Config) { c.ClientCA = file })
	fine(t, h.member(t, "b.disk2"), h.node)
	alice := users.client(day, "alice", "dev")
	for _, h2 := range []bool{true, false} {
		if got, err := get(as(t, h.public, h2, alice), h.url()); !strings.HasSuffix(got, " alice dev") {
			t.Errorf("%q, %v", got, err)
		}
		if got, err := get(as(t, h.public, h2), h.url()); strings.Contains(got, "alice") || err != nil {
			t.Errorf("nobody: %q, %v", got, err)
		}
	}
	// Neither is one a node, nor a node one of them.
	if b, err := offer(t.Context(), h.at, &alice, tls.ProtocolPeer); err == nil {
		t.Errorf("alice is a node and told %q", b)
	}
	papers := h.authority(t).papers("b.disk2", func(*x509.Certificate) {})
	if b, err := offer(t.Context(), h.at, &papers, "http/1.1"); err == nil {
		t.Errorf("a node is a client and told %q", b)
	}
}

func TestClientsThatClaimToBeNodesAreRefused(t *testing.T) {
	h := newHouse(t, nil)
	for _, protocol := range []string{tls.ProtocolRaft, tls.ProtocolPeer} {
		if b, err := offer(t.Context(), h.at, nil, protocol); err == nil {
			t.Errorf("%s: told %q", protocol, b)
		}
		h.log.holds(t, "node refused", protocol, "no certificate")
	}
	// One that offers ours among others is a client.
	c, err := cryptotls.Dial("tcp", h.at, &cryptotls.Config{
		InsecureSkipVerify: true, NextProtos: []string{tls.ProtocolRaft, "h2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if got := c.ConnectionState().NegotiatedProtocol; got != "h2" {
		t.Errorf("negotiated %q", got)
	}
	if got, err := get(as(t, h.public, true), h.url()); err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestNodesComeInWhileClientsAreSentAway is a stop: uploads that are taken to
// their end need a cluster.
func TestNodesComeInWhileClientsAreSentAway(t *testing.T) {
	h := newHouse(t, nil)
	b := h.member(t, "b.disk2")
	old := dial(t, b, tls.ProtocolRaft, h.node)
	if err := h.server.Shutdown(t.Context()); err != nil { // and it does not wait for nodes
		t.Fatal(err)
	}
	if _, err := says(old, "hi"); err != nil {
		t.Error(err)
	}
	fine(t, b, h.node)
	if got, err := get(as(t, h.public, true), h.url()); err == nil {
		t.Errorf("a client was served: %q", got)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", h.at); err == nil {
		t.Error("still open after Close")
	}
	if _, err := says(old, "hi"); err != nil {
		t.Errorf("a connection that was taken belongs to who took it: %v", err)
	}
}

func TestBothTrustsHaveOneAuthority(t *testing.T) {
	h := newHouse(t, nil)
	cert, _, err := h.Authority()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(cert, h.public.CA()) || !slices.Equal(cert, readFile(t, h.cfg.Dir, "ca.crt")) {
		t.Error("two authorities")
	}
	// And it is there where clients see other certificates.
	ca := newIssuer(t, "corporate")
	files := newSecretDir(t, nil, nil)
	crt, key := ca.server(day, "localhost")
	files.swap(crt, key)
	f := newHouse(t, func(c *tls.Config) { c.Files = &tls.Files{Cert: files.file("tls.crt"), Key: files.file("tls.key")} })
	fine(t, f.member(t, "b.disk2"), f.node)
	if got := shownAs(t, open(t, tls.Config{
		Files: &tls.Files{Cert: files.file("tls.crt"), Key: files.file("tls.key")}, Log: f.cfg.Log,
	}), "localhost"); !got.Equal(parse(t, crt)) {
		t.Error("clients are shown another one")
	}
}

// TestOnlyHandshakesHaveADeadline is for connections that live long, of either
// kind, and for those that never begin.
func TestOnlyHandshakesHaveADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers, err := tls.OpenPeers(tls.PeersConfig{Dir: t.TempDir(), Server: "a.disk1", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		cfg, _ := config(t, "localhost")
		cfg.Peers = peers
		pipes := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		public := open(t, cfg).Wrap(pipes)
		got := make(chan error, 1)
		go func() {
			c, err := public.Accept()
			if err == nil {
				_, err = io.ReadFull(c, make([]byte, 2))
				_ = c.Close()
			}
			got <- err
		}()
		silent, live := pipes.dial(), pipes.dial()
		c := cryptotls.Client(live, &cryptotls.Config{InsecureSkipVerify: true})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			<-time.After(time.Minute) // the bubble's clock
			if _, err := c.Write([]byte{1}); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
		go func() { // takes the one that failed, as net/http does
			c, err := public.Accept()
			if err == nil {
				err = c.(*cryptotls.Conn).Handshake()
				_ = c.Close()
			}
			got <- err
		}()
		if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("silent: %v", err)
		}
		_, _ = silent.Close(), live.Close()
		if err := peers.Close(); err != nil {
			t.Error(err)
		}
	})
}

// pipes is a listener without a network.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.done)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }
