package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/meta"
)

// claimsOf reads a token without verifying it.
func claimsOf(t testing.TB, token string) (c map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("token %q", token)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestATokenIsWhatWasAskedAndAllowed(t *testing.T) {
	w := newWorld(t)
	secret := w.made("ann")
	w.grant("system:image-pusher", meta.SubjectUser, "ann", "team")
	w.grant("registry-viewer", meta.SubjectUser, "ann", "shared")
	got := w.token(basic("ann", secret), scoped(
		"repository:team/app:pull,push,delete repository:shared/app:*", "repository:secret/app:pull",
		"registry:catalog:*", "repository(plugin):team/app:pull", "nonsense", "a:b", "repository:TEAM/app:pull",
		"repository:team/../secret/app:pull",
	))
	if got.status != http.StatusOK || got.ExpiresIn != 300 || got.head.Get("Cache-Control") != "no-store" {
		t.Fatalf("%+v", got)
	}
	access, _ := json.Marshal(claimsOf(t, got.Token)["access"])
	if want := `[{"actions":["pull","push"],"name":"team/app","type":"repository"},` +
		`{"actions":["pull"],"name":"shared/app","type":"repository"},` +
		`{"actions":["*"],"name":"catalog","type":"registry"}]`; string(access) != want {
		t.Errorf("access %s, want %s", access, want)
	}
	p := w.in(w.bearer(got.Token))
	w.wants(p, auth.Pull|auth.Push, "team/app", nil)
	w.wants(p, auth.Pull, "team/other", auth.ErrScope)  // allowed, not asked for
	w.wants(p, auth.Pull, "secret/app", auth.ErrDenied) // asked for, not allowed
	w.wants(p, auth.Push, "shared/app", auth.ErrDenied)
	w.wants(p, auth.Administer, "", auth.ErrDenied)
	w.wants(p, auth.Catalog, "", nil)
	w.wants(p, auth.Catalog, "secret/app", auth.ErrDenied)
	if p.String() != "ann" || p.Method != auth.MethodPassword {
		t.Errorf("%s by %s", p, p.Method)
	}
	if empty := w.token(basic("ann", secret), nil); fmt.Sprint(claimsOf(t, empty.Token)["access"]) != "[]" {
		t.Error("a token without a scope has access")
	}
}

// An administrator's token does not administer: it narrows.
func TestNoTokenAdministers(t *testing.T) {
	w := newWorld(t)
	secret := w.made("root", func(a *meta.Account) { a.Admin = true })
	got := w.token(basic("root", secret), scoped("repository:a/b:*", "registry:catalog:*", "registry:admin:*"))
	w.wants(w.in(w.bearer(got.Token)), auth.Administer, "", auth.ErrScope)
}

func TestAnonymousTokens(t *testing.T) {
	w := newWorld(t)
	w.grant("system:image-puller", meta.SubjectGroup, auth.GroupUnauthenticated, "public")
	got := w.token("", url.Values{
		"scope": {"repository:public/app:pull,push repository:team/app:pull"}, "offline_token": {"true"},
	})
	if got.RefreshToken != "" {
		t.Error("nobody got a refresh token")
	}
	p := w.in(w.bearer(got.Token))
	w.wants(p, auth.Pull, "public/app", nil)
	w.wants(p, auth.Push, "public/app", auth.ErrDenied)
	w.wants(p, auth.Pull, "team/app", auth.ErrDenied)
	if !p.Anonymous() {
		t.Errorf("principal %s", p)
	}
}

// Each is a token of ours with one thing wrong.
func TestTokensThatAreWrongAreRefused(t *testing.T) {
	w := newWorld(t)
	secret := w.made("ann")
	w.grant("registry-admin", meta.SubjectUser, "ann", "team")
	good := w.token(basic("ann", secret), scoped("repository:team/app:pull"))
	refresh := w.token(basic("ann", secret), url.Values{"offline_token": {"true"}}).RefreshToken
	claims := claimsOf(t, good.Token)
	with := func(change map[string]any) map[string]any {
		c := maps.Clone(claims)
		maps.Copy(c, change)
		return c
	}
	signed := func(c map[string]any) string {
		token, err := w.Sign(c)
		w.must(err)
		return token
	}
	now := w.now().Unix()
	foreign, err := auth.SignWith([]byte(strings.Repeat("another key ", 4)), claims)
	w.must(err)
	parts := strings.Split(good.Token, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	all := []auth.Scope{{Type: "repository", Name: "team/app", Actions: []string{"*"}}}
	wide, err := json.Marshal(with(map[string]any{"access": all}))
	w.must(err)
	w.in(w.bearer(signed(claims))) // the way of making them is not what is wrong
	for name, token := range map[string]string{
		"expired":             signed(with(map[string]any{"exp": now})),
		"without an end":      signed(with(map[string]any{"exp": nil})),
		"from the future":     signed(with(map[string]any{"iat": now + 3600, "exp": now + 3900})),
		"without a beginning": signed(with(map[string]any{"iat": nil})),
		"foreign key":         foreign,
		"other audience":      signed(with(map[string]any{"aud": "other.test:5000"})),
		"no audience":         signed(with(map[string]any{"aud": nil})),
		"other issuer":        signed(with(map[string]any{"iss": "elsewhere"})),
		"refresh token":       refresh,
		"other use":           signed(with(map[string]any{"use": ""})),
		"other user":          signed(with(map[string]any{"sub": "bob"})),
		"other secret":        signed(with(map[string]any{"bound": "AAAA"})),
		"alg none":            b64([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + ".",
		"alg none, signed":    b64([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "." + parts[2],
		"alg RS256":           b64([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + parts[1] + "." + parts[2],
		"truncated":           good.Token[:len(good.Token)-2],
		"without a signature": parts[0] + "." + parts[1] + ".",
		"two parts":           parts[0] + "." + parts[1],
		"altered":             parts[0] + "." + parts[1][:20] + "A" + parts[1][21:] + "." + parts[2],
		"widened":             parts[0] + "." + b64(wide) + "." + parts[2],
		"empty":               "",
	} {
		if _, err := w.bearer(token); !errors.Is(err, auth.ErrBadCredentials) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := request("Bearer " + good.Token)
	w.in(w.Authenticate(r))
	r.Host = "other.test:5000" // also when it is remembered
	w.out(w.Authenticate(r))
}

func TestTokensEndAfterFiveMinutes(t *testing.T) {
	w := newWorld(t)
	secret := w.made("ann")
	got := w.token(basic("ann", secret), scoped("repository:a/b:pull"))
	w.in(w.bearer(got.Token))
	w.pass(auth.TokenLife - time.Second)
	w.in(w.bearer(got.Token))
	w.pass(time.Second)
	w.out(w.bearer(got.Token)) // remembered as it is
	if len(w.failures()) > 0 {
		t.Error("the end of a token was told of as a failed login")
	}
}

// Set back by an hour, a clock would give tokens an hour more.
func TestAClockSetBackProlongsNothing(t *testing.T) {
	w := newWorld(t)
	secret := w.made("ann")
	got := w.token(basic("ann", secret), scoped("repository:a/b:pull"))
	w.in(w.bearer(got.Token))
	w.pass(-time.Hour)
	w.out(w.bearer(got.Token))
	w.in(w.bearer(w.token(basic("ann", secret), nil).Token)) // and nobody is locked out
	w.pass(time.Hour - auth.ClockSkew)
	w.in(w.bearer(got.Token)) // another node's clock may be a bit ahead
}

// A token that was issued before a right was revoked does not outlive it.
func TestRevocationActsOnTokensAtOnce(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.must(w.store.PutAccount(ctx, meta.Account{Name: "root", Admin: true}))
	secret := w.made("ann")
	w.grant("registry-editor", meta.SubjectUser, "ann", "team")
	got := w.token(basic("ann", secret), scoped("repository:team/app:pull,push,delete"))
	w.wants(w.in(w.bearer(got.Token)), auth.Push, "team/app", nil)
	w.revoke("registry-editor", meta.SubjectUser, "ann", "team")
	w.wants(w.in(w.bearer(got.Token)), auth.Push, "team/app", auth.ErrDenied)
	w.grant("registry-viewer", meta.SubjectUser, "ann", "team")
	w.wants(w.in(w.bearer(got.Token)), auth.Pull, "team/app", nil)
	w.wants(w.in(w.bearer(got.Token)), auth.Push, "team/app", auth.ErrDenied)

	w.must(w.store.DeleteAccount(ctx, "ann", ""))
	w.out(w.bearer(got.Token))
	w.made("ann") // somebody else, with another secret
	w.out(w.bearer(got.Token))

	robot := w.robot("ci", time.Minute, meta.Binding{Role: "registry-viewer", On: "team"})
	short := w.token("Bearer "+robot, scoped("repository:team/app:pull"))
	if short.ExpiresIn != 60 {
		t.Errorf("a token of a robot that ends in a minute lives for %d seconds", short.ExpiresIn)
	}
	w.in(w.bearer(short.Token))
	w.must(w.store.DeleteToken(ctx, "ci", ""))
	w.out(w.bearer(short.Token))
	w.robot("ci", time.Hour)
	w.out(w.bearer(short.Token))
}

func TestRefreshTokens(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.must(w.store.PutAccount(ctx, meta.Account{Name: "root", Admin: true}))
	secret := w.made("ann")
	w.grant("registry-viewer", meta.SubjectUser, "ann", "team")
	first := w.post(url.Values{
		"grant_type": {"password"}, "username": {"ann"}, "password": {secret}, "service": {host}, "client_id": {"test"},
		"access_type": {"offline"}, "scope": {"repository:team/app:pull,push repository:other/app:pull"},
	})
	if first.status != http.StatusOK || first.RefreshToken == "" || first.Scope != "repository:team/app:pull" {
		t.Fatalf("%+v", first)
	}
	form := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {first.RefreshToken}, "scope": {"repository:team/app:pull"},
		"service": {host},
	}
	w.pass(30 * 24 * time.Hour)
	again := w.post(form)
	if again.status != http.StatusOK || again.RefreshToken != first.RefreshToken {
		t.Fatalf("%+v", again)
	}
	w.wants(w.in(w.bearer(again.Token)), auth.Pull, "team/app", nil)
	w.out(w.bearer(first.RefreshToken)) // it opens nothing itself
	w.out(w.login("ann", first.RefreshToken))

	w.must(w.store.SetPassword(ctx, "ann", w.hash(), ""))
	if got := w.post(form); got.status != http.StatusUnauthorized || got.Error != "invalid_grant" || got.Token != "" {
		t.Errorf("after the password was changed: %+v", got)
	}
	w.out(w.bearer(again.Token))
	robot := w.token("Bearer "+w.robot("ci", 0), url.Values{"offline_token": {"true"}})
	form.Set("refresh_token", robot.RefreshToken)
	if got := w.post(form); got.status != http.StatusOK {
		t.Errorf("a robot's: %+v", got)
	}
	w.pass(auth.RefreshLife)
	if got := w.post(form); got.status != http.StatusUnauthorized {
		t.Errorf("after its life: %+v", got)
	}
}

func (w *world) hash() string {
	_, hash := auth.NewSecret()
	return hash
}

// A token cannot be exchanged for a fresh one: it would never end.
func TestATokenDoesNotProlongItself(t *testing.T) {
	w := newWorld(t)
	got := w.token(basic("ann", w.made("ann")), scoped("repository:a/b:pull"))
	if again := w.token("Bearer "+got.Token, scoped("repository:a/b:pull")); again.status != http.StatusBadRequest {
		t.Errorf("%+v", again)
	}
}

func TestRequestsForTokensThatMakeNoSense(t *testing.T) {
	w := newWorld(t)
	secret := w.made("ann")
	for what, c := range map[string]struct {
		got    ticket
		status int
	}{
		"other service":  {w.token(basic("ann", secret), url.Values{"service": {"other.test"}}), 400},
		"wrong password": {w.token(basic("ann", "x"), scoped("repository:a/b:pull")), 401},
		"no grant":       {w.post(url.Values{}), 400},
		"code grant":     {w.post(url.Values{"grant_type": {"authorization_code"}}), 400},
		"wrong form":     {w.post(url.Values{"grant_type": {"password"}, "username": {"ann"}, "password": {"x"}}), 401},
		"no refresh":     {w.post(url.Values{"grant_type": {"refresh_token"}}), 401},
		"large":          {w.post(url.Values{"grant_type": {"password"}, "scope": {strings.Repeat("x", 65<<10)}}), 400},
		"other method":   {w.send(httptest.NewRequest(http.MethodPut, "/token", nil)), 405},
	} {
		if c.got.status != c.status || c.got.Token != "" {
			t.Errorf("%s: %+v, want %d", what, c.got, c.status)
		}
	}
	many := slices.Repeat([]string{"repository:a/b:pull"}, 5000)
	if got := w.token(basic("ann", secret), scoped(many...)); got.status != 200 {
		t.Errorf("many scopes: %+v", got)
	}
	for range auth.AddressFailures {
		w.token(basic("mallory", "x"), nil)
	}
	if got := w.token(basic("mallory", "x"), nil); got.status != 429 || got.head.Get("Retry-After") == "" {
		t.Errorf("limited: %+v", got)
	}
}

func TestChallenges(t *testing.T) {
	w := newWorld(t)
	w.grant("system:image-puller", meta.SubjectGroup, auth.GroupUnauthenticated, "public")
	r := request("")
	needs := []auth.Access{
		{Repo: "a", Actions: auth.Pull}, {Repo: "a", Actions: auth.Push}, {Repo: "b", Actions: auth.Pull},
	}
	bearer := `Bearer realm="http://` + host + `/token",service="` + host + `"`
	for _, c := range []struct {
		err   error
		needs []auth.Access
		want  string
	}{
		{auth.ErrNoCredentials, nil, bearer},
		{auth.ErrNoCredentials, needs, bearer + `,scope="repository:a:pull,push repository:b:pull"`},
		{auth.ErrNoCredentials, []auth.Access{{Actions: auth.Catalog}}, bearer + `,scope="registry:catalog:*"`},
		{auth.ErrScope, needs[:1], bearer + `,scope="repository:a:pull",error="insufficient_scope"`},
		{auth.ErrBadCredentials, nil, bearer + `,error="invalid_token"`},
	} {
		if got := w.Challenges(r, c.err, c.needs...); len(got) != 1 || got[0] != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
	r.Host = `evil",scope="x`
	if got := w.Challenges(r, nil)[0]; strings.Count(got, `"`) != 4 {
		t.Errorf("a host breaks out of its quotes: %s", got)
	}
	r.Header.Set("X-Forwarded-Proto", "https")
	if got := w.Challenges(r, nil)[0]; !strings.Contains(got, "https://") {
		t.Errorf("behind a proxy: %s", got)
	}
}

// Anonymous tokens are offered where they are good for something, a password is
// asked for where nothing else helps.
func TestWhichChallengeComesFirst(t *testing.T) {
	w := newWorld(t)
	schemes := func(authorization string) (all []string) {
		for _, c := range w.Challenges(request(authorization), auth.ErrNoCredentials) {
			scheme, _, _ := strings.Cut(c, " ")
			all = append(all, scheme)
		}
		return all
	}
	if got := schemes(""); !slices.Equal(got, []string{"Basic", "Bearer"}) {
		t.Errorf("anonymous may nothing: %q", got)
	}
	if got := schemes("Bearer x"); !slices.Equal(got, []string{"Bearer", "Basic"}) {
		t.Errorf("came with a token: %q", got)
	}
	w.grant("system:image-puller", meta.SubjectGroup, auth.GroupUnauthenticated, "public")
	if got := schemes(""); !slices.Equal(got, []string{"Bearer"}) {
		t.Errorf("anonymous may pull: %q", got)
	}
}

func TestAnEmptyBasicLoginIsNone(t *testing.T) {
	w := newWorld(t)
	for range 2 * auth.AddressFailures {
		if _, err := w.Authenticate(request(basic("", ""))); !errors.Is(err, auth.ErrNoCredentials) {
			t.Fatalf("an empty login: %v", err)
		}
	}
}

// FuzzAuthorization: whatever is sent, nobody gets in who should not.
func FuzzAuthorization(f *testing.F) {
	w := newWorld(f)
	w.made("ann")
	w.grant("registry-admin", meta.SubjectUser, "ann", "*")
	for _, seed := range []string{
		"Basic YW5uOng=", "Bearer skr_AAAA", "Bearer a.b.c", basic("ann", ""), "Basic", "bearer  ",
		"Bearer " + w.token(basic("ann", w.made("bob")), nil).Token, "Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJza2VycnkifQ.",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		p, err := w.Authenticate(request(header))
		if err == nil && !p.Anonymous() || err == nil && p.Allow(auth.Pull, "a/b") == nil {
			t.Errorf("%q is %s", header, p)
		}
		w.pass(time.Minute)
	})
}

// FuzzScope: no scope grants more than the policy.
func FuzzScope(f *testing.F) {
	w := newWorld(f)
	secret := w.made("ann")
	w.grant("registry-viewer", meta.SubjectUser, "ann", "team")
	for _, seed := range []string{
		"repository:team/app:pull", "repository:secret/app:pull", "repository:team/../secret:*", "repository::pull",
		"repository:a:b:c:pull,push", "registry:catalog:*", ":::", "repository:team/app:pull repository:secret/app:pull",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, scope string) {
		w.t = t // one at a time
		got := w.token(basic("ann", secret), scoped(scope))
		p, err := w.bearer(got.Token)
		if err != nil {
			t.Fatal(err)
		}
		for _, repo := range []string{"secret/app", "secret", "a", "team/../secret"} {
			if p.Allow(auth.Pull, repo) == nil {
				t.Errorf("scope %q reads %s", scope, repo)
			}
		}
		if p.Allow(auth.Push, "team/app") == nil || p.Allow(auth.Administer, "") == nil {
			t.Errorf("scope %q widens", scope)
		}
	})
}
