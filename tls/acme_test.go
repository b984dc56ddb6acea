package tls_test

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"skerry.dev/skerry/tls"
)

// A memory is a Storage that forgets, with one lock that may be another's.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	others map[string]time.Time // locks that another node holds, until when
	held   map[string]time.Duration
}

func newMemory() *memory {
	return &memory{values: map[string][]byte{}, others: map[string]time.Time{}, held: map[string]time.Duration{}}
}

func (m *memory) Load(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.values[name]; ok {
		return bytes.Clone(v), nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) Store(_ context.Context, name string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[name] = bytes.Clone(value)
	return nil
}

func (m *memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, name)
	return nil
}

func (m *memory) List(_ context.Context, prefix string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Sorted(maps.Keys(m.values))
	return slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, prefix) }), nil
}

func (m *memory) Lock(_ context.Context, name string, d time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Now().Before(m.others[name]) {
		return false, nil
	}
	m.held[name] = d
	return true, nil
}

func (m *memory) Unlock(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.held, name)
	return nil
}

const directory = "https://ca.example/dir"

// keep puts a certificate where one from the ACME server is kept.
func (m *memory) keep(name string, cert, key []byte) {
	m.values[certmagic.StorageKeys.SiteCert("ca.example-dir", name)] = cert
	m.values[certmagic.StorageKeys.SitePrivateKey("ca.example-dir", name)] = key
}

// withACME asks a server that is not there.
func withACME(t *testing.T, m *memory, names ...string) (tls.Config, *clock) {
	t.Helper()
	cfg, now := config(t, append([]string{"localhost"}, names...)...)
	cfg.ACME = &tls.ACME{Directory: directory, Names: names, Storage: m}
	return cfg, now
}

func TestKeptCertificatesAreShownFromTheStart(t *testing.T) {
	ca := newIssuer(t, "acme")
	good, goodKey := ca.server(90*day, "a.example")
	old, oldKey := ca.server(-time.Hour, "old.example")
	m := newMemory()
	m.keep("a.example", good, goodKey)
	m.keep("old.example", old, oldKey)
	m.keep("damaged.example", good, oldKey)
	cfg, _ := withACME(t, m, "a.example", "old.example", "damaged.example", "new.example")
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	p := open(t, cfg)
	if got := shownAs(t, p, "a.example"); !got.Equal(parse(t, good)) {
		t.Errorf("a.example: shown %v", got.Subject)
	}
	for _, name := range []string{"old.example", "damaged.example", "new.example", "localhost", ""} {
		if got := shownAs(t, p, name); got.Subject.CommonName != "skerry" {
			t.Errorf("%q: shown %v, want the own CA's", name, got.Subject)
		}
	}
	if !strings.Contains(log.String(), "damaged.example") {
		t.Errorf("log: %s", &log)
	}
	for _, s := range p.Status().Shown {
		if s.Names[0] == "old.example" && !strings.Contains(s.Trouble, "expired on") {
			t.Errorf("status %+v", s)
		}
	}
}

// TestClocksSetBackChangeNoCertificate has a clock from before the certificate:
// it is good for clients, whose clocks are right.
func TestClocksSetBackChangeNoCertificate(t *testing.T) {
	ca := newIssuer(t, "acme")
	good, goodKey := ca.server(90*day, "a.example")
	m := newMemory()
	m.keep("a.example", good, goodKey)
	cfg, now := withACME(t, m, "a.example")
	now.t = now.t.Add(-365 * day)
	p := open(t, cfg)
	if got := shownAs(t, p, "a.example"); !got.Equal(parse(t, good)) {
		t.Errorf("shown %v", got.Subject)
	}
	if s := p.Status().Shown[0]; s.From != "acme" || !strings.Contains(s.Trouble, "is the clock right?") {
		t.Errorf("status %+v", s)
	}
	now.t = now.t.Add(365*day + 91*day) // and ahead: past its end, as far as this machine knows
	if got := shownAs(t, p, "a.example"); got.Subject.CommonName != "skerry" {
		t.Errorf("shown %v", got.Subject)
	}
}

