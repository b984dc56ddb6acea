package tls_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry.dev/skerry/tls"
)

const day = 24 * time.Hour

// files is a configuration that shows the files of a secret.
func files(t *testing.T, cert, key []byte) (tls.Config, secretDir, *clock) {
	t.Helper()
	s := newSecretDir(t, cert, key)
	cfg, now := config(t)
	cfg.Dir, cfg.Files = "", &tls.Files{Cert: s.file("tls.crt"), Key: s.file("tls.key")}
	return cfg, s, now
}

func TestNewFilesAreShownWithoutARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newIssuer(t, "theirs")
		one, oneKey := ca.server(90*day, "localhost")
		two, twoKey := ca.server(90*day, "localhost")
		three, threeKey := ca.server(90*day, "localhost")
		cfg, dir, _ := files(t, one, oneKey)
		cfg.Now = nil
		p := open(t, cfg)
		if got := shownAs(t, p, "localhost"); !got.Equal(parse(t, one)) {
			t.Fatalf("shown %v", got.Subject)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		dir.swap(two, twoKey)
		<-time.After(time.Minute + time.Second) // the bubble's clock
		synctest.Wait()
		if got := shownAs(t, p, "localhost"); !got.Equal(parse(t, two)) {
			t.Error("the new pair is not shown after a minute")
		}
		dir.swap(three, threeKey)
		if err := p.Reload(); err != nil {
			t.Error(err)
		}
		if got := shownAs(t, p, "localhost"); !got.Equal(parse(t, three)) {
			t.Error("the new pair is not shown after Reload")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestBadFilesLeaveTheGoodPairInUse(t *testing.T) {
	ca := newIssuer(t, "theirs")
	good, goodKey := ca.server(90*day, "localhost")
	other, otherKey := ca.server(90*day, "localhost")
	old, oldKey := ca.server(-time.Hour, "localhost")
	chain := append(bytes.Clone(other), ca.pem...)
	for _, c := range []struct {
		name      string
		cert, key []byte
		words     string
	}{
		{"another's key", other, goodKey, "does not match"},
		{"cut certificate", other[:len(other)/2], otherKey, "tls.crt"},
		{"cut key", other, otherKey[:len(otherKey)/2], "tls.key"},
		{"cut chain", chain[:len(chain)-100], otherKey, "of 2 certificates only 1"},
		{"empty", nil, nil, "tls.crt"},
		{"junk", []byte("junk"), []byte("junk"), "tls.crt"},
		{"expired", old, oldKey, "expired on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, dir, _ := files(t, good, goodKey)
			var log bytes.Buffer
			cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
			p := open(t, cfg)
			dir.swap(c.cert, c.key)
			if err := p.Reload(); err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("reload: %v, want a word of %q", err, c.words)
			}
			p.Look(t.Context())
			p.Look(t.Context())
			if n := strings.Count(log.String(), "level=WARN"); n != 0 {
				t.Errorf("what Reload returned was logged %d times as well", n)
			}
			if got := shownAs(t, p, "localhost"); !got.Equal(parse(t, good)) {
				t.Error("the good pair is not shown any more")
			}
			if s := p.Status().Shown[0]; !strings.Contains(s.Trouble, c.words) || !s.NotAfter.Equal(parse(t, good).NotAfter) {
				t.Errorf("status %+v", s)
			}
			dir.swap(other, otherKey)
			p.Look(t.Context())
			if got := shownAs(t, p, "localhost"); !got.Equal(parse(t, other)) || p.Status().Shown[0].Trouble != "" {
				t.Errorf("after it was put right: %+v", p.Status())
			}
		})
	}
}

func TestTroubleIsLoggedOnceUntilItChanges(t *testing.T) {
	ca := newIssuer(t, "theirs")
	good, goodKey := ca.server(90*day, "localhost")
	cfg, dir, _ := files(t, good, goodKey)
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	p := open(t, cfg)
	look := func(cert []byte, warnings, infos int) {
		t.Helper()
		dir.swap(cert, goodKey)
		p.Look(t.Context())
		p.Look(t.Context())
		w, i := strings.Count(log.String(), "level=WARN"), strings.Count(log.String(), "level=INFO")
		if w != warnings || i != infos {
			t.Errorf("%d warnings and %d infos, want %d and %d:\n%s", w, i, warnings, infos, &log)
		}
	}
	look(good, 0, 0)
	look(nil, 1, 0)
	look(good[:100], 1, 0) // the same words
	look(good, 1, 1)
	look(nil, 2, 1)
}

func TestUnusableFilesAreAnErrorAtTheStart(t *testing.T) {
	ca := newIssuer(t, "theirs")
	good, goodKey := ca.server(90*day, "localhost")
	cfg, _, _ := files(t, good, nil)
	if _, err := tls.OpenPublic(cfg); err == nil || !strings.Contains(err.Error(), "tls.key") {
		t.Errorf("no key: %v", err)
	}
	cfg.Files.Cert = filepath.Join(t.TempDir(), "nothing")
	if _, err := tls.OpenPublic(cfg); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("no file: %v", err)
	}
	// One that expired is better than no registry, and told of.
	old, oldKey := ca.server(-time.Hour, "localhost")
	cfg, _, _ = files(t, old, oldKey)
	p := open(t, cfg)
	if s := p.Status().Shown[0]; !strings.Contains(s.Trouble, "expired") {
		t.Errorf("status %+v", s)
	}
	if cfg, _, _ = files(t, good, goodKey); open(t, cfg).CA() != nil {
		t.Error("there is a CA of which nothing is shown")
	}
}

// TestWrongClocksKeepFilesInUse moves this machine's clock: clients have theirs.
func TestWrongClocksKeepFilesInUse(t *testing.T) {
	ca := newIssuer(t, "theirs")
	good, goodKey := ca.server(90*day, "localhost")
	fresh, freshKey := ca.server(90*day, "localhost")
	for name, c := range map[string]struct {
		by    time.Duration
		words string
		taken bool
	}{
		"a year ahead": {365 * day, "expired on", false},
		"a year back":  {-365 * day, "is the clock right?", true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, dir, now := files(t, good, goodKey)
			p := open(t, cfg)
			now.t = now.t.Add(c.by)
			p.Look(t.Context())
			if s := p.Status().Shown[0]; !strings.Contains(s.Trouble, c.words) {
				t.Errorf("status %+v", s)
			}
			dir.swap(fresh, freshKey)
			p.Look(t.Context())
			if got := shownAs(t, p, "localhost"); got.Equal(parse(t, fresh)) != c.taken {
				t.Errorf("new pair taken: %t, want %t", !c.taken, c.taken)
			}
			now.t = now.t.Add(-c.by)
			p.Look(t.Context())
			if got := shownAs(t, p, "localhost"); !got.Equal(parse(t, fresh)) || p.Status().Shown[0].Trouble != "" {
				t.Errorf("clock right again: %+v", p.Status())
			}
		})
	}
}

func TestSecretsMayBeReadWhileTheyAreSwapped(t *testing.T) {
	ca := newIssuer(t, "theirs")
	one, oneKey := ca.server(90*day, "localhost")
	cfg, dir, _ := files(t, one, oneKey)
	p := open(t, cfg)
	if err := os.Remove(dir.file("..data")); err != nil { // between two secrets, for a moment
		t.Fatal(err)
	}
	p.Look(t.Context())
	if got := shownAs(t, p, "localhost"); !got.Equal(parse(t, one)) {
		t.Error("not shown any more")
	}
}
