package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"skerry.dev/skerry/meta"
)

// An AccessOperator says who may come in and what they may do. Errors wrap
// [ErrInvalid], [ErrConflict], or are those of meta.
type AccessOperator interface {
	// Users lists the accounts, sorted by name.
	Users(ctx context.Context) ([]User, error)
	// AddUser makes an account. Without a password one is made, and returned.
	AddUser(ctx context.Context, name string, r UserRequest, actor string) (password string, err error)
	// SetPassword changes a password. Without one, one is made, and returned.
	SetPassword(ctx context.Context, name string, r PasswordRequest, actor string) (password string, err error)
	// DeleteUser deletes an account and the roles granted to it.
	DeleteUser(ctx context.Context, name, actor string) error

	// Tokens lists the robots, sorted by name.
	Tokens(ctx context.Context) ([]Token, error)
	// AddToken makes a robot and returns its secret, which is not kept.
	AddToken(ctx context.Context, name string, r TokenRequest, actor string) (secret string, err error)
	// DeleteToken deletes a robot and the roles granted to it.
	DeleteToken(ctx context.Context, name, actor string) error

	// Grants lists which roles were granted.
	Grants(ctx context.Context) ([]Grant, error)
	// Grant grants a role; granting it again is no error.
	Grant(ctx context.Context, g Grant, actor string) error
	// Revoke takes a role away.
	Revoke(ctx context.Context, g Grant, actor string) error
}

// A User is an account, without its secret.
type User struct {
	Name    string    `json:"name"`
	Admin   bool      `json:"admin"`
	Groups  []string  `json:"groups,omitempty"`
	Created time.Time `json:"created"`
}

// UserRequest asks for an account. Only the password is sent in the body.
type UserRequest struct {
	Password string // "": make one
	Admin    bool
	Groups   []string
}

// PasswordRequest asks for a new password.
type PasswordRequest struct {
	Password string `json:"password,omitempty"` // "": make one
}

// A Token is a robot, without its secret.
type Token struct {
	Name    string    `json:"name"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Expired bool      `json:"expired"`
	Created time.Time `json:"created"`
	Actor   string    `json:"actor"` // who made it
}

// TokenRequest asks for a robot.
type TokenRequest struct {
	Expires time.Time // zero: never
	Role    string    // "": none yet
	On      []string
}

// A Grant is a role that somebody has on what a pattern names.
type Grant struct {
	Role    string           `json:"role"`
	Kind    meta.SubjectKind `json:"kind"`
	Subject string           `json:"subject"`
	On      string           `json:"on"`
	Created time.Time        `json:"created,omitzero"`
	Actor   string           `json:"actor,omitempty"`
}

// Made carries a secret that was made. It is told once.
type Made struct {
	Secret string `json:"secret,omitempty"`
}

const (
	usersPath  = Prefix + "/users"
	tokensPath = Prefix + "/tokens"
	grantsPath = Prefix + "/grants"
	never      = "never"
)

// access serves an AccessOperator. What is asked for stands in the path or the
// query, so that the audit log tells it; secrets stand in the body.
func access(op AccessOperator, on func(pattern string, f operation)) {
	type none = struct{}
	on("GET "+usersPath, answer(func(r *http.Request, _ string, _ none) ([]User, error) {
		return op.Users(r.Context())
	}))
	on("POST "+usersPath+"/{name}", answer(func(r *http.Request, actor string, q PasswordRequest) (Made, error) {
		asked := UserRequest{q.Password, r.URL.Query().Get("admin") == "true", r.URL.Query()["group"]}
		secret, err := op.AddUser(r.Context(), r.PathValue("name"), asked, actor)
		return Made{secret}, err
	}))
	on("PUT "+usersPath+"/{name}/password", answer(func(r *http.Request, actor string, q PasswordRequest) (Made, error) {
		secret, err := op.SetPassword(r.Context(), r.PathValue("name"), q, actor)
		return Made{secret}, err
	}))
	on("DELETE "+usersPath+"/{name}", answer(func(r *http.Request, actor string, _ none) (none, error) {
		return none{}, op.DeleteUser(r.Context(), r.PathValue("name"), actor)
	}))
	on("GET "+tokensPath, answer(func(r *http.Request, _ string, _ none) ([]Token, error) {
		return op.Tokens(r.Context())
	}))
	on("POST "+tokensPath+"/{name}", answer(func(r *http.Request, actor string, _ none) (Made, error) {
		q, err := tokenIn(r.URL.Query())
		if err != nil {
			return Made{}, err
		}
		secret, err := op.AddToken(r.Context(), r.PathValue("name"), q, actor)
		return Made{secret}, err
	}))
	on("DELETE "+tokensPath+"/{name}", answer(func(r *http.Request, actor string, _ none) (none, error) {
		return none{}, op.DeleteToken(r.Context(), r.PathValue("name"), actor)
	}))
	on("GET "+grantsPath, answer(func(r *http.Request, _ string, _ none) ([]Grant, error) {
		return op.Grants(r.Context())
	}))
	on("POST "+grantsPath, answer(func(r *http.Request, actor string, _ none) (none, error) {
		return none{}, op.Grant(r.Context(), grantIn(r), actor)
	}))
	on("DELETE "+grantsPath, answer(func(r *http.Request, actor string, _ none) (none, error) {
		return none{}, op.Revoke(r.Context(), grantIn(r), actor)
	}))
}

// tokenIn reads a request for a token. Expires has to be there: forgetting it must
// not make a token that lives for ever.
func tokenIn(q url.Values) (t TokenRequest, err error) {
	t = TokenRequest{Role: q.Get("role"), On: q["on"]}
	if s := q.Get("expires"); s != never {
		if t.Expires, err = time.Parse(time.RFC3339, s); err != nil {
			return t, fmt.Errorf("%w: expires is %q; want a time (RFC 3339) or %q", errBadRequest, s, never)
		}
	}
	return t, nil
}

func grantIn(r *http.Request) Grant {
	q := r.URL.Query()
	return Grant{
		Role: q.Get("role"), Kind: meta.SubjectKind(q.Get("kind")), Subject: q.Get("subject"), On: q.Get("on"),
	}
}

func (g Grant) path() string {
	return grantsPath + "?" + url.Values{
		"role": {g.Role}, "kind": {string(g.Kind)}, "subject": {g.Subject}, "on": {g.On},
	}.Encode()
}
