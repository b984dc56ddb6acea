package auth

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"skerry.dev/skerry/meta"
)

// The virtual groups, by Kubernetes' names. Nobody can be put into them.
const (
	GroupAuthenticated   = "system:authenticated"   // everybody who said who they are
	GroupUnauthenticated = "system:unauthenticated" // everybody
)

// reserved begins names that are given by the system, not by people.
const reserved = "system:"

// robots begins the names under which robots are recorded. An account cannot have
// such a name, for its colon; users whom others vouch for must not.
const robots = "token:"

const (
	nameMax    = 255
	patternMax = 255
)

// ErrName says that a name, a role or a pattern cannot be what it is given for.
var ErrName = errors.New("auth: invalid name")

// CheckName says whether an account or a token may have this name. HTTP's Basic
// scheme cannot carry a colon in it.
func CheckName(name string) error {
	switch {
	case strings.HasPrefix(name, reserved):
		return fmt.Errorf("%w %q: names that begin with %s are the system's own", ErrName, name, reserved)
	case strings.Contains(name, ":"):
		return fmt.Errorf("%w %q: a colon would end the name in HTTP's Basic login", ErrName, name)
	}
	return checkPrintable(name)
}

// CheckGroup says whether an account may be put into a group of this name.
func CheckGroup(name string) error {
	if strings.HasPrefix(name, reserved) {
		return fmt.Errorf("%w %q: groups that begin with %s are the system's own", ErrName, name, reserved)
	}
	return checkPrintable(name)
}

func checkPrintable(name string) error {
	bad := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if name == "" || len(name) > nameMax || !utf8.ValidString(name) || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%w %.300q: want 1 to %d bytes of printable characters, no space", ErrName, name, nameMax)
	}
	return nil
}

// CheckBinding says whether a role can be granted as b says.
func CheckBinding(b meta.Binding) error {
	if roleActions(b.Role) == 0 {
		return fmt.Errorf("%w: there is no role %q; there are %s", ErrName, b.Role, roleNames())
	}
	if err := checkPrintable(b.Subject); err != nil {
		return err
	}
	return CheckPattern(b.On)
}

// CheckPattern says whether s can stand for repositories: a namespace, which is
// the first element of their names (team, team-*, *), or with a slash in it the
// whole name (team/app, team/*). * is any run of characters, ? any one.
func CheckPattern(s string) error {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("._-/*?", rune(c)) {
			return fmt.Errorf("%w: pattern %q: names of repositories have lowercase letters, digits and . _ - / in them, "+
				"patterns also * and ?", ErrName, s)
		}
	}
	if s == "" || len(s) > patternMax || s[0] == '/' || strings.HasSuffix(s, "/") {
		return fmt.Errorf("%w: pattern %.300q: want a namespace (team) or a repository (team/app, team/*), "+
			"1 to %d bytes", ErrName, s, patternMax)
	}
	return nil
}
