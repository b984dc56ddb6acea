package setting

import (
	"fmt"
	"slices"
	"strings"
)

// Sources is what a configuration is made of. Everything but the defaults may be
// absent.
type Sources struct {
	Name    string // of the file, for messages
	Content []byte // of the file; nil when there is none
	Environ []string
	// Others are variables with our prefix that are no settings.
	Others []string
	// Flags returns the words of the flag that was given for a key.
	Flags func(key string) (words []string, given bool)
}

// Resolved is what came of the sources, beside the values themselves.
type Resolved struct {
	Origins map[string]Origin // of every key
	// Warnings are about what is likely to be a mistake, but may be somebody
	// else's: variables with our prefix that nothing reads.
	Warnings []string
}

// resolving is a Resolve on its way.
type resolving struct {
	origins  map[string]Origin
	mistakes Mistakes
}

func (r *resolving) mistake(at Origin, key, text string) {
	r.mistakes = append(r.mistakes, Mistake{Origin: at, Key: key, Text: text})
}

// Resolve gives every setting the value of the strongest source that has one:
// flag, variable, file, default. An error is [Mistakes]: all that were found, in
// weaker sources too. What is not mistaken has its value then.
func (t Table) Resolve(src Sources) (Resolved, error) {
	r := &resolving{origins: map[string]Origin{}}
	for _, s := range t {
		r.origins[s.Key] = Origin{Where: "default"}
	}
	if src.Content != nil {
		file{table: t, name: src.Name, seen: map[string]int{}, resolving: r}.read(src.Content)
	}
	given := variables(src.Environ)
	for _, s := range t {
		if text := given[s.Variable()]; text != "" {
			r.set(s, Origin{Variable, s.Variable()}, s.split(text))
		}
		if src.Flags == nil {
			continue
		}
		if words, ok := src.Flags(s.Key); ok {
			r.set(s, Origin{Flag, s.Flag()}, words)
		}
	}
	resolved := Resolved{Origins: r.origins, Warnings: t.strangers(given, src.Others)}
	if len(r.mistakes) > 0 {
		return resolved, r.mistakes
	}
	return resolved, nil
}

func (r *resolving) set(s Setting, at Origin, words []string) {
	if err := s.Value.Set(words); err != nil {
		r.mistake(at, s.Key, err.Error())
		return
	}
	r.origins[s.Key] = at
}

// split parts the text of a variable into words.
func (s Setting) split(text string) []string {
	if s.Value.Shape() != Many {
		return []string{text}
	}
	words := strings.Split(text, ",")
	for i, w := range words {
		words[i] = strings.TrimSpace(w)
	}
	return words
}

// variables are those with our prefix. One that is empty is as good as absent:
// container tools set them so.
func variables(environ []string) map[string]string {
	given := map[string]string{}
	for _, e := range environ {
		if name, text, _ := strings.Cut(e, "="); strings.HasPrefix(name, prefix) {
			given[name] = text
		}
	}
	return given
}

// strangers warns of variables that nothing reads. Those that Kubernetes sets
// for a Service called skerry are not meant for us.
func (t Table) strangers(given map[string]string, others []string) []string {
	names := slices.Clone(others)
	for _, s := range t {
		names = append(names, s.Variable())
	}
	var warnings []string
	for name := range given {
		service := strings.HasPrefix(name, prefix+"SERVICE_") || name == prefix+"PORT" ||
			strings.HasPrefix(name, prefix+"PORT_")
		if !service && !slices.Contains(names, name) {
			warnings = append(warnings, unknown("variable", name, names))
		}
	}
	slices.Sort(warnings)
	return warnings
}

// Conflict is the mistake of values that do not go together, placed where the
// first of them that was given stands. The other keys are told with their place.
func (r Resolved) Conflict(keys []string, text string) Mistake {
	first := keys[0]
	for _, k := range keys {
		if r.Origins[first].Source == Default && r.Origins[k].Source != Default {
			first = k
		}
	}
	var others []string
	for _, k := range keys {
		if k != first {
			others = append(others, fmt.Sprintf("%s: %s", k, r.Origins[k].Where))
		}
	}
	if len(others) > 0 {
		text += " (" + strings.Join(others, ", ") + ")"
	}
	if at := r.Origins[first]; at.Source == File {
		text = first + ": " + text
	}
	return Mistake{Origin: r.Origins[first], Key: first, Text: text}
}

func (t Table) keys() []string {
	keys := make([]string, len(t))
	for i, s := range t {
		keys[i] = s.Key
	}
	return keys
}
