package appliance_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	cryptotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/api"
)

func TestPlainHTTPIsForLoopback(t *testing.T) {
	for _, c := range []struct {
		listen   string
		anywhere bool
		refused  bool
	}{
		{"127.0.0.1:0", false, false},
		{"127.8.8.8:0", false, false},
		{"localhost:0", false, false},
		{"[::1]:0", false, false},
		{":0", false, true},
		{"0.0.0.0:0", false, true},
		{"[::]:0", false, true},
		{"192.0.2.1:0", false, true},
		{"registry.example:0", false, true},
		{"0.0.0.0:0", true, false},
	} {
		cfg := appliance.Config{Listen: c.listen, TLS: appliance.TLSOff, PlainAnywhere: c.anywhere}
		err := appliance.Validate(cfg)
		if refused := err != nil && strings.Contains(err.Error(), "plain-anywhere"); refused != c.refused {
			t.Errorf("%s, anywhere %t: %v, want refused %t", c.listen, c.anywhere, err, c.refused)
		}
	}
}

func TestTLSOptionsThatDoNotGoTogetherAreRefused(t *testing.T) {
	for words, cfg := range map[string]appliance.Config{
		"give both the certificate": {TLS: appliance.TLSFiles, TLSCert: "c"},
		"they are for tls files":    {TLSCert: "c", TLSKey: "k"},
		"give the host names":       {TLS: appliance.TLSACME},
		"they are for tls acme":     {ACMEHTTP: ":80"},
		"without TLS no client":     {TLS: appliance.TLSOff, Listen: "localhost:0", ClientCA: "ca"},
		"want self, acme, files":    {TLS: "maybe"},
	} {
		if err := appliance.Validate(cfg); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want a word of %q", err, words)
		}
	}
}

// certify makes a CA that is its own leaf, PEM with the key behind it.
func certify(t *testing.T, cn string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: cn},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// said tells when a log says some words.
type said struct {
	words string
	told  chan struct{}
	once  sync.Once
}

func (s *said) Write(b []byte) (int, error) {
	if strings.Contains(string(b), s.words) {
		s.once.Do(func() { close(s.told) })
	}
	return len(b), nil
}

func TestCertificateFilesAreServedAndReloaded(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	oneCert, oneKey := certify(t, "one")
	twoCert, twoKey := certify(t, "two")
	clientCert, clientKey := certify(t, "client")
	refused := &said{words: "level=DEBUG msg=\"http: TLS handshake error", told: make(chan struct{})}
	cfg := appliance.Config{
		Data: t.TempDir(), Node: "test", Listen: "127.0.0.1:0", TLS: appliance.TLSFiles,
		TLSCert: put("tls.crt", oneCert), TLSKey: put("tls.key", oneKey), ClientCA: put("clients.crt", twoCert),
	}
	a, err := appliance.Open(t.Context(), cfg, slog.New(slog.NewTextHandler(refused, &slog.HandlerOptions{
		Level: slog.LevelDebug,
	})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }() // ended by cancel
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	url := "https://" + a.Addr().String()
	get := func(path string, trusted []byte, show ...cryptotls.Certificate) (int, string, error) {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(trusted)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &cryptotls.Config{
			RootCAs: pool,
			GetClientCertificate: func(*cryptotls.CertificateRequestInfo) (*cryptotls.Certificate, error) {
				return &append(show, cryptotls.Certificate{})[0], nil
			},
		}}}
		resp, err := client.Get(url + path)
		if err != nil {
			return 0, "", err
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), err
	}

	if code, _, err := get("/readyz", oneCert); code != 200 {
		t.Errorf("status %d, %v", code, err)
	}
	if code, body, _ := get("/ca.crt", oneCert); code != 404 {
		t.Errorf("a CA that signed nothing is handed out: %s", body)
	}
	put("tls.crt", twoCert) // and the key is still the old one
	if err := a.Reload(cfg); err != nil {
		t.Error(err)
	}
	if s := tlsStatus(t, cfg.Data); s.Mode != "files" || len(s.Certificates) != 1 || s.Certificates[0].Error == "" {
		t.Errorf("status %+v", s)
	}
	if code, _, err := get("/readyz", oneCert); code != 200 {
		t.Errorf("status %d, %v", code, err)
	}
	put("tls.key", twoKey)
	if err := a.Reload(cfg); err != nil {
		t.Error(err)
	}
	if code, _, err := get("/readyz", twoCert); code != 200 {
		t.Errorf("the new pair: status %d, %v", code, err)
	}
	if s := tlsStatus(t, cfg.Data); len(s.Certificates) != 1 || s.Certificates[0].Error != "" {
		t.Errorf("status %+v", s)
	}
	foreign, err := cryptotls.X509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, err := get("/readyz", twoCert, foreign); err == nil {
		t.Errorf("a client of a foreign CA was served: status %d", code)
	}
	<-refused.told // in the log, after the client knows
}

// tlsStatus asks at the socket of a data directory.
func tlsStatus(t *testing.T, data string) api.TLSStatus {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(data, appliance.SocketName))
		},
		DisableKeepAlives: true,
	}}
	resp, err := client.Get("http://skerry" + api.Prefix + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var s api.Status
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s.TLS
}
