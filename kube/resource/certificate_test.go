package resource_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/kube/resource"
)

// pair is a certificate for a name and its key, in PEM.
func pair(t *testing.T, name string, until time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func TestRouteCertificate(t *testing.T) {
	const host = "registry.example.com"
	now := time.Now()
	cert, key := pair(t, host, now.Add(time.Hour))
	_, otherKey := pair(t, host, now.Add(time.Hour))
	old, oldKey := pair(t, host, now.Add(-time.Hour))
	foreign, foreignKey := pair(t, "other.example.com", now.Add(time.Hour))
	for _, c := range []struct {
		name   string
		secret map[string][]byte
		want   string
	}{
		{"good", map[string][]byte{"tls.crt": cert, "tls.key": key, "tls.cacrt": foreign}, ""},
		{"keys of other names", map[string][]byte{"cert": cert, "key": key}, "needs the keys tls.crt and tls.key"},
		{"another key", map[string][]byte{"tls.crt": cert, "tls.key": otherKey}, "tls.key is not the key of tls.crt"},
		{"no certificate", map[string][]byte{"tls.crt": []byte("x"), "tls.key": key}, "tls.crt: no certificate in PEM"},
		{"no key", map[string][]byte{"tls.crt": cert, "tls.key": []byte("x")}, "tls.key: no private key in PEM"},
		{"not a key", map[string][]byte{"tls.crt": cert, "tls.key": cert}, "tls.key: no private key of a kind"},
		{"another name", map[string][]byte{"tls.crt": foreign, "tls.key": foreignKey}, "for another name"},
		{"over", map[string][]byte{"tls.crt": old, "tls.key": oldKey}, "ended at"},
	} {
		got, _, err := resource.RouteCertificate(c.secret, host, now)
		if c.want == "" {
			if err != nil || strings.Count(string(got), "BEGIN CERTIFICATE") != 2 {
				t.Errorf("%s: %v, %s", c.name, err, got)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestTrustedCertificates(t *testing.T) {
	cert, _ := pair(t, "ca", time.Now().Add(time.Hour))
	for want, data := range map[string]map[string][]byte{
		"":                             {"registry.example.com..5000": cert},
		"has no certificate":           {},
		"key b: no certificate in PEM": {"a": cert, "b": []byte("nothing")},
	} {
		if got := resource.CheckCertificates("ours", data); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
