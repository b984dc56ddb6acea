package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/meta"
)

// A ca signs certificates of clients.
type ca struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t testing.TB) *ca {
	t.Helper()
	c := &ca{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	c.key, c.cert = c.make(template, nil)
	return c
}

func (c *ca) make(template *x509.Certificate, parent *ca) (*ecdsa.PrivateKey, *x509.Certificate) {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	signer, by := key, template
	if parent != nil {
		signer, by = parent.key, parent.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), signer)
	if err != nil {
		c.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		c.t.Fatal(err)
	}
	return key, cert
}

// client makes a client with a certificate.
func (c *ca) client(srv *httptest.Server, name string, groups ...string) *http.Client {
	c.t.Helper()
	key, cert := c.make(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name, Organization: groups},
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, c)
	t := srv.Client().Transport.(*http.Transport).Clone()
	// Whatever CAs the server names: a client may send what it likes.
	t.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}, nil
	}
	c.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t}
}

func TestClientCertificates(t *testing.T) {
	w, trusted, other := newWorld(t), newCA(t), newCA(t)
	w.made("boss", func(a *meta.Account) { a.Admin = true })
	w.grant("system:image-pusher", meta.SubjectUser, "node-1", "team")
	w.grant("registry-viewer", meta.SubjectGroup, "nodes", "shared")
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		p, err := w.Authenticate(r)
		if err != nil {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		for header, err := range map[string]error{
			"Push": p.Allow(auth.Push, "team/app"), "Pull": p.Allow(auth.Pull, "shared/app"),
			"Admin": p.Allow(auth.Administer, ""),
		} {
			if err == nil {
				rw.Header().Set(header, "yes")
			}
		}
		rw.Header().Set("Who", p.String())
		rw.Header().Set("How", string(p.Method))
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: x509.NewCertPool()}
	srv.TLS.ClientCAs.AddCert(trusted.cert)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	srv.StartTLS()
	defer srv.Close()
	for _, c := range []struct {
		client                 *http.Client
		who, push, pull, admin string
	}{
		{srv.Client(), "", "", "", ""},
		{trusted.client(srv, "node-1", "nodes"), "node-1", "yes", "yes", ""},
		{trusted.client(srv, "node-2", "nodes"), "node-2", "", "yes", ""},
		{trusted.client(srv, "boss"), "boss", "yes", "yes", "yes"},
		{trusted.client(srv, ""), "", "", "", ""},
		{trusted.client(srv, "system:anonymous"), "", "", "", ""},
		{trusted.client(srv, "token:ann"), "", "", "", ""}, // as robots are recorded
	} {
		resp, err := c.client.Get(srv.URL)
		w.must(err)
		w.must(resp.Body.Close())
		got := resp.Header
		if got.Get("Who") != c.who || got.Get("Push") != c.push || got.Get("Pull") != c.pull || got.Get("Admin") != c.admin ||
			c.who != "" && got.Get("How") != "certificate" {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if resp, err := other.client(srv, "node-1").Get(srv.URL); err == nil {
		w.must(resp.Body.Close())
		t.Error("a certificate of another CA was accepted")
	}
	// A header says more than a certificate.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	w.must(err)
	req.SetBasicAuth("node-1", "wrong")
	resp, err := trusted.client(srv, "node-1").Do(req)
	w.must(err)
	w.must(resp.Body.Close())
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong password beside a right certificate: %s", resp.Status)
	}
}

// A node verified the certificate, and passed the request on.
func TestACertificateThatAnotherNodeVerified(t *testing.T) {
	w, trusted := newWorld(t), newCA(t)
	w.grant("system:image-pusher", meta.SubjectUser, "node-1", "team")
	_, cert := trusted.make(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "node-1"}, NotAfter: time.Now().Add(time.Hour),
	}, trusted)
	shown := httptest.NewRequest(http.MethodPut, "https://"+host+"/v2/", nil)
	shown.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
	if auth.Certificate(shown) != nil {
		t.Error("a certificate counts that nobody verified")
	}
	shown.TLS.VerifiedChains = [][]*x509.Certificate{{cert, trusted.cert}}
	plain := httptest.NewRequest(http.MethodPut, "http://"+host+"/v2/", nil)
	passed, err := auth.Vouched(plain, auth.Certificate(shown))
	w.must(err)
	p, err := w.Authenticate(passed)
	w.must(err)
	if p.String() != "node-1" || p.Method != auth.MethodCertificate || p.Allow(auth.Push, "team/app") != nil {
		t.Errorf("there it is %s by %s", p, p.Method)
	}
	if _, err := w.Authenticate(plain); !errors.Is(err, auth.ErrNoCredentials) {
		t.Errorf("the request that nobody vouched for: %v", err)
	}
	if r, err := auth.Vouched(plain, auth.Certificate(plain)); r != plain || err != nil {
		t.Errorf("without a certificate: %v", err)
	}
	if _, err := auth.Vouched(plain, []byte("root")); err == nil {
		t.Error("what is no certificate is believed")
	}
	passed.TLS = new(tls.ConnectionState) // a client's own connection: nobody can vouch for it
	if _, err := w.Authenticate(passed); !errors.Is(err, auth.ErrNoCredentials) {
		t.Errorf("on a connection of its own: %v", err)
	}
}
