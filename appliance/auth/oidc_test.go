package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/meta"
)

// An issuer serves discovery and keys over TLS, and signs.
type issuer struct {
	*httptest.Server
	t testing.TB

	mu      sync.Mutex // guards what follows
	signers map[string]jose.Signer
	keys    jose.JSONWebKeySet
	away    bool
	asked   atomic.Int64
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{t: t, signers: map[string]jose.Signer{}}
	i.Server = httptest.NewTLSServer(i)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.asked.Add(1)
	i.mu.Lock()
	defer i.mu.Unlock()
	var answer any
	switch {
	case i.away:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case r.URL.Path == "/.well-known/openid-configuration":
		answer = map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"}
	case r.URL.Path == "/keys":
		answer = i.keys
	default:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// rotate gives the issuer a new key of that name.
func (i *issuer) rotate(id string, alg jose.SignatureAlgorithm) {
	i.t.Helper()
	var private, public any
	if alg == jose.ES256 {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			i.t.Fatal(err)
		}
		private, public = k, k.Public()
	} else {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			i.t.Fatal(err)
		}
		private, public = k, k.Public()
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: private, KeyID: id}}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.signers[id] = s
	i.keys.Keys = append(i.keys.Keys, jose.JSONWebKey{Key: public, KeyID: id, Algorithm: string(alg), Use: "sig"})
}

func (i *issuer) setAway(away bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.away = away
}

// sign makes a token of good claims, changed.
func (i *issuer) sign(now time.Time, id string, change map[string]any) string {
	i.t.Helper()
	c := map[string]any{
		"iss": i.URL, "aud": []string{"skerry"}, "sub": "ann", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"groups": []string{"dev", "system:masters"}, "email": "ann@example.org", "email_verified": true,
	}
	maps.Copy(c, change)
	i.mu.Lock()
	defer i.mu.Unlock()
	token, err := jwt.Signed(i.signers[id]).Claims(c).Serialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

// trusting makes a world that trusts i; run says whether keys are fetched.
func (i *issuer) trusting(run bool, change ...func(*auth.OIDCConfig)) *world {
	i.t.Helper()
	cfg := auth.OIDCConfig{Issuer: i.URL, Audience: "skerry", GroupsClaim: "groups", Client: i.Client()}
	for _, c := range change {
		c(&cfg)
	}
	o, err := auth.NewOIDC(cfg)
	if err != nil {
		i.t.Fatal(err)
	}
	w := newWorld(i.t, func(c *auth.Config) { c.OIDC = o })
	if !run {
		return w
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }() // ended by the cleanup
	i.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			i.t.Error(err)
		}
	})
	for range 500 {
		if i.asked.Load() >= 2 && o.Ready() {
			break
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // a server over a network: there is nothing else to wait for
	}
	return w
}

func TestTokensOfAnIssuer(t *testing.T) {
	i := newIssuer(t)
	i.rotate("one", jose.RS256)
	i.rotate("two", jose.ES256)
	w := i.trusting(true)
	name := i.URL + "#ann"
	w.grant("system:image-pusher", meta.SubjectUser, name, "team")
	w.grant("registry-viewer", meta.SubjectGroup, "dev", "dev")
	w.grant("cluster-admin", meta.SubjectGroup, "system:masters", "*")
	for _, key := range []string{"one", "two"} {
		token := i.sign(w.now(), key, nil)
		for _, p := range []*auth.Principal{w.in(w.bearer(token)), w.in(w.login("whoever", token))} {
			if p.String() != name || p.Method != auth.MethodOIDC {
				t.Errorf("%s by %s", p, p.Method)
			}
			w.wants(p, auth.Push, "team/app", nil)
			w.wants(p, auth.Pull, "dev/app", nil)
			w.wants(p, auth.Push, "dev/app", auth.ErrDenied)
			w.wants(p, auth.Administer, "", auth.ErrDenied) // an issuer does not give what is the system's
		}
	}
	token := i.sign(w.now(), "one", map[string]any{"exp": w.now().Add(time.Minute).Unix(), "groups": "dev"})
	got := w.token(basic("oauth2", token), url.Values{"scope": {"repository:dev/app:pull"}, "offline_token": {"true"}})
	if got.RefreshToken != "" || got.ExpiresIn != 60 {
		t.Errorf("what an issuer vouches for a minute is good for longer: %+v", got)
	}
	w.wants(w.in(w.bearer(got.Token)), auth.Pull, "dev/app", nil)
	w.in(w.bearer(token))
	w.pass(time.Minute + time.Second)
	w.out(w.bearer(token)) // remembered as it is
	w.out(w.bearer(got.Token))
}

