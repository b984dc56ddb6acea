//go:build acme

package acme

import (
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/test/skerry"
)

// A long life is one that does not end during a test.
const long = 24 * time.Hour

// options are those of a registry that has certificates from p.
func (p *pebble) options(args ...string) skerry.Options {
	return skerry.Options{Listen: port(p.tls), Args: append([]string{
		"--tls", "acme", "--acme-directory", p.directory, "--acme-ca", p.ca, "--log-level", "debug",
	}, args...)}
}

// shown is what a client sees that asks for a name, or for none.
func shown(t *testing.T, s *skerry.Server, name string) *x509.Certificate {
	t.Helper()
	c, err := cryptotls.Dial("tcp", s.Addr, &cryptotls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// trusted says whether a client that trusts roots accepts the server for a name.
func trusted(s *skerry.Server, name string, roots *x509.CertPool) error {
	c, err := cryptotls.Dial("tcp", s.Addr, &cryptotls.Config{ServerName: name, RootCAs: roots})
	if err != nil {
		return err
	}
	return c.Close()
}

// A status is the part of it about certificates.
type status struct {
	TLS struct {
		Mode         string
		Certificates []struct {
			From, Issuer, Error string
			Names               []string
			NotAfter            *time.Time
		}
	}
}

// trouble is what the status says about a name; absent if it says none.
func trouble(t *testing.T, s *skerry.Server, name string) (words string) {
	t.Helper()
	code, _, b := s.Do("GET", "/apis/skerry.dev/v1/status", nil, nil)
	var st status
	if err := json.Unmarshal(b, &st); err != nil || code != 200 || st.TLS.Mode != "acme" {
		t.Fatalf("status %d, %v: %s", code, err, b)
	}
	for _, c := range st.TLS.Certificates {
		if c.From == "acme" && c.Names[0] == name {
			return c.Error
		}
	}
	t.Fatalf("no %s in %s", name, b)
	return ""
}

func TestBothChallengesCertifyEveryName(t *testing.T) {
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			t.Parallel()
			p := newPebble(t, long)
			p.start()
			o := p.options("--name", "a.example", "--name", "B.example", "--name", "10.9.8.7", "--acme-email", "me@a.example")
			if challenge == "http-01" {
				o.Args, o.Listen = append(o.Args, "--acme-http", port(p.http)), ""
			}
			s := skerry.Start(t, o)
			for _, name := range []string{"a.example", "b.example"} {
				eventually(t, name, func() error { return trusted(s, name, p.roots()) })
				if words := trouble(t, s, name); words != "" {
					t.Errorf("status of %s: %s", name, words)
				}
			}
			if !strings.Contains(s.Log(), challenge) {
				t.Errorf("the log tells of no %s", challenge)
			}
			// Whoever comes another way finds the own CA's certificate.
			for _, name := range []string{"", "localhost", "other.example"} {
				if c := shown(t, s, name); c.Subject.CommonName != "skerry" {
					t.Errorf("asked for %q: shown %v", name, c.Subject)
				}
			}
			if ips := shown(t, s, "").IPAddresses; !strings.Contains(fmt.Sprint(ips), "10.9.8.7") {
				t.Errorf("the own CA's certificate is for %v", ips)
			}
		})
	}
}

func TestRestartKeepsTheCertificate(t *testing.T) {
	t.Parallel()
	p := newPebble(t, long)
	p.start()
	s := skerry.Start(t, p.options("--name", "a.example"))
	eventually(t, "a.example", func() error { return trusted(s, "a.example", p.roots()) })
	before := shown(t, s, "a.example")
	p.stop()
	for _, end := range []func(){s.Kill, s.Stop} {
		end()
		s.Restart()
		if after := shown(t, s, "a.example"); !after.Equal(before) {
			t.Errorf("after a restart: shown %v of %v", after.Subject, after.Issuer)
		}
	}
}

