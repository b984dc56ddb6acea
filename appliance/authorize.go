package appliance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/appliance/registry"
	"skerry.dev/skerry/tls"
)

// localActor is who acts through the socket in the data directory: whoever may
// open it owns the data.
const localActor = "local"

// signingKeyBytes is the length of the key that signs the tokens of /token.
const signingKeyBytes = 32

// openAuth builds what decides who may come in.
func (a *Appliance) openAuth(ctx context.Context) (err error) {
	made := make([]byte, signingKeyBytes)
	_, _ = rand.Read(made) // never fails: crypto/rand ends the process instead
	key, err := a.meta.InitSecret(ctx, "token-signing", made)
	if err != nil {
		return fmt.Errorf("read the key that signs tokens: %w", err)
	}
	if a.oidc, err = a.cfg.OIDC.open(a.log); err != nil {
		return err
	}
	if a.audit, err = openAudit(a.cfg.AuditLog, a.log); err != nil {
		return err
	}
	a.authority, err = auth.New(auth.Config{
		Source: a.db, Key: key, OIDC: a.oidc, Failed: a.audit.loginFailed, Log: a.log,
	})
	return err
}

// open makes what verifies the issuer's tokens, or nil without an issuer.
func (c OIDC) open(log *slog.Logger) (*auth.OIDC, error) {
	switch {
	case c.Issuer == "" && c.Audience != "":
		return nil, errors.New("an audience needs its issuer")
	case c.Issuer == "":
		return nil, nil
	}
	var ca []byte
	if c.CAFile != "" {
		var err error
		if ca, err = os.ReadFile(c.CAFile); err != nil {
			return nil, fmt.Errorf("read the OIDC issuer's CA: %w", err)
		}
	}
	transport, err := tls.HTTPTransport(ca)
	if err != nil {
		return nil, fmt.Errorf("oidc: %w", err)
	}
	return auth.NewOIDC(auth.OIDCConfig{
		Issuer: c.Issuer, Audience: c.Audience, UsernameClaim: c.UsernameClaim, GroupsClaim: c.GroupsClaim,
		UsernamePrefix: c.UsernamePrefix, GroupsPrefix: c.GroupsPrefix,
		Client: &http.Client{Transport: transport}, Log: log,
	})
}

// admit lets administrators use the control API on the public address.
func (a *Appliance) admit(r *http.Request) (string, error) {
	p, err := a.authority.Authenticate(r)
	var limit *auth.LimitError
	switch {
	case errors.Is(err, auth.ErrNoCredentials), errors.Is(err, auth.ErrBadCredentials):
		return "", fmt.Errorf("%w: %w", api.ErrUnauthorized, err)
	case errors.As(err, &limit):
		return "", &api.LimitError{RetryAfter: limit.Seconds()}
	case err != nil:
		return "", err
	}
	if err := p.Allow(auth.Administer, ""); err != nil {
		return "", fmt.Errorf("%w: %s may not administer this registry", api.ErrForbidden, p)
	}
	return p.String(), nil
}

func admitLocal(*http.Request) (string, error) { return localActor, nil }

// registryAuth answers the registry's question in its own words.
type registryAuth struct{ *auth.Authority }

var _ registry.Authorizer = registryAuth{}

// Authorize implements registry.Authorizer. Who says nothing may do what
// everybody may, but is asked at /v2/ who they are: that is how clients learn
// that there is something to log in to.
func (a registryAuth) Authorize(_ http.ResponseWriter, r *http.Request, access ...registry.Access) (
	registry.Caller, error,
) {
	p, err := a.Authenticate(r)
	var limit *auth.LimitError
	switch {
	case errors.Is(err, auth.ErrNoCredentials) && len(access) > 0:
		err = nil
	case errors.As(err, &limit):
		return registry.Caller{}, &registry.LimitError{RetryAfter: limit.Seconds()}
	case errors.Is(err, auth.ErrNoCredentials), errors.Is(err, auth.ErrBadCredentials):
		return registry.Caller{}, a.challenge(r, err, access)
	case err != nil:
		return registry.Caller{}, err
	}
	for _, need := range access {
		if err = p.Allow(authAction(need.Action), string(need.Repo)); err != nil {
			break
		}
	}
	caller := registry.Caller{Name: p.String(), How: string(p.Method)}
	switch {
	case err == nil:
		return caller, nil
	case errors.Is(err, auth.ErrScope), p.Anonymous():
		return registry.Caller{}, a.challenge(r, err, access)
	}
	return caller, registry.ErrDenied
}

func (a registryAuth) challenge(r *http.Request, err error, access []registry.Access) error {
	needs := make([]auth.Access, len(access))
	for i, need := range access {
		needs[i] = auth.Access{Repo: string(need.Repo), Actions: authAction(need.Action)}
	}
	return &registry.ChallengeError{Challenges: a.Challenges(r, err, needs...)}
}

func authAction(a registry.Action) auth.Action {
	switch a {
	case registry.Pull:
		return auth.Pull
	case registry.Push:
		return auth.Push
	case registry.Delete:
		return auth.Delete
	case registry.Catalog:
		return auth.Catalog
	}
	return auth.Administer // no other is known; who may all may that too
}
