package auth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/meta"
)

// A world is an Authority over a real database, with a log that agrees at once
// and a clock that only the test moves. After the test the database is checked.
type world struct {
	*auth.Authority
	t     testing.TB
	store *meta.Store
	reads atomic.Int64 // of all that decides
	log   oneNode

	mu     sync.Mutex // guards what follows
	clock  time.Time
	failed []auth.Failure
}

// oneNode is a log without peers.
type oneNode struct {
	db    *meta.DB
	mu    sync.Mutex // held while a command is applied
	index uint64
}

func (p *oneNode) Propose(_ context.Context, command []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index++
	results, err := p.db.Apply([]uint64{p.index}, [][]byte{command}, nil)
	if err != nil {
		return nil, err
	}
	return results[0], nil
}

// host is what the registry is called in requests.
const host = "registry.test:5000"

func signingKey() []byte { return []byte("a key of at least thirty-two bytes") }

func newWorld(t testing.TB, change ...func(*auth.Config)) *world {
	t.Helper()
	db, err := meta.OpenDB(meta.DBConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for p, err := range db.Check(context.Background()) {
			t.Errorf("check: %+v %v", p, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, log: oneNode{db: db}, clock: time.Unix(1_800_000_000, 0)}
	w.store = meta.NewStore(db, &w.log, meta.StoreConfig{Now: w.now})
	cfg := auth.Config{Source: source{w}, Key: signingKey(), Failed: w.fail, Now: w.now}
	for _, c := range change {
		c(&cfg)
	}
	w.Authority, err = auth.New(cfg)
	w.must(err)
	w.Cheapen()
	return w
}

// source counts what an Authority reads.
type source struct{ w *world }

func (s source) AccessGeneration() uint64 { return s.w.store.AccessGeneration() }

func (s source) Access() (meta.Access, error) {
	s.w.reads.Add(1)
	return s.w.store.Access()
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

func (w *world) fail(_ context.Context, f auth.Failure) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = append(w.failed, f)
}

func (w *world) failures() []auth.Failure {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// made makes an account with a secret of the system's, which is quick.
func (w *world) made(name string, change ...func(*meta.Account)) (secret string) {
	w.t.Helper()
	secret, hash := auth.NewSecret()
	a := meta.Account{Name: name, Secret: hash}
	for _, c := range change {
		c(&a)
	}
	w.must(w.store.PutAccount(context.Background(), a))
	return secret
}

// robot makes a token.
func (w *world) robot(name string, life time.Duration, grants ...meta.Binding) (secret string) {
	w.t.Helper()
	secret, hash := auth.NewToken()
	t := meta.Token{Name: name, Secret: hash}
	if life > 0 {
		t.Expires = w.now().Add(life)
	}
	w.must(w.store.CreateToken(context.Background(), t, grants))
	return secret
}

func (w *world) grant(role string, kind meta.SubjectKind, subject, on string) {
	w.t.Helper()
	w.must(w.store.Grant(context.Background(), meta.Binding{Role: role, Kind: kind, Subject: subject, On: on}, ""))
}

func (w *world) revoke(role string, kind meta.SubjectKind, subject, on string) {
	w.t.Helper()
	w.must(w.store.Revoke(context.Background(), meta.Binding{Role: role, Kind: kind, Subject: subject, On: on}, ""))
}

func request(header string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	r.Host = host
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	return r
}

func basic(name, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+secret))
}

func (w *world) login(name, secret string) (*auth.Principal, error) {
	return w.Authenticate(request(basic(name, secret)))
}

func (w *world) bearer(token string) (*auth.Principal, error) {
	return w.Authenticate(request("Bearer " + token))
}

// in wants a login to succeed.
func (w *world) in(p *auth.Principal, err error) *auth.Principal {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("login: %v", err)
	}
	return p
}

// out wants it to be refused as wrong.
func (w *world) out(_ *auth.Principal, err error) {
	w.t.Helper()
	if !errors.Is(err, auth.ErrBadCredentials) {
		w.t.Errorf("login: %v, want ErrBadCredentials", err)
	}
}

// wants wants Allow to say err.
func (w *world) wants(p *auth.Principal, actions auth.Action, repo string, want error) {
	w.t.Helper()
	if err := p.Allow(actions, repo); !errors.Is(err, want) {
		w.t.Errorf("%s, actions %b on %q: %v, want %v", p, actions, repo, err, want)
	}
}

// A ticket is what /token answers.
type ticket struct {
	status       int
	head         http.Header
	Token        string
	AccessToken  string `json:"access_token"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	Scope        string
	Error        string
}

func (w *world) send(r *http.Request) (t ticket) {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	t.status, t.head = rec.Code, rec.Header()
	if err := json.Unmarshal(rec.Body.Bytes(), &t); err != nil && rec.Code != http.StatusMethodNotAllowed {
		w.t.Fatalf("answer of /token: %v: %s", err, rec.Body)
	}
	if t.Token != t.AccessToken {
		w.t.Errorf("two tokens: %q and %q", t.Token, t.AccessToken)
	}
	return t
}

// token asks by GET for a token of these scopes.
func (w *world) token(header string, query url.Values) ticket {
	w.t.Helper()
	r := request(header)
	r.URL, _ = url.Parse("/token?" + query.Encode())
	return w.send(r)
}

// post asks by POST.
func (w *world) post(form url.Values) ticket {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Host = host
	return w.send(r)
}

func scoped(scopes ...string) url.Values { return url.Values{"service": {host}, "scope": scopes} }