func TestNonsenseForACMEIsRefused(t *testing.T) {
	for words, change := range map[string]func(*tls.ACME){
		"https://":         func(a *tls.ACME) { a.Directory = "http://ca.example/dir" },
		"PEM":              func(a *tls.ACME) { a.Roots = []byte("junk") },
		"wildcard":         func(a *tls.ACME) { a.Names = []string{"*.example.org"} },
		"at least one":     func(a *tls.ACME) { a.Names = []string{"10.1.2.3"} },
		"Storage":          func(a *tls.ACME) { a.Storage = nil },
		"neither a host n": func(a *tls.ACME) { a.Names = []string{"a b"} },
	} {
		cfg, _ := withACME(t, newMemory(), "a.example")
		change(cfg.ACME)
		if _, err := tls.OpenPublic(cfg); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want a word of %q", err, words)
		}
	}
}

func TestOnlyChallengesAreAnsweredOverHTTP(t *testing.T) {
	cfg, _ := withACME(t, newMemory(), "a.example")
	p := open(t, cfg)
	for _, path := range []string{"/", "/v2/", "/.well-known/acme-challenge/guess"} {
		w := httptest.NewRecorder()
		p.Challenge().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://a.example"+path, nil))
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	// One that looks like a challenge over TLS, while none is under way.
	if _, err := p.Show("a.example", "acme-tls/1"); err == nil {
		t.Error("a challenge was answered that nobody asked for")
	}
}

// TestStorageIsAsCertmagicWantsIt tries what its interface says of a storage.
func TestStorageIsAsCertmagicWantsIt(t *testing.T) {
	m := newMemory()
	ctx := t.Context()
	s := tls.Guest(m)
	for _, k := range []string{"a/b/1", "a/b/2", "a/c", "ab"} {
		if err := s.Store(ctx, k, []byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		dir       string
		recursive bool
		want      []string
	}{
		{"a", false, []string{"a/b", "a/c"}},
		{"a", true, []string{"a/b/1", "a/b/2", "a/c"}},
		{"a/b", false, []string{"a/b/1", "a/b/2"}},
	} {
		if got, err := s.List(ctx, c.dir, c.recursive); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("list %s %t: %q, %v, want %q", c.dir, c.recursive, got, err, c.want)
		}
	}
	if _, err := s.List(ctx, "none", true); err == nil {
		t.Error("a directory that is not there can be listed")
	}
	for key, terminal := range map[string]bool{"a": false, "a/b": false, "a/b/1": true} {
		if info, err := s.Stat(ctx, key); err != nil || info.IsTerminal != terminal || !s.Exists(ctx, key) {
			t.Errorf("stat %s: %+v, %v", key, info, err)
		}
	}
	if err := s.Delete(ctx, "a"); err != nil || s.Exists(ctx, "a/b/1") || !s.Exists(ctx, "ab") {
		t.Errorf("after deleting a: %v, %v", err, m.values)
	}
	if err := s.Delete(ctx, "a"); err != nil {
		t.Errorf("delete again: %v", err)
	}
	if _, err := s.Load(ctx, "a"); err == nil || s.Exists(ctx, "a") {
		t.Error("it is still there")
	}
}

func TestLocksOfOthersAreWaitedFor(t *testing.T) {
	m := newMemory()
	s := tls.Guest(m)
	end := time.Now().Add(500 * time.Millisecond)
	m.others["l"] = end
	if err := s.Lock(t.Context(), "l"); err != nil || time.Now().Before(end) {
		t.Errorf("%v, %s before it was free", err, time.Until(end))
	}
	if m.held["l"] < 5*time.Minute {
		t.Errorf("held for %s, which may be shorter than the work", m.held["l"])
	}
	m.others["other"] = time.Now().Add(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Lock(ctx, "other"); err == nil {
		t.Error("taken while another holds it")
	}
	if err := s.Unlock(t.Context(), "l"); err != nil || len(m.held) > 0 {
		t.Errorf("unlock: %v, %v", err, m.held)
	}
}
