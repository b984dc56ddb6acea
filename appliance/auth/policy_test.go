package auth_test

import (
	"errors"
	"strings"
	"testing"

	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/meta"
)

// The matrix of OpenShift's roles.
func TestWhatEachRoleAllows(t *testing.T) {
	w := newWorld(t)
	want := map[string]string{
		"cluster-admin": "pull push delete catalog administer", "registry-admin": "pull push delete catalog",
		"registry-editor": "pull push delete catalog", "registry-viewer": "pull catalog",
		"system:image-builder": "pull push catalog", "system:image-pusher": "pull push catalog",
		"system:image-puller": "pull catalog", "system:image-pruner": "delete catalog", "no-such-role": "",
	}
	for _, r := range auth.Roles() {
		if _, ok := want[r.Name]; !ok {
			t.Errorf("role %s is not in the matrix", r.Name)
		}
	}
	names := map[auth.Action]string{
		auth.Pull: "pull", auth.Push: "push", auth.Delete: "delete", auth.Catalog: "catalog", auth.Administer: "administer",
	}
	for role, may := range want {
		secret := w.made("user-of-" + strings.ReplaceAll(role, ":", "-"))
		name := "user-of-" + strings.ReplaceAll(role, ":", "-")
		w.grant(role, meta.SubjectUser, name, "*")
		p := w.in(w.login(name, secret))
		for action, word := range names {
			repo := "team/app"
			if action == auth.Administer {
				repo = ""
			}
			if got, want := p.Allow(action, repo) == nil, strings.Contains(may, word); got != want {
				t.Errorf("%s may %s: %v, want %v", role, word, got, want)
			}
		}
	}
}

func TestPatterns(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ pattern, matches, not string }{
		{"team", "team/app team/a/b team", "teams/app a/team team-a/app"},
		{"*", "a a/b a/b/c", ""},
		{"team-*", "team-a/app team-b/x/y team-c", "team/app a/team-a"},
		{"te?m", "team/app term", "teem2/x tem/x"},
		{"*/app", "team/app a/b/app", "app team/apps"},
		{"team/*", "team/app team/a/b", "team teams/a"},
		{"team/app", "team/app", "team/app2 team/app/x team"},
		{"team/app-?", "team/app-1", "team/app-12 team/app-"},
		{"t*/*b*/c", "team/b/c t/abba/c t/x/b/c", "team/a/c"},
	} {
		w.must(auth.CheckPattern(c.pattern))
		name := "u" + strings.NewReplacer("/", "-", "*", "s", "?", "q").Replace(c.pattern)
		secret := w.made(name)
		w.grant("registry-viewer", meta.SubjectUser, name, c.pattern)
		p := w.in(w.login(name, secret))
		for _, repo := range strings.Fields(c.matches) {
			w.wants(p, auth.Pull, repo, nil)
		}
		for _, repo := range strings.Fields(c.not) {
			w.wants(p, auth.Pull, repo, auth.ErrDenied)
		}
		if c.pattern != "*" {
			w.wants(p, auth.Pull, "", auth.ErrDenied)
		}
	}
	for _, bad := range []string{
		"", "/team", "team/", "Team", "host:5000/team", "a b", "team/**\x00", strings.Repeat("a", 256), "é",
	} {
		if err := auth.CheckPattern(bad); !errors.Is(err, auth.ErrName) {
			t.Errorf("pattern %q: %v", bad, err)
		}
	}
}

func TestWhatGroupsMay(t *testing.T) {
	w := newWorld(t)
	secret := w.made("ann", func(a *meta.Account) { a.Groups = []string{"dev", "system:masters"} })
	robot := w.robot("ci", 0)
	w.grant("registry-editor", meta.SubjectGroup, "dev", "dev")
	w.grant("registry-viewer", meta.SubjectGroup, auth.GroupAuthenticated, "shared")
	w.grant("system:image-puller", meta.SubjectGroup, auth.GroupUnauthenticated, "public")
	ann, ci := w.in(w.login("ann", secret)), w.in(w.bearer(robot))
	nobody, _ := w.Authenticate(request(""))
	w.wants(ann, auth.Push, "dev/app", nil)
	w.wants(ci, auth.Push, "dev/app", auth.ErrDenied)
	w.wants(ci, auth.Pull, "shared/app", nil)
	w.wants(nobody, auth.Pull, "shared/app", auth.ErrDenied)
	w.wants(nobody, auth.Pull, "public/app", nil)
	w.wants(nobody, auth.Push, "public/app", auth.ErrDenied)
	w.wants(ann, auth.Pull, "public/app", nil) // a name never takes away
	w.wants(ann, auth.Administer, "", auth.ErrDenied)
	w.wants(nobody, auth.Catalog, "", nil)
	w.revoke("system:image-puller", meta.SubjectGroup, auth.GroupUnauthenticated, "public")
	nobody, _ = w.Authenticate(request(""))
	w.wants(nobody, auth.Catalog, "", auth.ErrDenied)
	w.wants(w.in(w.login("ann", secret)), auth.Catalog, "", nil) // if only to see nothing
}

// To administer one namespace is not to administer the registry.
func TestAdministeringNeedsAll(t *testing.T) {
	w := newWorld(t)
	secret := w.made("ann")
	w.grant("cluster-admin", meta.SubjectUser, "ann", "team")
	w.wants(w.in(w.login("ann", secret)), auth.Administer, "", auth.ErrDenied)
	w.grant("cluster-admin", meta.SubjectUser, "ann", "*")
	w.wants(w.in(w.login("ann", secret)), auth.Administer, "", nil)
	admin := w.made("root", func(a *meta.Account) { a.Admin = true })
	w.wants(w.in(w.login("root", admin)), auth.Administer, "", nil)
}

func TestNames(t *testing.T) {
	for _, good := range []string{"ann", "ann@example.org", "CI-1", "jürgen", strings.Repeat("x", 255)} {
		if err := auth.CheckName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "a:b", "system:admin", "system:", "a b", "a\n", "\x00", "a\u202e", "\xff", strings.Repeat("x", 256),
	} {
		if err := auth.CheckName(bad); !errors.Is(err, auth.ErrName) {
			t.Errorf("name %q: %v", bad, err)
		}
	}
	if auth.CheckGroup("system:authenticated") == nil || auth.CheckGroup("dev:ops") != nil {
		t.Error("groups")
	}
	for _, b := range []meta.Binding{
		{Role: "admin", Subject: "a", On: "*"},
		{Role: "registry-viewer", Subject: "", On: "*"},
		{Role: "registry-viewer", Subject: "a", On: ""},
	} {
		if err := auth.CheckBinding(b); !errors.Is(err, auth.ErrName) {
			t.Errorf("binding %+v: %v", b, err)
		}
	}
}