func TestRegistryStartsWhileTheACMEServerIsDown(t *testing.T) {
	t.Parallel()
	p := newPebble(t, long)
	s := skerry.Start(t, p.options("--name", "a.example"))
	eventually(t, "status", func() error {
		if !strings.Contains(trouble(t, s, "a.example"), "connection refused") {
			return errors.New("says nothing of it")
		}
		return nil
	})
	if c := shown(t, s, "a.example"); c.Subject.CommonName != "skerry" || c.VerifyHostname("a.example") != nil {
		t.Errorf("shown %v for %v, want the own CA's", c.Subject, c.DNSNames)
	}
	if n := strings.Count(s.Log(), "certificates: what was good stays in use"); n != 1 {
		t.Errorf("%d warnings, want one", n)
	}
	p.start() // and it is asked again by itself
	eventually(t, "a.example", func() error { return trusted(s, "a.example", p.roots()) })
	if words := trouble(t, s, "a.example"); words != "" {
		t.Errorf("still: %s", words)
	}
}

// TestCertificatesAreRenewedWithoutARestart has certificates of 12 seconds, and
// then the server is gone for longer than that.
func TestCertificatesAreRenewedWithoutARestart(t *testing.T) {
	t.Parallel()
	p := newPebble(t, 12*time.Second)
	p.start()
	s := skerry.Start(t, p.options("--name", "a.example"))
	roots := p.roots()
	var last *x509.Certificate
	for range 3 {
		eventually(t, "another certificate", func() error {
			if err := trusted(s, "a.example", roots); err != nil {
				return err
			}
			c := shown(t, s, "a.example")
			if last != nil && c.Equal(last) {
				return errors.New("the same")
			}
			last = c
			return nil
		})
	}
	p.stop()
	eventually(t, "the own CA's certificate", func() error {
		switch c := shown(t, s, "a.example"); {
		case c.Subject.CommonName != "skerry":
			return fmt.Errorf("shown %v until %v", c.Issuer, c.NotAfter)
		case time.Now().Before(last.NotAfter):
			t.Fatalf("the last good one was let go of before its end, %v", last.NotAfter)
		}
		return nil
	})
	if words := trouble(t, s, "a.example"); !strings.Contains(words, "connection refused") {
		t.Errorf("status: %q", words)
	}
}

func TestOneRefusedNameDoesNotHinderAnother(t *testing.T) {
	t.Parallel()
	p := newPebble(t, long)
	p.start()
	s := skerry.Start(t, p.options("--name", "blocked.example", "--name", "fine.example"))
	eventually(t, "fine.example", func() error { return trusted(s, "fine.example", p.roots()) })
	if words := trouble(t, s, "blocked.example"); !strings.Contains(words, "rejectedIdentifier") {
		t.Errorf("status of the blocked name: %q", words)
	}
}

func TestWrongDirectoriesAreNamed(t *testing.T) {
	t.Parallel()
	p := newPebble(t, long)
	p.start()
	p.directory = strings.TrimSuffix(p.directory, "/dir") + "/nothing-here"
	s := skerry.Start(t, p.options("--name", "a.example"))
	eventually(t, "status", func() error {
		if !strings.Contains(trouble(t, s, "a.example"), "404") {
			return errors.New("says nothing of it")
		}
		return nil
	})
	for _, c := range []struct{ args, words string }{
		{"--acme-directory http://ca.example/dir", "https://"},
		{"--acme-directory nonsense", "https://"},
		{"--acme-ca /does/not/exist", "/does/not/exist"},
		{"--name *.example", "wildcard"},
	} {
		other := skerry.New(t, p.options(append([]string{"--name", "a.example"}, strings.Fields(c.args)...)...))
		other.Options.Listen = "127.0.0.1:0"
		if err := other.TryRestart(); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want a word of %s", c.args, err, c.words)
		}
	}
}

// TestStopDoesNotWaitForASilentServer has an ACME server that takes connections
// and says nothing.
func TestStopDoesNotWaitForASilentServer(t *testing.T) {
	t.Parallel()
	p := newPebble(t, long)
	l, err := net.Listen("tcp", p.listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := skerry.Start(t, p.options("--name", "a.example"))
	if _, err := l.Accept(); err != nil { // it is being asked
		t.Fatal(err)
	}
	s.Options.Drain = 5 * time.Second
	s.Stop()
	_ = l.Close()
	p.start()
	s.Restart() // the lock of the dead process keeps nobody waiting
	eventually(t, "a.example", func() error { return trusted(s, "a.example", p.roots()) })
	if _, err := os.Stat(s.CA); err != nil {
		t.Error(err)
	}
}
