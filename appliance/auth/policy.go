package auth

import (
	"encoding/base64"
	"slices"
	"strings"

	"skerry.dev/skerry/meta"
)

// A policy is all accounts, tokens and roles of one generation, arranged for
// questions. It is immutable.
type policy struct {
	generation uint64
	accounts   map[string]meta.Account
	tokens     map[string]meta.Token
	secrets    map[[32]byte]string // SHA-256 of a token's secret → its name
	grants     map[subject]*grants
	anonymous  *Principal // who says nothing
}

type subject struct {
	kind meta.SubjectKind
	name string
}

func compile(generation uint64, a meta.Access) *policy {
	p := &policy{
		generation: generation,
		accounts:   make(map[string]meta.Account, len(a.Accounts)),
		tokens:     make(map[string]meta.Token, len(a.Tokens)),
		secrets:    make(map[[32]byte]string, len(a.Tokens)),
		grants:     map[subject]*grants{},
	}
	for _, account := range a.Accounts {
		p.accounts[account.Name] = account
	}
	for _, t := range a.Tokens {
		p.tokens[t.Name] = t
		if sum, ok := tokenSum(t.Secret); ok {
			p.secrets[sum] = t.Name
		}
	}
	for _, b := range a.Bindings {
		s := subject{b.Kind, b.Subject}
		if p.grants[s] == nil {
			p.grants[s] = &grants{namespaces: map[string]Action{}, repositories: map[string]Action{}}
		}
		p.grants[s].add(b.On, roleActions(b.Role))
	}
	p.anonymous = &Principal{Method: MethodNone, actor: anonymousActor}
	if g := p.grants[subject{meta.SubjectGroup, GroupUnauthenticated}]; g != nil {
		p.anonymous.grants = []*grants{g}
	}
	return p
}

// tokenSum is the SHA-256 in the hash that is kept of a token's secret.
func tokenSum(hash string) (sum [32]byte, ok bool) {
	b64, ok := strings.CutPrefix(hash, schemeSHA256+"$$")
	raw, err := base64.RawStdEncoding.DecodeString(b64)
	if !ok || err != nil || len(raw) != len(sum) {
		return sum, false
	}
	return [32]byte(raw), true
}

// grants is what one subject may do, wherever that is granted.
type grants struct {
	all          Action
	namespaces   map[string]Action
	repositories map[string]Action
	globs        []glob
}

type glob struct {
	pattern string
	whole   bool // matches whole names; else their first element
	actions Action
}

func (g *grants) add(pattern string, actions Action) {
	whole := strings.Contains(pattern, "/")
	switch {
	case pattern == "*":
		g.all |= actions
	case strings.ContainsAny(pattern, "*?"):
		g.globs = append(g.globs, glob{pattern, whole, actions})
	case whole:
		g.repositories[pattern] |= actions
	default:
		g.namespaces[pattern] |= actions
	}
}

// of is what may be done to a repository; without one, what may be done to all.
func (g *grants) of(repo string) Action {
	if g == nil {
		return 0
	}
	if repo == "" {
		return g.all
	}
	namespace, _, _ := strings.Cut(repo, "/")
	actions := g.all | g.namespaces[namespace] | g.repositories[repo]
	for _, glob := range g.globs {
		name := namespace
		if glob.whole {
			name = repo
		}
		if actions&glob.actions != glob.actions && meta.MatchGlob(glob.pattern, name) {
			actions |= glob.actions
		}
	}
	return actions
}

// somewhere is what may be done to at least one repository there could be.
func (g *grants) somewhere() (actions Action) {
	if g == nil {
		return 0
	}
	actions = g.all
	for _, a := range g.namespaces {
		actions |= a
	}
	for _, a := range g.repositories {
		actions |= a
	}
	for _, glob := range g.globs {
		actions |= glob.actions
	}
	return actions
}

// administrators is what the flag of an account is worth.
func administrators() *grants { return &grants{all: everything} }

// principal makes the subject of a login. Of groups, those that cannot be given
// are left out.
func (p *policy) principal(kind meta.SubjectKind, name string, groups []string, method Method) *Principal {
	groups = slices.DeleteFunc(slices.Clone(groups), func(g string) bool {
		return g == GroupAuthenticated || g == GroupUnauthenticated
	})
	who := &Principal{Kind: kind, Name: name, Groups: groups, Method: method, actor: name}
	if kind == meta.SubjectToken {
		who.actor = robots + name
	}
	subjects := []subject{{kind, name}, {meta.SubjectGroup, GroupAuthenticated}, {meta.SubjectGroup, GroupUnauthenticated}}
	for _, g := range groups {
		subjects = append(subjects, subject{meta.SubjectGroup, g})
	}
	for _, s := range subjects {
		if g := p.grants[s]; g != nil {
			who.grants = append(who.grants, g)
		}
	}
	return who
}

// account makes the principal of an account.
func (p *policy) account(a meta.Account, groups []string, method Method) *Principal {
	who := p.principal(meta.SubjectUser, a.Name, append(slices.Clone(a.Groups), groups...), method)
	if a.Admin {
		who.grants = append([]*grants{administrators()}, who.grants...)
	}
	return who
}
