//go:build acme

package acme

import (
	"bytes"
	"context"
	cryptotls "crypto/tls"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skerry.dev/skerry/tls"
)

// A shelf is a Storage in memory, which several nodes may share.
type shelf struct {
	mu     sync.Mutex // guards the rest; held for one look
	values map[string][]byte
	locks  map[string]string // name → node
	stored int               // certificates
}

// A node is a shelf as one node uses it.
type node struct {
	*shelf
	name string
}

func (n node) Load(_ context.Context, name string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if v, ok := n.values[name]; ok {
		return bytes.Clone(v), nil
	}
	return nil, fs.ErrNotExist
}

func (n node) Store(_ context.Context, name string, value []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.values[name] = bytes.Clone(value)
	if strings.HasSuffix(name, ".crt") {
		n.stored++
	}
	return nil
}

func (n node) Delete(_ context.Context, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.values, name)
	return nil
}

func (n node) List(_ context.Context, prefix string) (names []string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name := range n.values {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (n node) Lock(_ context.Context, name string, _ time.Duration) (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if by, held := n.locks[name]; held && by != n.name {
		return false, nil
	}
	n.locks[name] = n.name
	return true, nil
}

func (n node) Unlock(_ context.Context, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.locks, name)
	return nil
}

func newShelf() *shelf { return &shelf{values: map[string][]byte{}, locks: map[string]string{}} }

// issued is how many certificates were stored.
func (s *shelf) issued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored
}

// serve runs the trust of one node, with a clock that is off by so much. The
// first node answers the challenges of all.
func (p *pebble) serve(n node, off time.Duration) *tls.Public {
	p.t.Helper()
	roots, err := os.ReadFile(p.ca)
	if err != nil {
		p.t.Fatal(err)
	}
	public, err := tls.OpenPublic(tls.Config{
		Dir: p.t.TempDir(), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Now().Add(off) },
		ACME: &tls.ACME{
			Directory: p.directory, Roots: roots, Names: []string{"a.example"}, HTTP: port(p.http), Storage: n,
		},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.once.Do(func() { p.challenges(public) }) // before anybody asks
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.t.Context()))
	done := make(chan error, 1)
	go func() { done <- public.Run(ctx) }() // ended by cancel
	p.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	})
	return public
}

// challenges answers for whichever node asked: the guest's memory of challenges
// is the process's.
func (p *pebble) challenges(public *tls.Public) {
	p.t.Helper()
	l, err := net.Listen("tcp", port(p.http))
	if err != nil {
		p.t.Fatal(err)
	}
	srv := newServer(public.Challenge())
	go func() { _ = srv.Serve(l) }() // ended by Close
	p.t.Cleanup(func() { _ = srv.Close() })
}

// fromACME is what the status says of the certificate from the ACME server.
func fromACME(public *tls.Public) tls.Shown {
	for _, s := range public.Status().Shown {
		if s.From == "acme" {
			return s
		}
	}
	return tls.Shown{}
}

// TestWrongClockIsNamed has a clock two years ahead: what was just issued seems
// to have ended. It is shown all the same, and not asked for again and again.
func TestWrongClockIsNamed(t *testing.T) {
	p := newPebble(t, long)
	p.start()
	s := newShelf()
	public := p.serve(node{s, "one"}, 2*365*24*time.Hour)
	eventually(t, "trouble", func() error {
		trouble := fromACME(public).Trouble
		return want(strings.Contains(trouble, "the clock of this machine"), "only: "+trouble)
	})
	if err := public.Reload(); err != nil { // asks once more
		t.Error(err)
	}
	l, err := public.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(nil)
	go func() { _ = srv.Serve(l) }() // ended by Close
	t.Cleanup(func() { _ = srv.Close() })
	c, err := cryptotls.Dial("tcp", l.Addr().String(), &cryptotls.Config{ServerName: "a.example", RootCAs: p.roots()})
	if err != nil {
		t.Fatalf("a client whose clock is right: %v", err)
	}
	_ = c.Close()
	if s.issued() > 2 {
		t.Errorf("issued %d times", s.issued())
	}
}

func TestDamagedCertificatesAreIssuedAgain(t *testing.T) {
	p := newPebble(t, long)
	p.start()
	s := newShelf()
	first := p.serve(node{s, "one"}, 0)
	eventually(t, "first", func() error { return want(fromACME(first).Issuer != "", "no certificate") })
	s.mu.Lock()
	for name := range s.values {
		if strings.HasSuffix(name, ".crt") {
			s.values[name] = s.values[name][:100]
		}
	}
	s.mu.Unlock()
	second := p.serve(node{s, "two"}, 0)
	eventually(t, "second", func() error { return want(fromACME(second).Issuer != "", "no certificate") })
	if s.issued() != 2 {
		t.Errorf("issued %d times, want 2", s.issued())
	}
}

// TestNodesAskOnce has two nodes that want the same certificate.
func TestNodesAskOnce(t *testing.T) {
	p := newPebble(t, long)
	s := newShelf()
	p.start()
	one, two := p.serve(node{s, "one"}, 0), p.serve(node{s, "two"}, 0)
	for _, public := range []*tls.Public{one, two} {
		eventually(t, "certificate", func() error { return want(fromACME(public).Issuer != "", "no certificate") })
	}
	if s.issued() != 1 {
		t.Errorf("issued %d times, want once", s.issued())
	}
}
