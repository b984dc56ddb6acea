package meta_test

import (
	"context"
	"testing"

	"skerry.dev/skerry/meta"
)

// The generation is what lets a node decide from memory: it has to rise with
// every change of what Access shows, and should not with any other.
func TestTheGenerationRisesWithEveryChangeOfAccess(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	b := meta.Binding{Role: "registry-viewer", Kind: meta.SubjectUser, Subject: "bob", On: "team"}
	for _, c := range []struct {
		what  string
		do    func() error
		rises bool
	}{
		{"create account", func() error { return w.CreateAccount(ctx, meta.Account{Name: "bob"}, "") }, true},
		{"put account", func() error { return w.PutAccount(ctx, meta.Account{Name: "bob"}) }, true},
		{"set password", func() error { return w.SetPassword(ctx, "bob", "x$2", "") }, true},
		{"create token", func() error { return w.CreateToken(ctx, meta.Token{Name: "ci"}, nil) }, true},
		{"delete token", func() error { return w.DeleteToken(ctx, "ci", "") }, true},
		{"grant", func() error { return w.Grant(ctx, b, "") }, true},
		{"revoke", func() error { return w.Revoke(ctx, b, "") }, true},
		{"delete account", func() error { return w.DeleteAccount(ctx, "bob", "") }, true},
		{"push", func() error { w.push(manifest("a", "x", []meta.Tag{"v1"})); return nil }, false},
		{"secret", func() error { _, err := w.InitSecret(ctx, "k", []byte("v")); return err }, false},
	} {
		before := w.AccessGeneration()
		w.must(c.do())
		if rose := w.AccessGeneration() != before; rose != c.rises {
			t.Errorf("%s: generation rose %v, want %v", c.what, rose, c.rises)
		}
	}
}

func TestAnInstalledSnapshotChangesTheGeneration(t *testing.T) {
	from, into := newWorld(t), newWorld(t)
	from.must(from.PutAccount(t.Context(), meta.Account{Name: "new"}))
	path, _ := shipped(t, from.db, t.TempDir())
	before := into.AccessGeneration()
	into.must(into.db.Install(path))
	if into.AccessGeneration() == before {
		t.Error("the generation is as before")
	}
	a, err := into.Access()
	into.must(err)
	if len(a.Accounts) != 1 || a.Accounts[0].Name != "new" {
		t.Errorf("accounts %+v", a.Accounts)
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	root, other := meta.Account{Name: "root", Admin: true}, meta.Account{Name: "other", Admin: true}
	w.must(w.PutAccount(ctx, root))
	w.wants(w.DeleteAccount(ctx, "root", ""), meta.ErrConflict)
	w.wants(w.PutAccount(ctx, meta.Account{Name: "root"}), meta.ErrConflict)
	w.must(w.SetPassword(ctx, "root", "x$new", "")) // keeps what it is
	w.must(w.PutAccount(ctx, other))
	w.must(w.PutAccount(ctx, meta.Account{Name: "root"}))
	w.wants(w.DeleteAccount(ctx, "other", ""), meta.ErrConflict)
	w.must(w.DeleteAccount(ctx, "root", ""))
}

func TestAccountsAreMadeOnceAndChangedInPlace(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.wants(w.SetPassword(ctx, "bob", "x$1", ""), meta.ErrNotFound)
	w.must(w.CreateAccount(ctx, meta.Account{Name: "bob", Secret: "x$1", Groups: []string{"dev"}}, ""))
	w.wants(w.CreateAccount(ctx, meta.Account{Name: "bob"}, ""), meta.ErrConflict)
	w.must(w.SetPassword(ctx, "bob", "x$2", ""))
	a, err := w.Account("bob")
	w.must(err)
	if a.Secret != "x$2" || len(a.Groups) != 1 || a.Groups[0] != "dev" {
		t.Errorf("account %+v", a)
	}
	w.wants(w.PutAccount(ctx, meta.Account{Name: "x", Groups: make([]string, 101)}), meta.ErrName)
	w.wants(w.PutAccount(ctx, meta.Account{Name: "x", Groups: []string{""}}), meta.ErrName)
}

// Who gets a name next must not inherit what the one before could do.
func TestRolesGoWithTheirSubject(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.must(w.CreateAccount(ctx, meta.Account{Name: "bob"}, ""))
	grants := []meta.Binding{{Role: "r", On: "a"}, {Role: "r", On: "b"}}
	w.must(w.CreateToken(ctx, meta.Token{Name: "bob", Actor: "root"}, grants))
	w.wants(w.CreateToken(ctx, meta.Token{Name: "bob"}, nil), meta.ErrConflict)
	grant := func(kind meta.SubjectKind, subject string) error {
		return w.Grant(ctx, meta.Binding{Role: "r", Kind: kind, Subject: subject, On: "c"}, "root")
	}
	w.must(grant(meta.SubjectUser, "bob"))
	w.must(grant(meta.SubjectUser, "bobby"))
	w.must(grant(meta.SubjectGroup, "bob"))
	w.must(grant(meta.SubjectToken, "bob"))
	w.must(grant(meta.SubjectToken, "bob")) // twice is once
	w.wants(grant(meta.SubjectToken, "nobody"), meta.ErrNotFound)
	w.wants(grant("Robot", "bob"), meta.ErrName)
	w.wants(grant(meta.SubjectUser, ""), meta.ErrName)
	w.wants(grant(meta.SubjectUser, "a\x00b"), meta.ErrName)
	count := func(want int) {
		t.Helper()
		all, err := w.Bindings()
		w.must(err)
		if len(all) != want {
			t.Errorf("%d bindings, want %d: %+v", len(all), want, all)
		}
	}
	count(6)
	w.must(w.DeleteAccount(ctx, "bob", ""))
	count(5)
	w.must(w.DeleteToken(ctx, "bob", ""))
	count(2)
	w.wants(w.Revoke(ctx, meta.Binding{Role: "r", Kind: meta.SubjectUser, Subject: "bob", On: "c"}, ""), meta.ErrNotFound)
	w.wants(w.DeleteToken(ctx, "bob", ""), meta.ErrNotFound)
}
