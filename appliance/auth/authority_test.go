package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/meta"
)

func TestOnlyTheRightSecretOpens(t *testing.T) {
	w := newWorld(t)
	made := w.made("made")
	chosen, err := auth.HashPassword("correct horse")
	w.must(err)
	long, err := auth.HashPassword(strings.Repeat("x", 72))
	w.must(err)
	for name, hash := range map[string]string{"chosen": chosen, "long": long, "odd": "rot13$uvag", "empty": ""} {
		w.must(w.store.PutAccount(t.Context(), meta.Account{Name: name, Secret: hash}))
	}
	for _, c := range []struct {
		name, secret string
		ok           bool
	}{
		{"made", made, true},
		{"made", strings.ToLower(made), false},
		{"made", "", false},
		{"chosen", "correct horse", true},
		{"chosen", "correct horse", true}, // remembered
		{"chosen", "correct horse ", false},
		{"long", strings.Repeat("x", 72), true},
		{"long", strings.Repeat("x", 73), false}, // bcrypt itself would ignore the last
		{"odd", "hint", false},
		{"empty", "", false},
		{"nobody", made, false},
	} {
		p, err := w.login(c.name, c.secret)
		if c.ok && (err != nil || p.Name != c.name || p.Method != auth.MethodPassword) {
			t.Errorf("%s with %q: %v, %v; want in", c.name, c.secret, p, err)
		}
		if !c.ok && !errors.Is(err, auth.ErrBadCredentials) {
			t.Errorf("%s with %q: %v, %v; want ErrBadCredentials", c.name, c.secret, p, err)
		}
	}
	if n := len(w.failures()); n != 7 {
		t.Errorf("%d failures were told of, want 7", n)
	}
}

func TestHeadersThatAreNoneAreRefused(t *testing.T) {
	w := newWorld(t)
	secret := w.made("a")
	for _, header := range []string{
		"Basic", "Basic ", "Basic !!!", "Basic YQ==", "Bearer", "Bearer ", "Bearer x", "Bearer anonymous", "Digest a",
		"Negotiate YQ==", strings.Repeat("x", 20<<10), basic("a", secret) + "x!",
	} {
		w.out(w.Authenticate(request(header)))
		w.pass(time.Hour) // the limits are not what is looked at
	}
	r := request(basic("a", secret))
	r.Header.Add("Authorization", basic("a", secret))
	w.out(w.Authenticate(r))
	w.in(w.Authenticate(request("bAsIc" + strings.TrimPrefix(basic("a", secret), "Basic"))))
}

func TestWhoSaysNothingIsAnonymous(t *testing.T) {
	w := newWorld(t)
	p, err := w.Authenticate(request(""))
	if !errors.Is(err, auth.ErrNoCredentials) || p == nil || !p.Anonymous() || p.String() != "system:anonymous" {
		t.Errorf("%v, %v", p, err)
	}
	if len(w.failures()) > 0 {
		t.Error("asking is no failed login")
	}
}

// What was verified is remembered, what it is worth is not.
func TestAChangeHoldsFromTheNextRequestOn(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	before, err := auth.HashPassword("before")
	w.must(err)
	after, err := auth.HashPassword("after")
	w.must(err)
	w.must(w.store.PutAccount(ctx, meta.Account{Name: "root", Admin: true}))
	w.must(w.store.PutAccount(ctx, meta.Account{Name: "eve", Secret: before}))
	w.wants(w.in(w.login("eve", "before")), auth.Pull, "team/app", auth.ErrDenied)
	w.grant("registry-viewer", meta.SubjectUser, "eve", "team")
	w.wants(w.in(w.login("eve", "before")), auth.Pull, "team/app", nil)
	w.revoke("registry-viewer", meta.SubjectUser, "eve", "team")
	w.wants(w.in(w.login("eve", "before")), auth.Pull, "team/app", auth.ErrDenied)

	w.must(w.store.SetPassword(ctx, "eve", after, ""))
	w.out(w.login("eve", "before"))
	w.in(w.login("eve", "after"))
	w.must(w.store.DeleteAccount(ctx, "eve", ""))
	w.out(w.login("eve", "after"))

	secret := w.robot("ci", time.Hour)
	w.in(w.login("ci", secret))
	w.must(w.store.DeleteToken(ctx, "ci", ""))
	w.out(w.login("ci", secret))
	w.out(w.bearer(secret))
}

func TestWarmRequestsReadNothing(t *testing.T) {
	w := newWorld(t)
	secret := w.made("a")
	w.grant("registry-viewer", meta.SubjectUser, "a", "team")
	w.in(w.login("a", secret))
	before := w.reads.Load()
	for range 100 {
		w.wants(w.in(w.login("a", secret)), auth.Pull, "team/app", nil)
	}
	if n := w.reads.Load() - before; n != 0 {
		t.Errorf("%d transactions for 100 warm requests", n)
	}
	w.grant("registry-viewer", meta.SubjectUser, "b", "team")
	w.in(w.login("a", secret))
	w.in(w.login("a", secret))
	if n := w.reads.Load() - before; n != 1 {
		t.Errorf("%d transactions after one change", n)
	}
}

func TestASourceThatFailsLetsNobodyIn(t *testing.T) {
	w := newWorld(t, func(c *auth.Config) { c.Source = broken{} })
	if p, err := w.login("a", "b"); !errors.Is(err, errBroken) || p != nil {
		t.Errorf("%v, %v", p, err)
	}
	if p, err := w.Authenticate(request("")); !errors.Is(err, errBroken) || p != nil {
		t.Errorf("anonymous: %v, %v", p, err)
	}
}

