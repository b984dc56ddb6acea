package appliance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/meta"
)

// Users implements api.AccessOperator.
func (o operator) Users(context.Context) ([]api.User, error) {
	all, err := o.a.meta.Accounts()
	users := make([]api.User, len(all))
	for i, a := range all {
		users[i] = api.User{Name: a.Name, Admin: a.Admin, Groups: a.Groups, Created: a.Created}
	}
	return users, err
}

// AddUser implements api.AccessOperator.
func (o operator) AddUser(ctx context.Context, name string, q api.UserRequest, actor string) (string, error) {
	if err := auth.CheckName(name); err != nil {
		return "", invalid(err)
	}
	for _, g := range q.Groups {
		if err := auth.CheckGroup(g); err != nil {
			return "", invalid(err)
		}
	}
	made, hash, err := secretFor(q.Password)
	if err != nil {
		return "", err
	}
	account := meta.Account{Name: name, Secret: hash, Admin: q.Admin, Groups: q.Groups}
	err = o.a.meta.CreateAccount(ctx, account, actor)
	if errors.Is(err, meta.ErrConflict) {
		return "", fmt.Errorf("%w: there is an account %s already; change its password with skerry user passwd",
			api.ErrConflict, name)
	}
	return made, err
}

// SetPassword implements api.AccessOperator.
func (o operator) SetPassword(
	ctx context.Context, name string, q api.PasswordRequest, actor string,
) (string, error) {
	made, hash, err := secretFor(q.Password)
	if err != nil {
		return "", err
	}
	return made, o.a.meta.SetPassword(ctx, name, hash, actor)
}

// secretFor hashes a password that was chosen, or makes one.
func secretFor(chosen string) (made, hash string, err error) {
	if chosen == "" {
		made, hash = auth.NewSecret()
		return made, hash, nil
	}
	if hash, err = auth.HashPassword(chosen); err != nil {
		return "", "", invalid(err)
	}
	return "", hash, nil
}

// DeleteUser implements api.AccessOperator.
func (o operator) DeleteUser(ctx context.Context, name, actor string) error {
	err := o.a.meta.DeleteAccount(ctx, name, actor)
	if errors.Is(err, meta.ErrConflict) {
		return fmt.Errorf("%w: %s is the last administrator; make another first", api.ErrConflict, name)
	}
	return err
}

// Tokens implements api.AccessOperator.
func (o operator) Tokens(context.Context) ([]api.Token, error) {
	all, err := o.a.meta.Tokens()
	now := time.Now()
	tokens := make([]api.Token, len(all))
	for i, t := range all {
		tokens[i] = api.Token{
			Name: t.Name, Expires: t.Expires, Created: t.Created, Actor: t.Actor,
			Expired: !t.Expires.IsZero() && !now.Before(t.Expires),
		}
	}
	return tokens, err
}

// AddToken implements api.AccessOperator.
func (o operator) AddToken(ctx context.Context, name string, q api.TokenRequest, actor string) (string, error) {
	if err := auth.CheckName(name); err != nil {
		return "", invalid(err)
	}
	if !q.Expires.IsZero() && !q.Expires.After(time.Now()) {
		return "", fmt.Errorf("%w: the token would have expired at %s", api.ErrInvalid, q.Expires.Format(time.RFC3339))
	}
	if (q.Role == "") != (len(q.On) == 0) {
		return "", fmt.Errorf("%w: a role needs the repositories that it is for, and they need a role", api.ErrInvalid)
	}
	var grants []meta.Binding
	for _, on := range q.On {
		g := meta.Binding{Role: q.Role, Kind: meta.SubjectToken, Subject: name, On: on}
		if err := auth.CheckBinding(g); err != nil {
			return "", invalid(err)
		}
		grants = append(grants, g)
	}
	secret, hash := auth.NewToken()
	err := o.a.meta.CreateToken(ctx, meta.Token{Name: name, Secret: hash, Expires: q.Expires, Actor: actor}, grants)
	if errors.Is(err, meta.ErrConflict) {
		return "", fmt.Errorf("%w: there is a token %s already; delete it first, or choose another name",
			api.ErrConflict, name)
	}
	return secret, err
}

// DeleteToken implements api.AccessOperator.
func (o operator) DeleteToken(ctx context.Context, name, actor string) error {
	return o.a.meta.DeleteToken(ctx, name, actor)
}

// Grants implements api.AccessOperator.
func (o operator) Grants(context.Context) ([]api.Grant, error) {
	all, err := o.a.meta.Bindings()
	grants := make([]api.Grant, len(all))
	for i, b := range all {
		grants[i] = api.Grant(b)
	}
	return grants, err
}

// Grant implements api.AccessOperator.
func (o operator) Grant(ctx context.Context, g api.Grant, actor string) error {
	if err := auth.CheckBinding(meta.Binding(g)); err != nil {
		return invalid(err)
	}
	err := o.a.meta.Grant(ctx, meta.Binding(g), actor)
	if errors.Is(err, meta.ErrNotFound) {
		return fmt.Errorf("%w: there is no token %s; make it with skerry token create", meta.ErrNotFound, g.Subject)
	}
	return err
}

// Revoke implements api.AccessOperator.
func (o operator) Revoke(ctx context.Context, g api.Grant, actor string) error {
	return o.a.meta.Revoke(ctx, meta.Binding(g), actor)
}

func invalid(err error) error { return fmt.Errorf("%w: %w", api.ErrInvalid, err) }

// A Role is what can be granted.
type Role struct {
	Name    string `json:"name"`
	Summary string `json:"summary"` // what it allows, for people
}

// Roles lists every role that can be granted.
func Roles() []Role {
	var all []Role
	for _, r := range auth.Roles() {
		all = append(all, Role{r.Name, r.Summary})
	}
	return all
}
