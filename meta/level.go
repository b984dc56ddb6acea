package meta

import (
	"fmt"
	"strings"
)

// Level is what commands this program knows: all whose level is not above it.
// Every type of command has the level of the program that brought it, and none is
// proposed before the last node of the cluster knows it.
const Level = 2

// levelOf is the level that brought a type of command.
func levelOf(t commandType) uint16 {
	switch {
	case t < 50:
		return 1
	case t < 60:
		return 2
	}
	return Level + 1 // of a program to come
}

// allowed refuses a command that a node of the cluster could not apply: it would
// stop there. Between the look and the entry an older node may still join; it
// then stops, and says why, until its program is as new.
func (s *Store) allowed(t commandType, body stamped) error {
	level := levelOf(t)
	if level <= 1 { // from the first version on
		return nil
	}
	put, _ := body.(putNode) // the program that speaks knows the command, whatever it was before
	var older []string
	for _, n := range s.Nodes() {
		if !n.Gone() && n.Level < level && n.Server != put.Server {
			older = append(older, fmt.Sprintf("%s (%s)", n.Name, n.Version))
		}
	}
	if older != nil {
		return fmt.Errorf("%w: upgrade %s", ErrLevel, strings.Join(older, ", "))
	}
	return nil
}
