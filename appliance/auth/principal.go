package auth

import (
	"errors"
	"time"

	"skerry.dev/skerry/meta"
)

var (
	// ErrDenied is returned when a principal may not do what it asks for.
	ErrDenied = errors.New("auth: denied")
	// ErrScope is returned when a principal may do what it asks for, but the token
	// that it shows was not issued for that: the client should ask for another.
	ErrScope = errors.New("auth: not in the token's scope")
)

// A Method says how somebody proved who they are.
type Method string

// The methods.
const (
	MethodNone        Method = "none"
	MethodPassword    Method = "password"
	MethodToken       Method = "token" // a robot's
	MethodOIDC        Method = "oidc"
	MethodCertificate Method = "certificate"
)

// anonymousActor is Kubernetes' name for who says nothing.
const anonymousActor = "system:anonymous"

// A Principal is whom a request comes from. It is immutable, and good for one
// request: what it may do is what the policy said when it was authenticated.
type Principal struct {
	Kind   meta.SubjectKind // "" for nobody in particular
	Name   string
	Groups []string
	Method Method

	actor  string
	grants []*grants
	scope  *scope    // what the token shown is limited to; nil: nothing shown limits it
	bound  string    // to which secret its tokens are bound; "" to none
	until  time.Time // when the proof shown ends; zero: never
}

// String is the name under which the principal's doings are recorded.
func (p *Principal) String() string { return p.actor }

// Anonymous says whether nobody in particular is meant.
func (p *Principal) Anonymous() bool { return p.Kind == "" }

// life is how long what is issued to p may live: no longer than what it was got with.
func (p *Principal) life(now time.Time, most time.Duration) time.Duration {
	if p.until.IsZero() {
		return most
	}
	return min(most, p.until.Sub(now))
}

// Allow returns nil if the principal may do all of actions to the repository,
// [ErrDenied] or [ErrScope]. [Administer] is asked for with no repository.
// [Catalog] with no repository asks whether there can be anything to list.
func (p *Principal) Allow(actions Action, repo string) error {
	if p.may(repo, actions == Catalog)&actions != actions {
		return ErrDenied
	}
	if p.scope != nil && !p.scope.covers(actions, repo) {
		return ErrScope
	}
	return nil
}

func (p *Principal) may(repo string, list bool) (actions Action) {
	for _, g := range p.grants {
		if repo == "" && list {
			actions |= g.somewhere()
		} else {
			actions |= g.of(repo)
		}
	}
	if repo == "" && list && !p.Anonymous() {
		actions |= Catalog // which may be empty
	}
	return actions
}

// A scope is the access of a token, arranged for questions. It is immutable.
type scope struct {
	repositories map[string]Action
	catalog      bool
}

func (s *scope) covers(actions Action, repo string) bool {
	switch {
	case actions == Catalog:
		return s.catalog || repo != "" && s.repositories[repo]&Pull != 0
	case repo == "":
		return false
	}
	return s.repositories[repo]&actions == actions
}
