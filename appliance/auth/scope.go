package auth

import (
	"strings"

	"skerry.dev/skerry/meta"
)

// scopesMax bounds what one token is asked for.
const scopesMax = 100

const (
	typeRepository = "repository"
	typeRegistry   = "registry"
	nameCatalog    = "catalog"
	wildcard       = "*"
)

// actionNames are the words of the distribution token specification.
func actionNames(actions Action) (names []string) {
	for _, a := range []struct {
		action Action
		name   string
	}{{Pull, "pull"}, {Push, "push"}, {Delete, "delete"}} {
		if actions&a.action != 0 {
			names = append(names, a.name)
		}
	}
	return names
}

func parseActions(names []string) (actions Action) {
	for _, name := range names {
		switch name {
		case "pull":
			actions |= Pull
		case "push":
			actions |= Push
		case "delete":
			actions |= Delete
		case wildcard:
			actions |= Pull | Push | Delete
		}
	}
	return actions
}

// scopeOf arranges the access of a token.
func scopeOf(access []Scope) *scope {
	s := &scope{repositories: map[string]Action{}}
	for _, a := range access {
		switch {
		case a.Type == typeRepository:
			s.repositories[a.Name] |= parseActions(a.Actions)
		case a.Type == typeRegistry && a.Name == nameCatalog:
			s.catalog = true
		}
	}
	return s
}

// parseScopes reads the scope parameters of a request for a token, each of which
// may have several scopes, space between. What makes no sense grants nothing.
func parseScopes(params []string) (asked []Scope) {
	for _, param := range params {
		for s := range strings.FieldsSeq(param) {
			kind, rest, _ := strings.Cut(s, ":")
			colon := strings.LastIndexByte(rest, ':') // the name may have one, before a port
			if colon < 0 || len(asked) >= scopesMax {
				continue
			}
			asked = append(asked, Scope{kind, rest[:colon], strings.Split(rest[colon+1:], ",")})
		}
	}
	return asked
}

// scopesString writes scopes as they are asked for.
func scopesString(scopes []Scope) string {
	all := make([]string, len(scopes))
	for i, s := range scopes {
		all[i] = s.Type + ":" + s.Name + ":" + strings.Join(s.Actions, ",")
	}
	return strings.Join(all, " ")
}

// granted is the part of what was asked that who may have.
func granted(who *Principal, asked []Scope) []Scope {
	access := []Scope{} // an empty list, in JSON
	for _, s := range asked {
		switch s.Type {
		case typeRepository:
			if _, err := meta.ParseRepoName(s.Name); err != nil {
				continue
			}
			allowed := parseActions(s.Actions)
			for _, a := range []Action{Pull, Push, Delete} {
				if who.Allow(a, s.Name) != nil {
					allowed &^= a
				}
			}
			if allowed != 0 {
				access = append(access, Scope{s.Type, s.Name, actionNames(allowed)})
			}
		case typeRegistry:
			if s.Name == nameCatalog && who.Allow(Catalog, "") == nil {
				access = append(access, Scope{s.Type, s.Name, []string{wildcard}})
			}
		}
	}
	return access
}
