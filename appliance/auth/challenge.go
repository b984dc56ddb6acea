package auth

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

// Basic is the challenge of HTTP's Basic scheme (RFC 7617).
const Basic = `Basic realm="Skerry", charset="UTF-8"`

// An Access is what a request needs.
type Access struct {
	Repo    string // "" with Catalog
	Actions Action
}

// Challenges are the values of WWW-Authenticate for a request that needs access,
// one header line each. err is why the request was refused.
//
// Where those who say nothing may do something, only the token flow is offered:
// it gives tokens to them too, while clients that see Basic want a password. Where
// nobody may, Basic comes first, for clients that read one line only: it works
// with every request, as a token with few scopes does not. Who came with a token
// is asked for one.
func (a *Authority) Challenges(r *http.Request, err error, access ...Access) []string {
	bearer := challengeBearer(r, err, access)
	p, perr := a.now()
	switch {
	case perr == nil && len(p.anonymous.grants) > 0:
		return []string{bearer}
	case hasBearer(r):
		return []string{bearer, Basic}
	}
	return []string{Basic, bearer}
}

func hasBearer(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer")
}

// challengeBearer is the challenge of the distribution token specification.
func challengeBearer(r *http.Request, err error, access []Access) string {
	host := hostOf(r)
	bearer := `Bearer realm="` + schemeOf(r) + `://` + host + `/token",service="` + host + `"`
	if scope := scopeString(access); scope != "" {
		bearer += `,scope="` + scope + `"`
	}
	switch {
	case errors.Is(err, ErrScope):
		bearer += `,error="insufficient_scope"`
	case errors.Is(err, ErrBadCredentials):
		bearer += `,error="invalid_token"`
	}
	return bearer
}

// scopeString writes what is needed as the distribution token specification
// does, a repository's actions together.
func scopeString(access []Access) string {
	var scopes []string
	var repos []string
	actions := map[string]Action{}
	for _, a := range access {
		if a.Repo == "" {
			scopes = append(scopes, typeRegistry+":"+nameCatalog+":"+wildcard)
			continue
		}
		if !slices.Contains(repos, a.Repo) {
			repos = append(repos, a.Repo)
		}
		actions[a.Repo] |= a.Actions
	}
	for _, repo := range repos {
		if names := actionNames(actions[repo]); len(names) > 0 {
			scopes = append(scopes, typeRepository+":"+repo+":"+strings.Join(names, ","))
		}
	}
	return strings.Join(scopes, " ")
}

// hostOf is the registry's name as the client writes it, fit for a quoted string.
func hostOf(r *http.Request) string {
	return strings.Map(func(c rune) rune {
		if c == '"' || c == '\\' || c < ' ' {
			return -1
		}
		return c
	}, r.Host)
}

// schemeOf is how the client reaches us. Behind a proxy that ends TLS the proxy
// knows; who lies about it is sent to the wrong place himself.
func schemeOf(r *http.Request) string {
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		return "https"
	}
	return "http"
}
