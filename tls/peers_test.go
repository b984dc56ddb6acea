package tls_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"skerry.dev/skerry/tls"
)

// A node is a Peers with an address that nodes come in by.
type node struct {
	*tls.Peers
	cfg     tls.PeersConfig
	clock   *skewed
	log     *logged
	address string // of nodes only
}

// A skewed clock runs beside the right one.
type skewed struct {
	mu sync.Mutex
	by time.Duration
}

func (s *skewed) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.by)
}

func (s *skewed) set(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by = by
}

// A logged keeps what was logged.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// waits until the log holds all words.
func (l *logged) holds(tb testing.TB, words ...string) {
	tb.Helper()
	has := func() bool {
		for _, line := range strings.Split(l.String(), "\n") {
			all := true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return true
			}
		}
		return false
	}
	for end := time.Now().Add(5 * time.Second); !has(); {
		if time.Now().After(end) {
			tb.Fatalf("no line with %q in the log:\n%s", words, l)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// founder is the first node of a cluster.
func founder(tb testing.TB, server string, change ...func(*tls.PeersConfig)) *node {
	tb.Helper()
	n := &node{clock: &skewed{}, log: &logged{}}
	n.cfg = tls.PeersConfig{
		Dir: tb.TempDir(), Server: server, Now: n.clock.now,
		Log: slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&n.cfg)
	}
	var err error
	if n.Peers, err = tls.OpenPeers(n.cfg); err != nil {
		tb.Fatal(err)
	}
	at, err := n.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	n.address = at.String()
	tb.Cleanup(func() {
		if err := n.Close(); err != nil {
			tb.Error(err)
		}
	})
	echo(tb, n.Raft())
	echo(tb, n.HTTP())
	return n
}

// member is a further node of the cluster of n.
func (n *node) member(tb testing.TB, server string) *node {
	tb.Helper()
	cert, key, err := n.Authority()
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	if err := tls.InstallAuthority(dir, cert, key); err != nil {
		tb.Fatal(err)
	}
	return founder(tb, server, func(c *tls.PeersConfig) { c.Dir = dir })
}

// echo answers each line with who said it, until the listener is closed.
func echo(tb testing.TB, l net.Listener) {
	tb.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tb.Cleanup(func() { _ = c.Close() })
			wg.Go(func() {
				protocol, server := c.(interface{ Peer() (string, string) }).Peer()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					if _, err := fmt.Fprintf(c, "%s %s %s\n", protocol, server, lines.Text()); err != nil {
						return
					}
				}
			})
		}
	})
	tb.Cleanup(func() { _ = l.Close() })
}

// says writes a line and reads the answer.
func says(c net.Conn, line string) (string, error) {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(c, line); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(answer), err
}

