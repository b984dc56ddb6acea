//go:build acme

package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	cryptotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take that has to happen.
const patience = time.Minute

// A pebble is an ACME server, its DNS server, and the ports at which it looks
// for those who ask it.
type pebble struct {
	t         *testing.T
	dir       string
	directory string // URL
	ca        string // file with the CA of the directory's own certificate
	http, tls int    // the ports of the challenges

	listen, management, dns string
	life                    time.Duration // of what it issues
	cmd                     *exec.Cmd     // nil while it does not run
	once                    sync.Once     // somebody answers HTTP-01
}

// newPebble prepares a server that issues certificates for so long.
func newPebble(t *testing.T, life time.Duration) *pebble {
	t.Helper()
	p := &pebble{t: t, dir: t.TempDir(), life: life}
	ports := freePorts(t, 6)
	addr := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	p.http, p.tls = ports[0], ports[1]
	p.listen, p.management, p.dns = addr(2), addr(3), addr(4)
	p.directory, p.ca = "https://"+p.listen+"/dir", filepath.Join(p.dir, "cert.pem")
	p.writeCert()
	p.program("pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", p.dns,
		"-http01", "", "-https01", "", "-tlsalpn01", "", "-management", addr(5))
	return p
}

// freePorts finds ports that nobody listens on at present.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// start runs the server and waits until it answers.
func (p *pebble) start() {
	p.t.Helper()
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": p.listen, "managementListenAddress": p.management,
		"certificate": p.ca, "privateKey": filepath.Join(p.dir, "key.pem"),
		"httpPort": p.http, "tlsPort": p.tls, "domainBlocklist": []string{"blocked.example"},
		"certificateValidityPeriod": int(p.life.Seconds()),
	}})
	if err != nil {
		p.t.Fatal(err)
	}
	file := filepath.Join(p.dir, "config.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.cmd = p.program("pebble", "-config", file, "-dnsserver", p.dns)
	eventually(p.t, "pebble answers", func() error { return probe(p.client(), p.directory) })
}

// stop ends the server, as a machine that goes down would.
func (p *pebble) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Kill() // fails only when it has ended
	_ = p.cmd.Wait()
	p.cmd = nil
}

// program runs a program until the end of the test.
func (p *pebble) program(name string, args ...string) *exec.Cmd {
	p.t.Helper()
	cmd := exec.Command(name, args...)
	// Every proof anew, at full speed; the refused nonces are left as they are.
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(p.dir, name+".log"))
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("start %s (make packages installs it): %v", name, err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b, err := os.ReadFile(log.Name()); p.t.Failed() && err == nil {
			p.t.Logf("log of %s:\n%s", name, b[max(0, len(b)-4096):])
		}
		_ = log.Close()
	})
	return cmd
}

// client trusts the certificate of pebble itself.
func (p *pebble) client() *http.Client {
	p.t.Helper()
	b, err := os.ReadFile(p.ca)
	if err != nil {
		p.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &cryptotls.Config{RootCAs: roots}, DisableKeepAlives: true,
	}}
}

// roots are what clients must trust to trust what pebble issues. It makes them
// anew at each start.
func (p *pebble) roots() *x509.CertPool {
	p.t.Helper()
	resp, err := p.client().Get("https://" + p.management + "/roots/0")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(b) {
		p.t.Fatalf("roots of pebble: %v\n%s", err, b)
	}
	return roots
}

// writeCert makes the certificate of pebble's own address, which is its own CA.
func (p *pebble) writeCert() {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pebble"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		p.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		p.ca:                            {Type: "CERTIFICATE", Bytes: der},
		filepath.Join(p.dir, "key.pem"): {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
}

func probe(c *http.Client, url string) error {
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// eventually waits until there is no error any more.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not after %s: %v", what, patience, err)
		}
	}
}

func port(n int) string { return "127.0.0.1:" + strconv.Itoa(n) }

// newServer serves h, and does not say when clients go away.
func newServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), ReadHeaderTimeout: patience}
}

// want is an error in these words unless it is so.
func want(is bool, words string) error {
	if is {
		return nil
	}
	return errors.New(words)
}
