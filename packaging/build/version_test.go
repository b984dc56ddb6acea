package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestVersionsAreOnesThatPackagesMayHave(t *testing.T) {
	for asked, want := range map[string]string{
		"v1.2.3": "1.2.3", "1.3.0-rc.1": "1.3.0~rc.1", "1.3.0~rc.1": "1.3.0~rc.1", "1.2.3+5.gabc": "1.2.3+5.gabc",
	} {
		if got, err := (job{}).pickVersion(t.Context(), asked); got != want || err != nil {
			t.Errorf("%s became %q, %v, want %s", asked, got, err, want)
		}
	}
	for _, bad := range []string{"latest", "1.2.3 4", "1:2", "1.2-a-b", "1.2.3/4", "-1"} {
		if got, err := (job{}).pickVersion(t.Context(), bad); err == nil {
			t.Errorf("%q became %s", bad, got)
		}
	}
}

// A history of commits and tags gives versions that dpkg and rpm put into the
// order in which they were made.
func TestVersionsOfAHistoryRise(t *testing.T) {
	j := job{root: t.TempDir()}
	git := func(args ...string) {
		t.Helper()
		args = append([]string{"-c", "user.name=n", "-c", "user.email=e@example.com"}, args...)
		if out, err := j.git(t.Context(), args...); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	var versions []string
	look := func() {
		t.Helper()
		v, err := j.pickVersion(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, v)
	}
	look()
	git("init", "-q")
	for _, tag := range []string{"", "", "v0.9.0-rc.1", "v0.9.0-rc.2", "v0.9.0", "", "", "v0.9.1", "v0.10.0"} {
		git("commit", "-q", "--allow-empty", "-m", "more")
		if tag != "" {
			git("tag", tag)
		}
		look()
	}
	if err := os.WriteFile(filepath.Join(j.root, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	git("add", "f")
	look()
	if last := versions[len(versions)-1]; last != "0.10.0+dirty" || !slices.Contains(versions, "0.9.0~rc.2") {
		t.Errorf("versions %v: want them to tell tags and changes", versions)
	}
	for i, v := range versions[1:] {
		if err := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", versions[i], "lt", v).Run(); err != nil {
			t.Errorf("dpkg: %s is not before %s: %v", versions[i], v, err)
		}
		lua := `%{lua:print(rpm.vercmp("` + versions[i] + `","` + v + `"))}`
		out, err := exec.CommandContext(t.Context(), "rpm", "--eval", lua).Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != "-1" {
			t.Errorf("rpm: %s is not before %s: %s, %v", versions[i], v, got, err)
		}
	}
}
