package setting

import (
	"strings"
)

// A Setting is one thing that a node can be told.
type Setting struct {
	// Key is the name in the file, in kebab-case; flag and variable follow from it.
	Key string
	// Value is where it is kept. What it holds when the table is made is the default.
	Value Value
	// Meaning is half a sentence that has the kind of its value in backquotes.
	Meaning string
	// Default tells the default where it is found out only at the start.
	Default string
	// Live says that a reload applies a change; else it waits for a restart.
	Live bool
	// Rare keeps it out of the help text; the documentation has it.
	Rare bool
	// Secret keeps its value out of everything that is printed or logged.
	Secret bool
}

// Variable is the environment variable that means the same as the key.
func (s Setting) Variable() string {
	return prefix + strings.ToUpper(strings.ReplaceAll(s.Key, "-", "_"))
}

// Flag is the flag that means the same as the key.
func (s Setting) Flag() string { return "--" + s.Key }

// Shown is the value as a person may see it.
func (s Setting) Shown() string {
	text := strings.Join(s.Value.Texts(), ", ")
	switch {
	case s.Secret && text != "":
		return "(secret)"
	case text == "" || text == "0":
		return s.Default
	}
	return text
}

const prefix = "SKERRY_"

// A Table is every setting there is, in the order in which people read them.
// Keys are unique. The values that it points at are its owner's; a Table is not
// safe for concurrent use while Resolve or Adopt runs.
type Table []Setting

// Find returns the setting with a key.
func (t Table) Find(key string) (Setting, bool) {
	for _, s := range t {
		if s.Key == key {
			return s, true
		}
	}
	return Setting{}, false
}

// A Change is a setting that has two values in two tables.
type Change struct {
	Setting         // in the newer table
	From, To string // as Shown
}

// Adopt compares t with the table of what runs, which has the same settings.
// What a reload cannot apply gets its old value back in t, so that t then holds
// what runs after the reload. It returns everything that was different.
func (t Table) Adopt(running Table) []Change {
	var changes []Change
	for i, s := range t {
		old := running[i].Value.Texts()
		if strings.Join(old, "\x00") == strings.Join(s.Value.Texts(), "\x00") {
			continue
		}
		changes = append(changes, Change{Setting: s, From: running[i].Shown(), To: s.Shown()})
		if !s.Live {
			s.Value.restore(old)
		}
	}
	return changes
}
