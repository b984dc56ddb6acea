package tls_test

import (
	"context"
	"crypto/ecdsa"
	cryptotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/tls"
)

// authority is the cluster's, in the hands of a test.
func (n *node) authority(tb testing.TB) *issuer {
	tb.Helper()
	cert, key, err := n.Authority()
	if err != nil {
		tb.Fatal(err)
	}
	block, _ := pem.Decode(key)
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	return &issuer{tb: tb, key: k.(*ecdsa.PrivateKey), cert: parse(tb, cert), pem: cert}
}

// papers makes a certificate for a server, with changes.
func (i *issuer) papers(server string, change func(*x509.Certificate)) cryptotls.Certificate {
	i.tb.Helper()
	k := newKey(i.tb)
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: server}, URIs: []*url.URL{{Scheme: "skerry", Host: "node", Path: "/" + server}},
		NotBefore: time.Now().Add(-30 * time.Minute), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	change(t)
	_, cert := i.sign(t, i.cert, &k.PublicKey)
	return cryptotls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: k}
}

// offer offers protocols with a certificate, and reads what comes.
func offer(ctx context.Context, address string, cert *cryptotls.Certificate, protocols ...string) (string, error) {
	d := &cryptotls.Dialer{Config: &cryptotls.Config{
		InsecureSkipVerify: true, NextProtos: protocols,
		GetClientCertificate: func(*cryptotls.CertificateRequestInfo) (*cryptotls.Certificate, error) {
			if cert == nil {
				return &cryptotls.Certificate{}, nil
			}
			return cert, nil
		},
	}}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	b := make([]byte, 1)
	_, err = c.Read(b)
	return string(b), err
}

func TestStrangersAreRefusedAndNamedInTheLog(t *testing.T) {
	first := founder(t, "a.disk1")
	ours, theirs := first.authority(t), newIssuer(t, "theirs")
	same := func(*x509.Certificate) {}
	for _, c := range []struct {
		name  string
		cert  cryptotls.Certificate
		words string // of the log
	}{
		{"another authority", theirs.papers("b.disk2", same), "another cluster"},
		{"expired", ours.papers("b.disk2", func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}), "not valid now"},
		{"not yet valid", ours.papers("b.disk2", func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(time.Minute)
		}), "not valid now"},
		{"for servers only", ours.papers("b.disk2", func(c *x509.Certificate) {
			c.ExtKeyUsage = c.ExtKeyUsage[:1]
		}), "none of a node"},
		{"a client's", ours.papers("b.disk2", func(c *x509.Certificate) { c.URIs = nil }), "none of a node"},
		{"another URI", ours.papers("b.disk2", func(c *x509.Certificate) { c.URIs[0].Host = "user" }), "none of a node"},
		{"two servers", ours.papers("b.disk2", func(c *x509.Certificate) {
			c.URIs = append(c.URIs, &url.URL{Scheme: "skerry", Host: "node", Path: "/c"})
		}), "none of a node"},
		{"no server", ours.papers("", same), "none of a node"},
		{"a server with a line break", ours.papers("b\nlevel=INFO", same), "none of a node"},
		{"nothing", cryptotls.Certificate{}, "no certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := first.member(t, "a.disk1"), first.member(t, "b.disk2")
			for _, protocol := range []string{tls.ProtocolRaft, tls.ProtocolPeer} {
				if b, err := offer(t.Context(), a.address, &c.cert, protocol); err == nil {
					t.Errorf("%s: let in and told %q", protocol, b)
				}
				a.log.holds(t, "level=WARN", "node refused", "protocol="+protocol, "remote=127.0.0.1:", c.words)
			}
			fine(t, b, a)
		})
	}
	good := ours.papers("x.disk9", same)
	if b, err := offer(t.Context(), first.address, &good, tls.ProtocolPeer); err != nil || b != "\x00" {
		t.Errorf("a good one, for comparison: %q, %v", b, err)
	}
}

func TestOnlyOneProtocolOfOursIsSpokenAtATime(t *testing.T) {
	a := founder(t, "a.disk1")
	good := a.authority(t).papers("x.disk9", func(*x509.Certificate) {})
	for _, protocols := range [][]string{
		{tls.ProtocolRaft, tls.ProtocolPeer}, {tls.ProtocolPeer, "h2"}, {"h2"}, {"skerry-peer/2"}, nil,
	} {
		if b, err := offer(t.Context(), a.address, &good, protocols...); err == nil {
			t.Errorf("%q: let in and told %q", protocols, b)
		}
	}
	if strings.Contains(a.log.String(), "WARN") {
		t.Errorf("who asks for no protocol of nodes is no news:\n%s", a.log)
	}
}