var errBroken = errors.New("the disk is gone")

type broken struct{}

func (broken) AccessGeneration() uint64     { return 1 }
func (broken) Access() (meta.Access, error) { return meta.Access{}, errBroken }

func TestRobots(t *testing.T) {
	w := newWorld(t)
	secret := w.robot("ci", 90*24*time.Hour, meta.Binding{Role: "system:image-pusher", On: "team"})
	if !strings.HasPrefix(secret, "skr_") || len(secret) != 30 {
		t.Errorf("secret %q", secret)
	}
	for _, p := range []*auth.Principal{w.in(w.login("ci", secret)), w.in(w.bearer(secret))} {
		if p.String() != "token:ci" || p.Method != auth.MethodToken {
			t.Errorf("%s by %s", p, p.Method)
		}
		w.wants(p, auth.Pull|auth.Push, "team/app", nil)
		w.wants(p, auth.Delete, "team/app", auth.ErrDenied)
		w.wants(p, auth.Push, "other/app", auth.ErrDenied)
		w.wants(p, auth.Administer, "", auth.ErrDenied)
	}
	w.out(w.login("cd", secret)) // another's name
	w.out(w.login("ci", secret+"x"))
	w.out(w.bearer("skr_"))
	w.out(w.login("", secret[:29]))
	// An account of the same name is somebody else.
	w.made("ci")
	w.grant("registry-admin", meta.SubjectUser, "ci", "*")
	w.wants(w.in(w.login("ci", secret)), auth.Delete, "team/app", auth.ErrDenied)

	w.pass(90*24*time.Hour - time.Second)
	w.in(w.login("ci", secret))
	w.in(w.bearer(secret))
	before := len(w.failures())
	w.pass(time.Second)
	w.out(w.login("ci", secret)) // remembered as it is
	w.out(w.bearer(secret))
	if n := len(w.failures()) - before; n != 2 {
		t.Errorf("%d failures were told of: somebody should know that a robot has expired", n)
	}
	w.in(w.bearer(w.robot("eternal", 0)))
}

// Whether an account exists must not show in how long a wrong login takes: each
// needs its turn at a slow hash.
func TestWrongLoginsTakeTheSameTime(t *testing.T) {
	w := newWorld(t)
	chosen, err := auth.HashPassword("secret")
	w.must(err)
	w.must(w.store.PutAccount(t.Context(), meta.Account{Name: "chosen", Secret: chosen}))
	w.made("made")
	var release []func()
	for range auth.HashersMax() {
		release = append(release, w.Hold())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"chosen", "made", "nobody"} {
		if _, err := w.Authenticate(request(basic(name, "wrong")).WithContext(ctx)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s is answered without a hash: %v", name, err)
		}
	}
	for _, r := range release {
		r()
	}
	cost, err := bcrypt.Cost([]byte(auth.Nobodys))
	w.must(err)
	if known, err := bcrypt.Cost([]byte(strings.TrimPrefix(chosen, "bcrypt"))); err != nil || cost != known {
		t.Errorf("without an account it costs %d, with one %d (%v)", cost, known, err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	w := newWorld(t)
	secret := w.made("a")
	for i := range 3 * auth.VerifiedMax {
		header := basic("a", secret)
		w.in(w.Authenticate(request("Basic " + strings.Repeat(" ", i%8000) + header[len("Basic "):])))
	}
	for i := range 3 * auth.LimitedKeysMax {
		r := request("Bearer x")
		r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255)
		_, _ = w.Authenticate(r)
	}
	if verified, limited := w.Sizes(); verified > auth.VerifiedMax || limited > auth.LimitedKeysMax {
		t.Errorf("%d logins and %d keys are remembered", verified, limited)
	}
}

func TestPasswordsThatBcryptCannotKeepAreRefused(t *testing.T) {
	for _, p := range []string{strings.Repeat("x", 73), ""} {
		if _, err := auth.HashPassword(p); err == nil {
			t.Errorf("%d bytes were accepted", len(p))
		}
	}
}

func BenchmarkWarmBasic(b *testing.B) {
	w := newWorld(b)
	secret := w.made("ann", func(a *meta.Account) { a.Groups = []string{"dev", "ops"} })
	for i := range 50 {
		w.grant("registry-editor", meta.SubjectGroup, "dev", fmt.Sprintf("team%d", i))
		w.grant("registry-viewer", meta.SubjectUser, "ann", fmt.Sprintf("more%d/app", i))
	}
	benchmarkWarm(b, w, request(basic("ann", secret)))
}

func BenchmarkWarmBearer(b *testing.B) {
	w := newWorld(b)
	secret := w.made("ann")
	w.grant("registry-editor", meta.SubjectUser, "ann", "team7")
	ticket := w.token(basic("ann", secret), scoped("repository:team7/app:pull"))
	benchmarkWarm(b, w, request("Bearer "+ticket.Token))
}

func benchmarkWarm(b *testing.B, w *world, r *http.Request) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		p, err := w.Authenticate(r)
		if err == nil {
			err = p.Allow(auth.Pull, "team7/app")
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecompile(b *testing.B) {
	w := newWorld(b)
	secret := w.made("ann")
	for i := range 1000 {
		w.grant("registry-editor", meta.SubjectUser, fmt.Sprintf("user%d", i), "team/*")
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		w.grant("registry-viewer", meta.SubjectUser, "ann", fmt.Sprintf("team%d", i))
		b.StartTimer()
		if _, err := w.login("ann", secret); err != nil {
			b.Fatal(err)
		}
	}
}
