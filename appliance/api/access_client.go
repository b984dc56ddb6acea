package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Users is [AccessOperator.Users].
func (c *Client) Users(ctx context.Context) (all []User, err error) {
	return all, c.call(ctx, http.MethodGet, usersPath, nil, &all)
}

// AddUser is [AccessOperator.AddUser].
func (c *Client) AddUser(ctx context.Context, name string, q UserRequest) (password string, err error) {
	var made Made
	v := url.Values{"group": q.Groups}
	if q.Admin {
		v.Set("admin", "true")
	}
	path := usersPath + "/" + url.PathEscape(name) + "?" + v.Encode()
	err = c.call(ctx, http.MethodPost, path, PasswordRequest{q.Password}, &made)
	return made.Secret, err
}

// SetPassword is [AccessOperator.SetPassword].
func (c *Client) SetPassword(ctx context.Context, name string, q PasswordRequest) (password string, err error) {
	var made Made
	err = c.call(ctx, http.MethodPut, usersPath+"/"+url.PathEscape(name)+"/password", q, &made)
	return made.Secret, err
}

// DeleteUser is [AccessOperator.DeleteUser].
func (c *Client) DeleteUser(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, usersPath+"/"+url.PathEscape(name), nil, nil)
}

// Tokens is [AccessOperator.Tokens].
func (c *Client) Tokens(ctx context.Context) (all []Token, err error) {
	return all, c.call(ctx, http.MethodGet, tokensPath, nil, &all)
}

// AddToken is [AccessOperator.AddToken].
func (c *Client) AddToken(ctx context.Context, name string, q TokenRequest) (secret string, err error) {
	var made Made
	v := url.Values{"role": {q.Role}, "on": q.On, "expires": {never}}
	if !q.Expires.IsZero() {
		v.Set("expires", q.Expires.UTC().Format(time.RFC3339))
	}
	err = c.call(ctx, http.MethodPost, tokensPath+"/"+url.PathEscape(name)+"?"+v.Encode(), nil, &made)
	return made.Secret, err
}

// DeleteToken is [AccessOperator.DeleteToken].
func (c *Client) DeleteToken(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, tokensPath+"/"+url.PathEscape(name), nil, nil)
}

// Grants is [AccessOperator.Grants].
func (c *Client) Grants(ctx context.Context) (all []Grant, err error) {
	return all, c.call(ctx, http.MethodGet, grantsPath, nil, &all)
}

// Grant is [AccessOperator.Grant].
func (c *Client) Grant(ctx context.Context, g Grant) error {
	return c.call(ctx, http.MethodPost, g.path(), nil, nil)
}

// Revoke is [AccessOperator.Revoke].
func (c *Client) Revoke(ctx context.Context, g Grant) error {
	return c.call(ctx, http.MethodDelete, g.path(), nil, nil)
}
