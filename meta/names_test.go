package meta_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"skerry.dev/skerry/meta"
)

// The grammars as the distribution spec writes them.
var (
	repoGrammar = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagGrammar  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

func FuzzRepoName(f *testing.F) {
	for _, s := range []string{
		"", "a", "a/b", "a//b", "/a", "a/", "a.b", "a..b", "a_b", "a__b", "a___b", "a-b", "a---b", "a.-b", "a-", "-a", "A",
		"a_-b", "a__/b", "é", "a b", strings.Repeat("a", 255), strings.Repeat("a", 256),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := meta.ParseRepoName(s)
		want := len(s) <= 255 && repoGrammar.MatchString(s) && !strings.HasSuffix(s, "\n")
		if (err == nil) != want || err != nil && !errors.Is(err, meta.ErrName) || want && string(name) != s {
			t.Errorf("ParseRepoName(%q) = %q, %v; the grammar says %v", s, name, err, want)
		}
	})
}

func FuzzTag(f *testing.F) {
	for _, s := range []string{
		"", "a", "V1.0-rc_2", ".a", "-a", "_a", "a/b", "é", strings.Repeat("a", 128), strings.Repeat("a", 129), "a\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tag, err := meta.ParseTag(s)
		want := tagGrammar.MatchString(s) && !strings.HasSuffix(s, "\n")
		if (err == nil) != want || err != nil && !errors.Is(err, meta.ErrName) || want && string(tag) != s {
			t.Errorf("ParseTag(%q) = %q, %v; the grammar says %v", s, tag, err, want)
		}
	})
}