// TestImpostorsAreRefusedByWhoDials listens with certificates that are no good.
func TestImpostorsAreRefusedByWhoDials(t *testing.T) {
	a := founder(t, "a.disk1")
	ours, theirs := a.authority(t), newIssuer(t, "theirs")
	for _, c := range []struct {
		name, words string
		cert        cryptotls.Certificate
		protocol    string
	}{
		{"another authority", "another cluster", theirs.papers("b.disk2", func(*x509.Certificate) {}), tls.ProtocolPeer},
		{"expired", "not valid now", ours.papers("b.disk2", func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}), tls.ProtocolPeer},
		{"what clients are shown", "none of a node", ours.papers("b.disk2", func(c *x509.Certificate) {
			c.URIs = nil
		}), tls.ProtocolPeer},
		{"for clients only", "none of a node", ours.papers("b.disk2", func(c *x509.Certificate) {
			c.ExtKeyUsage = c.ExtKeyUsage[1:]
		}), tls.ProtocolPeer},
		{"a web server", "is it a node of Skerry", ours.papers("b.disk2", func(*x509.Certificate) {}), "h2"},
		{"no ALPN at all", "is it a node of Skerry", ours.papers("b.disk2", func(*x509.Certificate) {}), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := &cryptotls.Config{Certificates: []cryptotls.Certificate{c.cert}}
			if c.protocol != "" {
				config.NextProtos = []string{c.protocol}
			}
			l, err := cryptotls.Listen("tcp", "127.0.0.1:0", config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte{0}) // welcome, so to speak
				_ = c.Close()
			}()
			_, err = a.Dial(t.Context(), tls.ProtocolPeer, l.Addr().String(), "b.disk2")
			if err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v, want words of %q", err, c.words)
			}
		})
	}
}

func TestRefusedNodesLearnWhy(t *testing.T) {
	a, other := founder(t, "a.disk1"), founder(t, "o.disk7")
	_, err := other.Dial(t.Context(), tls.ProtocolPeer, a.address, "")
	if !errors.Is(err, tls.ErrOtherCluster) || !strings.Contains(err.Error(), "another cluster's authority") {
		t.Errorf("%v", err)
	}
	// One that does not look whom it talks to learns it from the other side.
	cert := other.authority(t).papers("o.disk7", func(*x509.Certificate) {})
	_, err = offer(t.Context(), a.address, &cert, tls.ProtocolPeer)
	if err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("%v", err)
	}
}

// TestNoiseDoesNoHarm sends what is no TLS, or not all of it, or too slowly.
func TestNoiseDoesNoHarm(t *testing.T) {
	a := founder(t, "a.disk1")
	b := a.member(t, "b.disk2")
	for i, noise := range []string{
		"", "\x16", "\x16\x03\x01\xff\xff", "\x16\x03\x01\x00\x05\x01\x00\xff\xff\xff", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		strings.Repeat("\x00", 1<<16), "\x16\x03\x01\x40\x00" + strings.Repeat("\xff", 1<<14),
	} {
		for _, hangUp := range []bool{true, false} {
			c, err := net.Dial("tcp", a.address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			_, _ = c.Write([]byte(noise))
			if hangUp {
				_ = c.Close()
			}
		}
		if i%3 == 0 {
			fine(t, b, a)
		}
	}
	fine(t, b, a)
	begin := time.Now()
	if err := a.Close(); err != nil || time.Since(begin) > 5*time.Second {
		t.Errorf("close took %s with half open connections: %v", time.Since(begin), err)
	}
}

func TestTheLogIsNotFlooded(t *testing.T) {
	a := founder(t, "a.disk1")
	for range 50 {
		_, _ = offer(t.Context(), a.address, nil, tls.ProtocolPeer)
	}
	if n := strings.Count(a.log.String(), "node refused"); n != 1 {
		t.Errorf("%d lines about one stranger in a minute", n)
	}
	a.clock.set(2 * time.Minute)
	_, _ = offer(t.Context(), a.address, nil, tls.ProtocolPeer)
	a.log.holds(t, "node refused", "not_told=")
	// Many who differ.
	b := a.member(t, "b.disk2")
	if err := b.Raft().Close(); err != nil {
		t.Fatal(err)
	}
	ours := a.authority(t)
	for i := range 80 {
		cert := ours.papers(fmt.Sprint("x.", i), func(*x509.Certificate) {})
		_, _ = offer(t.Context(), b.address, &cert, tls.ProtocolRaft)
	}
	if n := strings.Count(b.log.String(), "node refused"); n != 64 {
		t.Errorf("%d lines in a minute", n)
	}
}

// FuzzGreeting has something else than a greeting said by who was dialed.
func FuzzGreeting(f *testing.F) {
	for _, s := range []string{"", "\x00", "\x00rest", "\x05no", "\x02no", "\x01\n", "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		ours, theirs := net.Pipe()
		go func() {
			_, _ = theirs.Write(said)
			_ = theirs.Close()
		}()
		err := tls.ReadGreeting(ours)
		_ = ours.Close()
		if welcome := len(said) > 0 && said[0] == 0; welcome != (err == nil) {
			t.Errorf("%q: %v", said, err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\x1b\x00") {
			t.Errorf("%q is in the error as it is: %q", said, err)
		}
	})
}
