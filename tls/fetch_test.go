package tls_test

import (
	cryptotls "crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"skerry.dev/skerry/tls"
)

// handing serves a certificate of one authority and hands out what it is told.
func handing(t *testing.T, by *issuer, answer http.HandlerFunc, names ...string) (url string) {
	t.Helper()
	cert, key := by.server(day, names...)
	pair, err := cryptotls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(answer)
	s.TLS = &cryptotls.Config{Certificates: []cryptotls.Certificate{pair}}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func write(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ca.crt" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(b)
	}
}

func TestFetchedAuthorityIsThatOfTheServer(t *testing.T) {
	ours, theirs := newIssuer(t, "ours"), newIssuer(t, "theirs")
	_, key := ours.server(day, "127.0.0.1")
	more := append([]byte("a comment\n"), append(ours.pem, key...)...)
	got, err := tls.FetchCA(t.Context(), handing(t, ours, write(more), "127.0.0.1"))
	if err != nil || string(got) != string(ours.pem) {
		t.Errorf("%v: %q, want the certificate and nothing else", err, got)
	}
	away := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.example/ca.crt", http.StatusFound)
	}
	endless := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, strings.NewReader(strings.Repeat("x", 1<<20)))
	}
	for words, url := range map[string]string{
		"not signed by the CA": handing(t, theirs, write(ours.pem), "127.0.0.1"),
		"127.0.0.1":            handing(t, ours, write(ours.pem), "other.example"),
		"302 Found":            handing(t, ours, away, "127.0.0.1"),
		"no PEM certificate":   handing(t, ours, endless, "127.0.0.1"),
		"404 Not Found":        handing(t, ours, http.NotFound, "127.0.0.1"),
		"begins with https://": "http://127.0.0.1:1",
		"want a URL":           "https://",
	} {
		if _, err := tls.FetchCA(t.Context(), url); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want a word of %q", url, err, words)
		}
	}
}
