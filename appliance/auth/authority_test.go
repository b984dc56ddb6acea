package auth_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/meta"
)

// accounts is a store of accounts in memory.
type accounts map[string]meta.Account

func (a accounts) Account(name string) (meta.Account, error) {
	if acc, ok := a[name]; ok {
		return acc, nil
	}
	return meta.Account{}, meta.ErrNotFound
}

func login(t *testing.T, a *auth.Authority, name, secret string) (auth.Principal, error) {
	t.Helper()
	r := httptest.NewRequest("GET", "/v2/", nil)
	r.SetBasicAuth(name, secret)
	return a.Authenticate(r)
}

func TestOnlyTheRightSecretOpens(t *testing.T) {
	made, madeHash := auth.NewSecret()
	chosenHash, err := auth.HashPassword("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	a := auth.New(accounts{
		"made":   {Name: "made", Secret: madeHash, Admin: true},
		"chosen": {Name: "chosen", Secret: chosenHash},
		"odd":    {Name: "odd", Secret: "rot13$uvag"},
		"empty":  {Name: "empty"},
	})
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
		{"odd", "hint", false},
		{"empty", "", false},
		{"nobody", made, false},
	} {
		p, err := login(t, a, c.name, c.secret)
		if c.ok && (err != nil || p.Name != c.name) {
			t.Errorf("%s with %q: %v, %v; want in", c.name, c.secret, p, err)
		}
		if !c.ok && !errors.Is(err, auth.ErrBadCredentials) {
			t.Errorf("%s with %q: %v, %v; want ErrBadCredentials", c.name, c.secret, p, err)
		}
	}
}

func TestNoCredentialsAreToldApartFromWrongOnes(t *testing.T) {
	a := auth.New(accounts{})
	if _, err := a.Authenticate(httptest.NewRequest("GET", "/v2/", nil)); !errors.Is(err, auth.ErrNoCredentials) {
		t.Errorf("without credentials: %v", err)
	}
}

// A remembered login must not outlive the password it was made with.
func TestAChangedPasswordEndsRememberedLogins(t *testing.T) {
	before, err := auth.HashPassword("before")
	if err != nil {
		t.Fatal(err)
	}
	after, err := auth.HashPassword("after")
	if err != nil {
		t.Fatal(err)
	}
	store := accounts{"eve": {Name: "eve", Secret: before}}
	a := auth.New(store)
	if _, err := login(t, a, "eve", "before"); err != nil {
		t.Fatal(err)
	}
	store["eve"] = meta.Account{Name: "eve", Secret: after}
	if _, err := login(t, a, "eve", "before"); !errors.Is(err, auth.ErrBadCredentials) {
		t.Errorf("old password after the change: %v", err)
	}
	delete(store, "eve")
	if _, err := login(t, a, "eve", "after"); !errors.Is(err, auth.ErrBadCredentials) {
		t.Errorf("deleted account: %v", err)
	}
}

func TestOnlyAdministratorsAreAllowed(t *testing.T) {
	a := auth.New(accounts{})
	if err := a.Allow(auth.Principal{Name: "root", Admin: true}); err != nil {
		t.Errorf("administrator: %v", err)
	}
	if err := a.Allow(auth.Principal{Name: "guest"}); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("somebody else: %v", err)
	}
}

func TestPasswordsThatBcryptWouldCutAreRefused(t *testing.T) {
	if _, err := auth.HashPassword(strings.Repeat("x", 73)); err == nil {
		t.Error("73 bytes were accepted")
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	secret, hash := auth.NewSecret()
	a := auth.New(accounts{"admin": {Name: "admin", Secret: hash, Admin: true}})
	r := httptest.NewRequest("GET", "/v2/", nil)
	r.SetBasicAuth("admin", secret)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	}
}
