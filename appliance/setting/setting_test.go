package setting_test

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/appliance/setting"
)

// An example has a setting of each kind.
type example struct {
	word, password, mode string
	on                   bool
	period, unset        time.Duration
	number               int
	words                []string
}

func newExample() (*example, setting.Table) {
	e := &example{mode: "self", period: 24 * time.Hour}
	return e, setting.Table{
		{Key: "word", Value: setting.Text(&e.word)},
		{Key: "password", Value: setting.Text(&e.password), Secret: true, Live: true},
		{Key: "mode", Value: setting.Choice(&e.mode, "self", "off")},
		{Key: "on", Value: setting.OnOff(&e.on), Live: true},
		{Key: "the-period", Value: setting.Period(&e.period), Live: true},
		{Key: "unset", Value: setting.Period(&e.unset), Default: "found out"},
		{Key: "number", Value: setting.Number(&e.number)},
		{Key: "words", Value: setting.List(&e.words)},
	}
}

// resolve reads a file.
func resolve(t setting.Table, file string) (setting.Resolved, error) {
	return t.Resolve(setting.Sources{Name: "f", Content: []byte(file)})
}

func TestPeriodsAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]string{
		"90s": "1m30s", "60s": "1m", "24h": "24h", "1d": "24h", "2d": "2d", "48h": "2d", "1d12h": "36h",
		"30d": "30d", "1h30m": "1h30m", "10m": "10m", "1ms": "1ms", "2d1s": "48h0m1s",
	} {
		e, table := newExample()
		if _, err := resolve(table, "the-period: "+text); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		s, _ := table.Find("the-period")
		if got := s.Shown(); got != want {
			t.Errorf("%s is written %s, want %s", text, got, want)
		}
		first := e.period
		if err := s.Value.Set([]string{want}); err != nil || e.period != first {
			t.Errorf("%s is read back as %s, %v", want, e.period, err)
		}
	}
	for _, text := range []string{"0", "0s", "-1h", "5", "d", "1.5d", "xd", "1h2d", "99999d", "30 d"} {
		e, table := newExample()
		if _, err := resolve(table, "the-period: "+text); err == nil || e.period != 24*time.Hour {
			t.Errorf("%s was taken for %s", text, e.period)
		}
	}
}

// Secrets are in nothing that people or logs see.
func TestSecretsStaySecret(t *testing.T) {
	e, table := newExample()
	r, err := resolve(table, "password: hunter2\nword: visible")
	if err != nil || e.password != "hunter2" {
		t.Fatal(e.password, err)
	}
	_, before := newExample()
	var out bytes.Buffer
	table.Markdown(&out)
	y, err := table.YAML(r.Origins)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(y)
	for _, s := range table {
		out.WriteString(s.Shown())
	}
	for _, c := range table.Adopt(before) {
		out.WriteString(c.Key + c.From + c.To)
	}
	if !strings.Contains(out.String(), "visible") || !strings.Contains(out.String(), "password") {
		t.Errorf("the test looks at nothing: %s", &out)
	}
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("the secret is out:\n%s", &out)
	}
	_, err = resolve(table, "password: [hunter2]")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a mistaken secret: %v", err)
	}
}

func TestAdoptKeepsWhatNeedsARestart(t *testing.T) {
	_, running := newExample()
	if _, err := resolve(running, "word: old\nnumber: 1\nwords: [a, b]\non: false"); err != nil {
		t.Fatal(err)
	}
	e, next := newExample()
	if _, err := resolve(next, "word: new\nwords: [a]\non: true\nunset: 5s"); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, c := range next.Adopt(running) {
		keys = append(keys, c.Key)
	}
	if want := []string{"word", "on", "unset", "number", "words"}; !slices.Equal(keys, want) {
		t.Errorf("changed: %v, want %v", keys, want)
	}
	if e.word != "old" || e.number != 1 || !slices.Equal(e.words, []string{"a", "b"}) || e.unset != 0 || !e.on {
		t.Errorf("after the reload runs %+v", e)
	}
	if again := next.Adopt(running); len(again) != 1 || again[0].Key != "on" {
		t.Errorf("what runs differs in %v, want only what took effect", again)
	}
}

func TestNamesAreGuessed(t *testing.T) {
	_, table := newExample()
	for name, want := range map[string]string{
		"wrod": "word", "pasword": "password", "thePeriod": "the-period", "the_period": "the-period",
		"THE-PERIOD": "the-period", "numbers": "number", "zebra-crossing": "", "x": "on",
	} {
		_, err := resolve(table, name+": 1")
		if err == nil || strings.Contains(err.Error(), "did you mean") != (want != "") ||
			want != "" && !strings.Contains(err.Error(), `"`+want+`"?`) {
			t.Errorf("%s: %v, want a hint at %q", name, err, want)
		}
	}
}

// A mistake in a weaker source is told although a stronger one has the last word.
func TestEverySourceIsJudged(t *testing.T) {
	e, table := newExample()
	_, err := table.Resolve(setting.Sources{
		Name: "f", Content: []byte("on: maybe\nnumber: 2\n"), Environ: []string{"SKERRY_ON=perhaps", "SKERRY_NUMBER="},
		Flags: func(key string) ([]string, bool) { return []string{"true"}, key == "on" },
	})
	var mistakes setting.Mistakes
	if !errors.As(err, &mistakes) || len(mistakes) != 2 || mistakes.All(setting.File) || !mistakes.About("on") {
		t.Fatalf("mistakes: %v", err)
	}
	if !e.on || e.number != 2 {
		t.Errorf("the sound values were not taken: %+v", e)
	}
}

// Whatever stands in the file, it is either read or refused with its place; and
// what YAML prints reads back as the same.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"word: a\nwords: [b, c]", "", "---\n---\n", "? [a]\n: b", "a: &x 1\nword: *x", "word: {<<: 1}", "- a",
		"word: |\n  a\n  b", "\x00", "word: \"\\x00\"", "words: [~]", "on: !!binary aGk=", "word: \"null\"",
		"word: '# no'", "words: ['a, b', ': c']",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		_, table := newExample()
		r, err := table.Resolve(setting.Sources{Name: "f", Content: content})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("no place: %v", err)
			}
			return
		}
		y, err := table.YAML(r.Origins)
		if err != nil {
			t.Fatal(err)
		}
		_, again := newExample()
		if _, err := again.Resolve(setting.Sources{Name: "g", Content: y}); err != nil {
			t.Fatalf("%v in:\n%s", err, y)
		}
		for i, s := range table {
			if s.Secret {
				continue
			}
			if got, want := again[i].Value.Texts(), s.Value.Texts(); !slices.Equal(got, want) {
				t.Errorf("%s: %q, was %q, in:\n%s", s.Key, got, want, y)
			}
		}
	})
}

func TestAnExampleHasEveryKeyAndNoSecret(t *testing.T) {
	e, table := newExample()
	e.word, e.password, e.words = "w", "hush", []string{"a", "b"}
	var b bytes.Buffer
	if err := table.Example(&b, func(key string) bool { return key == "word" || key == "password" }); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, line := range []string{"word: w", `password: ""`, "#mode: self", "#unset: 0", "#words: [a, b]"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %q in:\n%s", line, text)
		}
	}
	again, table := newExample()
	if _, err := resolve(table, regexp.MustCompile(`(?m)^#([a-z])`).ReplaceAllString(text, "$1")); err != nil {
		t.Error(err)
	}
	if again.word != "w" || again.mode != "self" || !slices.Equal(again.words, e.words) {
		t.Errorf("the example says %+v, want %+v", again, e)
	}
}
