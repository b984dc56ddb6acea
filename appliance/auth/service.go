package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// formMax bounds the body of a request for a token, in bytes.
const formMax = 64 << 10

// errGrant says that a request for a token makes no sense; the text after it is
// for the client.
var errGrant = errors.New("invalid request")

// tokenAnswer is what /token answers (distribution token specification, and its
// OAuth2 form).
type tokenAnswer struct {
	Token        string `json:"token"`
	AccessToken  string `json:"access_token"`
	ExpiresIn    int    `json:"expires_in"` // seconds
	IssuedAt     string `json:"issued_at"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"` // what was granted, in the OAuth2 form
}

// A tokenRequest is a request for a token by somebody known.
type tokenRequest struct {
	who     *Principal
	service string
	scopes  []string
	offline bool   // wants a refresh token too
	refresh string // that it came with
	oauth   bool
}

// ServeHTTP is /token: GET with a Basic login or with none, POST in the form of
// OAuth2 with a password or a refresh token.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q tokenRequest
	var err error
	switch r.Method {
	case http.MethodGet:
		q, err = a.askedByGet(r)
	case http.MethodPost:
		q, err = a.askedByPost(w, r)
	default:
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	var answer tokenAnswer
	if err == nil {
		answer, err = a.answer(r, q)
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (a *Authority) askedByGet(r *http.Request) (tokenRequest, error) {
	q := r.URL.Query()
	who, err := a.Authenticate(r)
	if errors.Is(err, ErrNoCredentials) {
		err = nil // an anonymous token
	}
	return tokenRequest{
		who: who, service: q.Get("service"), scopes: q["scope"], offline: q.Get("offline_token") == "true",
	}, err
}

func (a *Authority) askedByPost(w http.ResponseWriter, r *http.Request) (tokenRequest, error) {
	r.Body = http.MaxBytesReader(w, r.Body, formMax)
	if err := r.ParseForm(); err != nil {
		return tokenRequest{}, fmt.Errorf("%w: the body is no form: %w", errGrant, err)
	}
	f := r.PostForm
	q := tokenRequest{
		service: f.Get("service"), scopes: f["scope"], offline: f.Get("access_type") == "offline", oauth: true,
	}
	var err error
	switch f.Get("grant_type") {
	case "password":
		q.who, err = a.Authenticate(withBasic(r, f))
	case "refresh_token":
		q.refresh = f.Get("refresh_token")
		q.who, err = a.refreshed(r, q.refresh)
	default:
		err = fmt.Errorf("%w: grant_type must be password or refresh_token", errGrant)
	}
	return q, err
}

// withBasic is r with the form's name and password as a Basic login.
func withBasic(r *http.Request, f url.Values) *http.Request {
	c := r.Clone(r.Context())
	login := f.Get("username") + ":" + f.Get("password")
	c.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(login)))
	return c
}

// refreshed is whom a refresh token was issued to.
func (a *Authority) refreshed(r *http.Request, raw string) (*Principal, error) {
	p, err := a.now()
	if err != nil {
		return nil, err
	}
	l, err := a.try(r, proof{method: MethodOIDC}, func(context.Context, proof) (*login, error) {
		if len(raw) > credentialMax {
			return nil, ErrBadCredentials
		}
		c, err := a.open(raw, useRefresh, r.Host)
		if err != nil {
			return nil, err
		}
		l, err := a.accept(p, func(p *policy) *Principal { return a.holder(p, c) })
		if err != nil {
			return nil, errors.Join(err, ErrExpired)
		}
		return l, nil
	})
	if err != nil {
		return nil, err
	}
	return l.principal, nil
}

func (a *Authority) answer(r *http.Request, q tokenRequest) (tokenAnswer, error) {
	if q.service != "" && q.service != r.Host {
		return tokenAnswer{}, fmt.Errorf("%w: service %.200q is not this registry, which is called %s here",
			errGrant, q.service, r.Host)
	}
	if q.who.scope != nil {
		return tokenAnswer{}, fmt.Errorf("%w: a token does not prolong itself; log in, or use the refresh token", errGrant)
	}
	access := granted(q.who, parseScopes(q.scopes))
	now := a.cfg.Now()
	raw, err := a.issue(q.who, useAccess, r.Host, tokenLife, access)
	if err != nil {
		return tokenAnswer{}, err
	}
	t := tokenAnswer{
		Token: raw, AccessToken: raw, RefreshToken: q.refresh,
		ExpiresIn: int(q.who.life(now, tokenLife).Seconds()), IssuedAt: now.UTC().Format(time.RFC3339),
	}
	if q.oauth {
		t.Scope = scopesString(access)
	}
	// Only what ends with its secret may last that long.
	if q.offline && q.refresh == "" && q.who.bound != "" {
		t.RefreshToken, err = a.issue(q.who, useRefresh, r.Host, refreshLife, nil)
	}
	return t, err
}

// refuse answers with err. Clients of the OAuth2 form look for the word in error,
// all others for the status.
func (a *Authority) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, code, word := http.StatusInternalServerError, "UNKNOWN", "server_error"
	message := "internal error; see the registry's log"
	var limit *LimitError
	switch {
	case errors.As(err, &limit):
		status, code, word, message = http.StatusTooManyRequests, "TOOMANYREQUESTS", "slow_down", limit.Error()
		w.Header().Set("Retry-After", strconv.Itoa(limit.Seconds()))
	case errors.Is(err, ErrBadCredentials):
		status, code, word = http.StatusUnauthorized, "UNAUTHORIZED", "invalid_grant"
		message = "wrong or expired credentials"
		w.Header().Set("WWW-Authenticate", Basic)
	case errors.Is(err, errGrant):
		status, code, word, message = http.StatusBadRequest, "UNSUPPORTED", "invalid_request", err.Error()
	default:
		a.cfg.Log.ErrorContext(r.Context(), "token request failed", "err", err)
	}
	writeJSON(w, status, map[string]any{
		"error": word, "error_description": message,
		"errors": []map[string]string{{"code": code, "message": strings.TrimPrefix(message, "auth: ")}},
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who went away misses nothing
}
