package tls_test

import (
	"strings"
	"testing"
	"time"

	"skerry.dev/skerry/tls"
)

func TestHostsAreChosenByName(t *testing.T) {
	ca := newIssuer(t, "theirs")
	cfg, _ := config(t, "localhost", "own.example")
	p := open(t, cfg)
	host := func(names ...string) tls.Host {
		cert, key := ca.server(day, names...)
		return tls.Host{Names: names, Cert: cert, Key: key}
	}
	exact, wild, bare := host("a.wild.example"), host("*.wild.example"), host("bare.example", "second.example")
	bare.Names = nil // those in the certificate
	if warnings, err := p.SetHosts([]tls.Host{exact, wild, bare}); err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	for name, want := range map[string][]byte{
		"a.wild.example": exact.Cert, "A.Wild.Example": exact.Cert,
		"b.wild.example": wild.Cert,
		"bare.example":   bare.Cert, "second.example": bare.Cert,
		"wild.example": nil, "a.b.wild.example": nil, "own.example": nil, "localhost": nil, "": nil,
	} {
		got := shownAs(t, p, name)
		if want == nil && got.Subject.CommonName != "skerry" {
			t.Errorf("%q: shown %v, want the own CA's", name, got.DNSNames)
		}
		if want != nil && !got.Equal(parse(t, want)) {
			t.Errorf("%q: shown %v", name, got.DNSNames)
		}
	}
	if _, err := p.SetHosts([]tls.Host{bare}); err != nil {
		t.Fatal(err)
	}
	if got := shownAs(t, p, "a.wild.example"); got.Subject.CommonName != "skerry" {
		t.Errorf("a host that is gone is shown: %v", got.DNSNames)
	}
}

func TestHostsThatCannotBeUsedChangeNothing(t *testing.T) {
	ca := newIssuer(t, "theirs")
	cfg, _ := config(t, "localhost")
	p := open(t, cfg)
	cert, key := ca.server(day, "good.example")
	_, other := ca.server(day, "other.example")
	good := tls.Host{Names: []string{"good.example"}, Cert: cert, Key: key}
	if _, err := p.SetHosts([]tls.Host{good}); err != nil {
		t.Fatal(err)
	}
	for words, bad := range map[string]tls.Host{
		"does not match":               {Names: []string{"x.example"}, Cert: cert, Key: other},
		"failed to find any PEM data":  {Names: []string{"x.example"}, Key: key},
		"neither a host name":          {Names: []string{"x y"}, Cert: cert, Key: key},
		"is the name of another host":  {Names: []string{"GOOD.example"}, Cert: cert, Key: key},
		"of 2 certificates only 1 are": {Cert: append(cert, cert[:99]...), Key: key},
	} {
		_, err := p.SetHosts([]tls.Host{good, bad})
		if err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "host 2") {
			t.Errorf("%v: %v, want %q", bad.Names, err, words)
		}
		if got := shownAs(t, p, "good.example"); !got.Equal(parse(t, cert)) {
			t.Errorf("after %v: shown %v", err, got.Subject)
		}
	}
}

func TestHostsThatClientsWillNotLikeAreWarnedOf(t *testing.T) {
	ca := newIssuer(t, "theirs")
	cfg, _ := config(t, "localhost")
	p := open(t, cfg)
	old, oldKey := ca.server(-time.Hour, "old.example")
	cert, key := ca.server(day, "good.example")
	warnings, err := p.SetHosts([]tls.Host{
		{Names: []string{"old.example"}, Cert: old, Key: oldKey},
		{Names: []string{"good.example", "uncovered.example"}, Cert: cert, Key: key},
	})
	if err != nil || len(warnings) != 2 {
		t.Fatal(warnings, err)
	}
	for i, words := range []string{
		"old.example: its certificate expired on", "uncovered.example: its certificate is for good",
	} {
		if !strings.HasPrefix(warnings[i], words) {
			t.Errorf("warning %q, want %q", warnings[i], words)
		}
	}
	for name, want := range map[string][]byte{"old.example": old, "uncovered.example": cert} {
		if got := shownAs(t, p, name); !got.Equal(parse(t, want)) {
			t.Errorf("%s: shown %v", name, got.Subject)
		}
	}
	if s := p.Status().Shown[0]; s.From != "hosts" || !strings.Contains(s.Trouble, "expired") {
		t.Errorf("status %+v", s)
	}
}