func dial(tb testing.TB, from *node, protocol string, to *node) net.Conn {
	tb.Helper()
	c, err := from.Dial(tb.Context(), protocol, to.address, to.cfg.Server)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// fine fails unless from is served by to.
func fine(tb testing.TB, from, to *node) {
	tb.Helper()
	want := tls.ProtocolPeer + " " + from.cfg.Server + " hi"
	if got, err := says(dial(tb, from, tls.ProtocolPeer, to), "hi"); got != want || err != nil {
		tb.Errorf("answer %q, %v, want %q", got, err, want)
	}
}

func TestMembersKnowEachOtherByServer(t *testing.T) {
	a := founder(t, "a.disk1")
	b := a.member(t, "b.disk2")
	for _, protocol := range []string{tls.ProtocolRaft, tls.ProtocolPeer} {
		for _, way := range [][2]*node{{a, b}, {b, a}, {a, a}} {
			want := protocol + " " + way[0].cfg.Server + " hi"
			if got, err := says(dial(t, way[0], protocol, way[1]), "hi"); got != want || err != nil {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		}
	}
	// An address of which nobody knows whose it is.
	c, err := b.Dial(t.Context(), tls.ProtocolPeer, a.address, "")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

func TestAnotherServerIsNotTakenForTheOneAskedFor(t *testing.T) {
	a := founder(t, "a.disk1")
	b := a.member(t, "b.disk2")
	_, err := b.Dial(t.Context(), tls.ProtocolPeer, a.address, "a.wiped")
	if !errors.Is(err, tls.ErrOtherServer) || !strings.Contains(err.Error(), "it is a.disk1") {
		t.Errorf("%v", err)
	}
	fine(t, b, a)
}

func TestClocksMayBeAnHourApart(t *testing.T) {
	const apart = 59 * time.Minute
	for _, by := range []time.Duration{-apart, apart} {
		a := founder(t, "a.disk1")
		b := a.member(t, "b.disk2")
		b.clock.set(by)
		fine(t, a, b)
		fine(t, b, a)
	}
	a := founder(t, "a.disk1")
	b := a.member(t, "b.disk2")
	b.clock.set(3 * time.Hour)
	fine(t, b, b) // which makes it a certificate of three hours later
	b.clock.set(3*time.Hour + 25*time.Hour)
	_, err := b.Dial(t.Context(), tls.ProtocolPeer, a.address, "")
	if !errors.Is(err, tls.ErrRefused) || !strings.Contains(err.Error(), "clock") {
		t.Errorf("a day ahead: %v", err)
	}
	a.log.holds(t, "WARN", "is a clock wrong?")
}

func TestCertificatesRotateWhileConnectionsLive(t *testing.T) {
	a := founder(t, "a.disk1")
	b := a.member(t, "b.disk2")
	old := dial(t, b, tls.ProtocolPeer, a)
	issued := func(n *node) int { return strings.Count(n.log.String(), "certificate for other nodes issued") }
	for days := 2; days <= 30; days += 7 {
		a.clock.set(time.Duration(days) * day)
		b.clock.set(time.Duration(days) * day)
		fine(t, a, b)
		fine(t, b, a)
		if _, err := says(old, "still there"); err != nil {
			t.Fatalf("after %d days: %v", days, err)
		}
	}
	for _, n := range []*node{a, b} {
		n.clock.set(0) // set back, as clocks are after a wrong start
	}
	fine(t, a, b)
	fine(t, b, a)
	if issued(a) != 7 || issued(b) != 7 {
		t.Errorf("issued %d and %d, want one each time", issued(a), issued(b))
	}
	for _, n := range []*node{a, b} {
		n.clock.set(9*365*day + 3*day) // the authority's own certificate is renewed in its last year
	}
	fine(t, a, b)
	fine(t, b, a)
	for _, n := range []*node{a, b} {
		n.clock.set(10*365*day + 3*day)
	}
	fine(t, a, b)
	fine(t, b, a)
}

func TestRemovedNodesAreToldSo(t *testing.T) {
	var mu sync.Mutex
	gone := ""
	a := founder(t, "a.disk1", func(c *tls.PeersConfig) {
		c.Admit = func(_, server string) error {
			mu.Lock()
			defer mu.Unlock()
			if server == gone {
				return fmt.Errorf("%s was removed from the cluster", server)
			}
			return nil
		}
	})
	b := a.member(t, "b.disk2")
	c := a.member(t, "c.disk3")
	old := dial(t, b, tls.ProtocolRaft, a)
	mu.Lock()
	gone = "b.disk2"
	mu.Unlock()
	if _, err := says(old, "still there"); err != nil {
		t.Fatal(err)
	}
	a.Disconnect("b.disk2")
	if answer, err := says(old, "still there"); err == nil {
		t.Errorf("after Disconnect: %q", answer)
	}
	_, err := b.Dial(t.Context(), tls.ProtocolRaft, a.address, a.cfg.Server)
	if !errors.Is(err, tls.ErrRefused) || !strings.Contains(err.Error(), "b.disk2 was removed from the cluster") {
		t.Errorf("%v", err)
	}
	a.log.holds(t, "WARN", "node refused", "server=b.disk2", "was removed")
	fine(t, c, a)
}

func TestNobodyServesMeansNothingWasSent(t *testing.T) {
	a := founder(t, "a.disk1")
	b := a.member(t, "b.disk2")
	if err := a.Raft().Close(); err != nil {
		t.Fatal(err)
	}
	_, err := b.Dial(t.Context(), tls.ProtocolRaft, a.address, a.cfg.Server)
	if !errors.Is(err, tls.ErrRefused) || !strings.Contains(err.Error(), "closing") {
		t.Errorf("%v", err)
	}
	fine(t, b, a)
}

// TestDialEndsWithItsContext asks somebody who says nothing, at each step.
func TestDialEndsWithItsContext(t *testing.T) {
	a := founder(t, "a.disk1")
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mute.Close() })
	busy, err := tls.OpenPeers(tls.PeersConfig{Dir: a.cfg.Dir, Server: "busy.disk", Log: a.cfg.Log})
	if err != nil {
		t.Fatal(err)
	}
	at, err := busy.Listen("tcp", "127.0.0.1:0") // and nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	for what, address := range map[string]string{"no handshake": mute.Addr().String(), "no greeting": at.String()} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		begin := time.Now()
		_, err := a.Dial(ctx, tls.ProtocolPeer, address, "")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 5*time.Second {
			t.Errorf("%s: after %s: %v", what, time.Since(begin), err)
		}
		cancel()
	}
	begin := time.Now()
	if err := busy.Close(); err != nil || time.Since(begin) > 3*time.Second {
		t.Errorf("close took %s: %v", time.Since(begin), err)
	}
	if _, err := a.Dial(t.Context(), tls.ProtocolPeer, at.String(), ""); err == nil {
		t.Error("closed, and yet served")
	}
}

func TestServersAreNamedForLogsAndHeaders(t *testing.T) {
	for _, name := range []string{"", "a b", "a\n", "ä", strings.Repeat("a", 256)} {
		_, err := tls.OpenPeers(tls.PeersConfig{Dir: t.TempDir(), Server: name, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			t.Errorf("server %q accepted", name)
		}
	}
	a := founder(t, `a%2F/?#"\.disk1`)
	fine(t, a, a)
}

func TestDamagedAuthorityOfPeersIsNamed(t *testing.T) {
	a := founder(t, "a.disk1")
	writeFile(t, a.cfg.Dir+"/ca.key", []byte("junk"))
	if _, err := tls.OpenPeers(a.cfg); err == nil || !strings.Contains(err.Error(), a.cfg.Dir+"/ca.key") {
		t.Errorf("%v", err)
	}
}

// readAll is what comes until the other side ends it.
func readAll(tb testing.TB, c net.Conn) string {
	tb.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	b, _ := io.ReadAll(c)
	return string(b)
}
