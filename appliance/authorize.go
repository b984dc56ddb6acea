package appliance

import (
	"errors"
	"fmt"
	"net/http"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/appliance/registry"
)

// localActor is who acts through the socket in the data directory: whoever may
// open it owns the data.
const localActor = "local"

// admit lets administrators use the control API on the public address.
func (a *Appliance) admit(r *http.Request) (string, error) {
	p, err := a.authority.Authenticate(r)
	if errors.Is(err, auth.ErrNoCredentials) || errors.Is(err, auth.ErrBadCredentials) {
		return "", fmt.Errorf("%w: %w", api.ErrUnauthorized, err)
	}
	if err != nil {
		return "", err
	}
	if err := a.authority.Allow(p); err != nil {
		return "", fmt.Errorf("%w: %s may not administer this registry", api.ErrForbidden, p.Name)
	}
	return p.Name, nil
}

func admitLocal(*http.Request) (string, error) { return localActor, nil }

// registryAuth answers the registry's question in its own words.
type registryAuth struct{ *auth.Authority }

var _ registry.Authorizer = registryAuth{}

// Authorize implements registry.Authorizer. What is asked for does not matter
// yet: there are administrators, who may do everything, and nobody else.
func (a registryAuth) Authorize(_ http.ResponseWriter, r *http.Request, _ ...registry.Access) (string, error) {
	p, err := a.Authenticate(r)
	if errors.Is(err, auth.ErrNoCredentials) || errors.Is(err, auth.ErrBadCredentials) {
		return "", &registry.ChallengeError{Challenge: auth.Challenge}
	}
	if err != nil {
		return "", err
	}
	if err := a.Allow(p); err != nil {
		return "", registry.ErrDenied
	}
	return p.Name, nil
}