func TestTokensOfAnIssuerThatAreWrong(t *testing.T) {
	i, other := newIssuer(t), newIssuer(t)
	i.rotate("one", jose.RS256)
	other.rotate("one", jose.RS256)
	w := i.trusting(true)
	now := w.now()
	good := i.sign(now, "one", nil)
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"expired":         i.sign(now, "one", map[string]any{"exp": now.Add(-time.Second).Unix()}),
		"not yet":         i.sign(now, "one", map[string]any{"nbf": now.Add(time.Hour).Unix()}),
		"other audience":  i.sign(now, "one", map[string]any{"aud": "somebody"}),
		"other issuer":    other.sign(now, "one", nil),
		"foreign key":     other.sign(now, "one", map[string]any{"iss": i.URL}),
		"no user":         i.sign(now, "one", map[string]any{"sub": ""}),
		"user of no text": i.sign(now, "one", map[string]any{"sub": 7}),
		"groups of none":  i.sign(now, "one", map[string]any{"groups": map[string]int{"a": 1}}),
		"truncated":       good[:len(good)-3],
		"alg none":        "eyJhbGciOiJub25lIn0." + parts[1] + ".",
	} {
		if _, err := w.bearer(token); !errors.Is(err, auth.ErrBadCredentials) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.in(w.bearer(good))
}

func TestNamesFromAnIssuer(t *testing.T) {
	i := newIssuer(t)
	i.rotate("one", jose.RS256)
	name := func(change func(*auth.OIDCConfig), claims map[string]any) string {
		w := i.trusting(true, change)
		p, err := w.bearer(i.sign(w.now(), "one", claims))
		if err != nil {
			return "refused"
		}
		return p.String()
	}
	email := func(c *auth.OIDCConfig) { c.UsernameClaim = "email" }
	none := func(c *auth.OIDCConfig) { c.UsernamePrefix = "-" }
	for _, c := range []struct {
		change func(*auth.OIDCConfig)
		claims map[string]any
		want   string
	}{
		{func(*auth.OIDCConfig) {}, nil, i.URL + "#ann"},
		{func(c *auth.OIDCConfig) { c.UsernamePrefix = "idp:" }, nil, "idp:ann"},
		{none, nil, "ann"},
		{email, nil, "ann@example.org"},
		{email, map[string]any{"email_verified": false}, "refused"},
		{none, map[string]any{"sub": "system:admin"}, "refused"},
		{none, map[string]any{"sub": "token:ann"}, "refused"},
		{none, map[string]any{"sub": "a b"}, "refused"},
	} {
		if got := name(c.change, c.claims); got != c.want {
			t.Errorf("%v: %q, want %q", c.claims, got, c.want)
		}
	}
	// The account of the same name is somebody else.
	w := i.trusting(true, none)
	w.made("ann", func(a *meta.Account) { a.Admin = true })
	w.wants(w.in(w.bearer(i.sign(w.now(), "one", nil))), auth.Administer, "", auth.ErrDenied)
}

func TestAnIssuersNewKeyIsFetchedWhenItIsMet(t *testing.T) {
	i := newIssuer(t)
	i.rotate("one", jose.RS256)
	o, err := auth.NewOIDC(auth.OIDCConfig{Issuer: i.URL, Audience: "skerry", Client: i.Client()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }() // ended by cancel
	w := newWorld(t, func(c *auth.Config) { c.OIDC = o })
	for range 500 {
		if o.Ready() {
			break
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // a server over a network
	}
	i.rotate("two", jose.RS256)
	before := i.asked.Load()
	w.out(w.bearer(i.sign(w.now(), "two", nil))) // the keys are quite new: nobody is asked
	if n := i.asked.Load() - before; n != 0 {
		t.Errorf("the issuer was asked %d times within seconds", n)
	}
	o.Age()
	w.in(w.bearer(i.sign(w.now(), "two", nil)))
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// An issuer that is away costs nobody anything but its own users, and those whose
// keys are known not even that.
func TestAnIssuerThatIsAway(t *testing.T) {
	i := newIssuer(t)
	i.rotate("one", jose.RS256)
	i.setAway(true)
	w := i.trusting(false)
	secret := w.made("ann")
	began := time.Now()
	w.in(w.login("ann", secret))
	w.wants(w.in(w.bearer(w.token(basic("ann", secret), nil).Token)), auth.Pull, "a", auth.ErrDenied)
	if d := time.Since(began); d > time.Second {
		t.Errorf("local logins took %v", d)
	}
	w.out(w.bearer(i.sign(w.now(), "one", nil)))

	i.setAway(false)
	w = i.trusting(true)
	i.setAway(true)
	w.in(w.bearer(i.sign(w.now(), "one", nil)))
	i.Close()
	w.in(w.bearer(i.sign(w.now(), "one", map[string]any{"jti": "another"})))
}

// Without an answer Run asks again and again, and ends when it is told to.
func TestAnIssuerIsAskedUntilItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		client := &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			asked++
			return nil, errors.New("no route to host")
		})}
		o, err := auth.NewOIDC(auth.OIDCConfig{Issuer: "https://issuer.test", Audience: "skerry", Client: client})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 59*time.Second)
		defer cancel()
		if err := o.Run(ctx); err != nil {
			t.Error(err)
		}
		if asked != 6 {
			t.Errorf("asked %d times in a minute", asked)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestIssuersThatCannotBe(t *testing.T) {
	for _, c := range []auth.OIDCConfig{
		{Issuer: "http://issuer.test", Audience: "a"},
		{Issuer: "issuer.test", Audience: "a"},
		{Issuer: "https://issuer.test"},
	} {
		if _, err := auth.NewOIDC(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}
