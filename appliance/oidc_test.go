package appliance_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"skerry.dev/skerry/appliance"
	"skerry.dev/skerry/meta"
)

// An issuer that the configuration names lets its users in: as bearer, as password,
// and for a token of our own.
func TestAnIssuersUsersComeIn(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	srv := httptest.NewTLSServer(mux)
	defer srv.Close()
	answer := func(path string, v any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) })
	}
	answer("/.well-known/openid-configuration", map[string]string{"issuer": srv.URL, "jwks_uri": srv.URL + "/keys"})
	answer("/keys", jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256"}}})

	ca := filepath.Join(t.TempDir(), "ca.crt")
	pemCA := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(ca, pemCA, 0o600); err != nil {
		t.Fatal(err)
	}
	n := start(t, appliance.Config{Data: t.TempDir(), OIDC: appliance.OIDC{
		Issuer: srv.URL, Audience: "skerry", GroupsClaim: "roles", UsernamePrefix: "idp:",
		CAFile: ca,
	}})
	n.push("team/app", "v1", []byte("x"))
	n.grant(meta.SubjectGroup, "devs", "registry-viewer on team")
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": srv.URL, "aud": "skerry", "sub": "ann", "exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"devs"},
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	const path = "/v2/team/app/manifests/v1"
	for range 100 { // the keys are fetched beside the start
		if n.as(token, "GET", path, nil).status == http.StatusOK {
			break
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // another server: there is nothing else to wait for
	}
	n.sees(200, token, "GET", path, nil)
	n.sees(403, token, "DELETE", path, nil)
	n.sees(200, n.ticket(token, "repository:team/app:pull"), "GET", path, nil)
	n.password = token // of any name
	n.want(http.StatusOK, "GET", path, "", nil)
}

// An issuer that takes connections and says nothing delays neither the start nor
// anybody else.
func TestAnIssuerThatIsAwayIsNotWaitedFor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	began := time.Now()
	n := start(t, appliance.Config{Data: t.TempDir(), OIDC: appliance.OIDC{
		Issuer: "https://" + l.Addr().String(), Audience: "skerry",
	}})
	n.push("team/app", "v1", []byte("x"))
	if d := time.Since(began); d > 4*time.Second {
		t.Errorf("start and push took %v", d)
	}
}
