package appliance_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	cryptotls "crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/appliance/api"
)

// routeSecret is a Secret with a certificate for a host.
func routeSecret(t *testing.T, name, host string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": map[string]string{"name": name},
		"data": map[string][]byte{
			"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
			"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// socket speaks to the control API of a data directory.
func socket(data string) *api.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(data, appliance.SocketName))
	}
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true}
	return &api.Client{HTTP: &http.Client{Transport: transport}, Base: "http://skerry"}
}

// shown is the first name of the certificate that a client gets who asks for host.
func (n *node) shown(host string) string {
	n.t.Helper()
	conn, err := cryptotls.Dial("tcp", n.a.Addr().String(), &cryptotls.Config{
		ServerName: host, InsecureSkipVerify: true, //nolint:gosec // which one is shown is the question
	})
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return strings.Join(conn.ConnectionState().PeerCertificates[0].DNSNames, " ")
}

// A route is served with its own certificate from the moment its Secret is
// there, also after a restart, until it is taken away; a route that cannot be
// served does not keep the others from it.
func TestRoutesAreServedWithTheirCertificates(t *testing.T) {
	const host = "registry.example.com"
	n := start(t, appliance.Config{
		Data: filepath.Join(t.TempDir(), "data"), TLS: appliance.TLSSelf, Names: []string{"edge.example.com"},
	})
	client := socket(n.data)
	apply := func(doc string) {
		t.Helper()
		if _, err := client.ApplyObject(t.Context(), api.ApplyRequest{Document: doc}); err != nil {
			t.Fatal(err)
		}
	}
	degraded := func() string {
		t.Helper()
		s, err := client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range s.Conditions {
			if c.Type == "Degraded" && c.Status == "True" {
				return c.Message
			}
		}
		return ""
	}
	routes := fmt.Sprintf("{name: own, hostname: %s, secretName: own}, {name: node, hostname: edge.example.com}", host)
	apply(configHead + "spec: {managementState: Managed, replicas: 1, routes: [" + routes + "]}")
	text := degraded()
	if !strings.Contains(text, "there is no Secret openshift-image-registry/own") || strings.Contains(text, "node") {
		t.Errorf("degraded: %s", text)
	}
	if got := n.shown(host); got == host {
		t.Errorf("a certificate that nobody gave: %s", got)
	}
	apply(routeSecret(t, "own", host))
	if text := degraded(); text != "" {
		t.Errorf("degraded: %s", text)
	}
	if got := n.shown(host); got != host {
		t.Errorf("%s is shown the certificate of %s", host, got)
	}
	if got := n.shown("edge.example.com"); got == host {
		t.Errorf("the node's own name is shown the certificate of %s", got)
	}

	apply(configHead + "spec: {managementState: Managed, replicas: 1, routes: [" + routes +
		", {name: lost, hostname: lost.example.com, secretName: lost}, {name: bare, hostname: bare.example.com}]}")
	for _, want := range []string{
		"route lost (host lost.example.com)", "route bare (host bare.example.com) not admitted: it has no secretName",
	} {
		if text := degraded(); !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	n.stop()
	n = start(t, appliance.Config{Data: n.data, TLS: appliance.TLSSelf})
	if got := n.shown(host); got != host {
		t.Errorf("after a restart %s is shown the certificate of %s", host, got)
	}
	client = socket(n.data)
	apply(configHead + "spec: {managementState: Managed, replicas: 1}")
	if got := n.shown(host); got == host {
		t.Errorf("the route is gone and its certificate still shown")
	}
}
