//go:build conformance

package conformance_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// A login answers a registry's challenges as clients do: it tries without,
// reads WWW-Authenticate, and keeps what it obtained for the repository and the
// kind of access.
type login struct {
	user, password string
	next           http.RoundTripper

	mu   sync.Mutex // guards kept
	kept map[string]string
}

// RoundTrip implements [http.RoundTripper].
func (l *login) RoundTrip(req *http.Request) (*http.Response, error) {
	key := accessKey(req)
	l.mu.Lock()
	kept := l.kept[key]
	l.mu.Unlock()
	first := req.Clone(req.Context())
	if kept != "" {
		first.Header.Set("Authorization", kept)
	}
	resp, err := l.next.RoundTrip(first)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	_ = resp.Body.Close()
	authorization, err := l.answer(req, resp.Header.Get("WWW-Authenticate"))
	if err != nil {
		return nil, fmt.Errorf("log in for %s: %w", key, err)
	}
	l.mu.Lock()
	l.kept[key] = authorization
	l.mu.Unlock()
	second := req.Clone(req.Context())
	second.Header.Set("Authorization", authorization)
	if req.GetBody != nil {
		if second.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	return l.next.RoundTrip(second)
}

var challengeParam = regexp.MustCompile(`(\w+)="([^"]*)"`)

// answer turns a challenge into the value of an Authorization header.
func (l *login) answer(req *http.Request, challenge string) (string, error) {
	scheme, params, _ := strings.Cut(challenge, " ")
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(l.user+":"+l.password))
	switch strings.ToLower(scheme) {
	case "basic":
		return basic, nil
	case "bearer":
	default:
		return "", fmt.Errorf("cannot answer the challenge %q", challenge)
	}
	query := url.Values{}
	realm := ""
	for _, m := range challengeParam.FindAllStringSubmatch(params, -1) {
		switch m[1] {
		case "realm":
			realm = m[2]
		case "service", "scope":
			query.Set(m[1], m[2])
		}
	}
	at, err := req.URL.Parse(realm)
	if err != nil {
		return "", err
	}
	at.RawQuery = query.Encode()
	ask, err := http.NewRequestWithContext(req.Context(), http.MethodGet, at.String(), nil)
	if err != nil {
		return "", err
	}
	ask.Header.Set("Authorization", basic)
	resp, err := l.next.RoundTrip(ask)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("token service answers %s", resp.Status)
	}
	var token struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&token); err != nil {
		return "", err
	}
	for _, s := range []string{token.Token, token.AccessToken} {
		if s != "" {
			return "Bearer " + s, nil
		}
	}
	return "", errors.New("token service answers without a token")
}

var repositoryOf = regexp.MustCompile(`^/v2/(.+)/(?:blobs|manifests|tags|referrers)/`)

// accessKey names what a token is good for: a repository, and reading, writing
// or deleting in it.
func accessKey(req *http.Request) string {
	name := ""
	if m := repositoryOf.FindStringSubmatch(req.URL.Path); m != nil {
		name = m[1]
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		return name + ":pull"
	case http.MethodDelete:
		return name + ":delete"
	}
	return name + ":push"
}
