package meta

import "fmt"

const (
	repoNameMax = 255 // bytes; with a host before it a reference still fits what clients accept
	tagMax      = 128 // bytes, by the spec's grammar
)

// A RepoName is the name of a repository. Values come from [ParseRepoName] and
// are valid by construction.
type RepoName string

// ParseRepoName checks s against the grammar of the distribution spec ("Pulling
// manifests") and the limit of 255 bytes. Errors wrap [ErrName].
func ParseRepoName(s string) (RepoName, error) {
	if !validRepoName(s) {
		return "", fmt.Errorf("repository name %.300q: %w", s, ErrName)
	}
	return RepoName(s), nil
}

// A Tag is a tag's name. Values come from [ParseTag] and are valid by construction.
type Tag string

// ParseTag checks s against the grammar of the distribution spec. Errors wrap
// [ErrName].
func ParseTag(s string) (Tag, error) {
	if !validTag(s) {
		return "", fmt.Errorf("tag %.300q: %w", s, ErrName)
	}
	return Tag(s), nil
}

// validRepoName matches, in one pass,
//
//	[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*
func validRepoName(s string) bool {
	if s == "" || len(s) > repoNameMax {
		return false
	}
	separator := "/" // what stood since the last letter or digit; a name begins like a path element
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			separator = ""
			continue
		}
		switch {
		case separator == "" && (c == '.' || c == '_' || c == '-' || c == '/'):
			separator = s[i : i+1]
		case separator == "_" && c == '_':
			separator = "__"
		case separator == "-" && c == '-': // any run of dashes
		default:
			return false
		}
	}
	return separator == ""
}

// validTag matches [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func validTag(s string) bool {
	if s == "" || len(s) > tagMax {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		word := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
		if !word && (i == 0 || c != '.' && c != '-') {
			return false
		}
	}
	return true
}
