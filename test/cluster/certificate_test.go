//go:build cluster

package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	cryptotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/test/skerry"
)

// A person is a client with a certificate, or without, at an address of their own.
type person struct {
	t       *testing.T
	address string // of this machine
	show    []cryptotls.Certificate
	secret  string // a password that is wrong
}

// send sends a request to a node and returns status and the path of Location.
func (p *person) send(to *skerry.Server, method, path string, body []byte) (int, string) {
	p.t.Helper()
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(p.address)}}
	config := to.TLS()
	config.GetClientCertificate = func(*cryptotls.CertificateRequestInfo) (*cryptotls.Certificate, error) {
		return &append(p.show, cryptotls.Certificate{})[0], nil
	}
	transport := &http.Transport{DialContext: from.DialContext, TLSClientConfig: config, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(p.t.Context(), method, to.URL+path, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if p.secret != "" {
		req.SetBasicAuth("admin", p.secret)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	location := ""
	if u, err := resp.Location(); err == nil {
		location = u.RequestURI()
	}
	return resp.StatusCode, location
}

// certifier signs certificates of clients.
func certifier(t *testing.T) (pemFile string, sign func(name string) cryptotls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "people"}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pemFile = filepath.Join(t.TempDir(), "people.crt")
	writeFile(t, pemFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pemFile, func(name string) cryptotls.Certificate {
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return cryptotls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
}

// TestACertificateIsTheSamePersonOnEveryNode begins an upload at one node and goes on
// with it at the others.
func TestACertificateIsTheSamePersonOnEveryNode(t *testing.T) {
	people, sign := certifier(t)
	l := newLocal(t, 3, "--client-ca", people)
	for _, name := range []string{"ann", "bob"} {
		command(t, l.nodes[0], "role", "grant", "system:image-pusher", "--user", name, "--on", "team")
	}
	ann := &person{t: t, address: "127.0.0.2", show: []cryptotls.Certificate{sign("ann")}}
	bob := &person{t: t, address: "127.0.0.3", show: []cryptotls.Certificate{sign("bob")}}
	nobody := &person{t: t, address: "127.0.0.4"}
	begin := func(p *person) (at string) {
		soon(t, "the node hears of the grant", func() error {
			status, location := p.send(l.nodes[1], http.MethodPost, "/v2/team/app/blobs/uploads/", nil)
			if at = location; status != http.StatusAccepted {
				return fmt.Errorf("an upload begins with %d", status)
			}
			return nil
		})
		return at
	}
	begin(bob)
	at := begin(ann)
	if status, next := ann.send(l.nodes[0], http.MethodPatch, at, []byte("hello, ")); status != http.StatusAccepted {
		t.Errorf("at another node it goes on with %d", status)
	} else {
		at = next
	}
	end := at + "?"
	if strings.Contains(at, "?") {
		end = at + "&"
	}
	end += "digest=" + digest.FromString("hello, world").String()
	if status, _ := bob.send(l.nodes[0], http.MethodPut, end, []byte("world")); status != http.StatusNotFound {
		t.Errorf("somebody else ends it with %d, want 404", status)
	}
	if status, _ := nobody.send(l.nodes[2], http.MethodPut, end, []byte("world")); status != http.StatusUnauthorized {
		t.Errorf("nobody ends it with %d, want 401", status)
	}
	if status, _ := ann.send(l.nodes[2], http.MethodPut, end, []byte("world")); status != http.StatusCreated {
		t.Errorf("it ends with %d", status)
	}
	soon(t, "one node records who it was", func() error { // which it does after the answer
		var said []string
		for _, n := range l.nodes {
			for line := range strings.Lines(n.Log()) {
				if strings.Contains(line, "act=push") && strings.Contains(line, "result=done") {
					said = append(said, line)
				}
			}
		}
		if len(said) != 1 || !strings.Contains(said[0], "who=ann from=127.0.0.2:") ||
			!strings.Contains(said[0], "how=certificate") {
			return fmt.Errorf("all nodes together record %q", said)
		}
		return nil
	})
}

// TestLimitsCountTheClientNotTheNode fails logins through another node.
func TestLimitsCountTheClientNotTheNode(t *testing.T) {
	l := newLocal(t, 2)
	_, head, _ := l.nodes[0].Do(http.MethodPost, "/v2/team/app/blobs/uploads/", nil, nil)
	at := strings.TrimPrefix(head.Get("Location"), l.nodes[0].URL)
	guesser := &person{t: t, address: "127.0.0.2", secret: "wrong"}
	other := &person{t: t, address: "127.0.0.3", secret: "wrong"}
	status := 0
	for range 30 {
		if status, _ = guesser.send(l.nodes[1], http.MethodGet, at, nil); status == http.StatusTooManyRequests {
			break
		}
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("after 30 wrong passwords: %d", status)
	}
	if status, _ := other.send(l.nodes[1], http.MethodGet, at, nil); status != http.StatusUnauthorized {
		t.Errorf("a client elsewhere gets %d, want 401", status)
	}
	if status, _, _ := l.nodes[1].Do(http.MethodGet, at, nil, nil); status != http.StatusNoContent {
		t.Errorf("with the right password: %d", status)
	}
}
