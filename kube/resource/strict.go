package resource

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// problems collects what is wrong with an object.
type problems struct{ found []error }

func (p *problems) add(path, format string, args ...any) {
	p.found = append(p.found, fmt.Errorf("%s: "+format, append([]any{path}, args...)...))
}

func (p *problems) err() error { return errors.Join(p.found...) }

// decode reads YAML or JSON into v, a pointer to an object, as far as it can be
// read; p is told of unknown fields and of values that are none. What the object
// says of its status is not read.
func decode(doc []byte, v any, p *problems) error {
	js, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return fmt.Errorf("read object: %w", err)
	}
	var tree map[string]any
	if err := json.Unmarshal(js, &tree); err != nil {
		return fmt.Errorf("read object: %w", err)
	}
	delete(tree, "status")
	unknown(tree, reflect.TypeOf(v), "", p)
	if js, err = json.Marshal(tree); err != nil {
		return fmt.Errorf("read object: %w", err)
	}
	wrong := new(json.UnmarshalTypeError)
	if err := json.Unmarshal(js, v); errors.As(err, &wrong) {
		p.add(wrong.Field, "want %s, not a %s", words(wrong.Type), wrong.Value)
	} else if err != nil {
		return fmt.Errorf("read object: %w", err)
	}
	return nil
}

// words is a type in words for people who do not write Go.
func words(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "a list"
	default:
		return "fields"
	}
}

// unknown reports fields of tree that t has not, and values that are not in the
// words of their type: durations, quantities and the like.
func unknown(tree any, t reflect.Type, path string, p *problems) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reads(t) {
		js, err := json.Marshal(tree)
		if err == nil {
			err = json.Unmarshal(js, reflect.New(t).Interface())
		}
		if err != nil {
			p.add(path, "%v", err)
		}
		return
	}
	switch node := tree.(type) {
	case map[string]any:
		unknownIn(node, t, path, p)
	case []any:
		for i, item := range node {
			if t.Kind() == reflect.Slice {
				unknown(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i), p)
			}
		}
	}
}

func unknownIn(node map[string]any, t reflect.Type, path string, p *problems) {
	known := map[string]reflect.Type{}
	if t.Kind() == reflect.Struct {
		known = fieldsOf(t)
	}
	for _, name := range sortedKeys(node) {
		at := strings.TrimPrefix(path+"."+name, ".")
		field, ok := known[name]
		switch {
		case ok:
			before := len(p.found)
			unknown(node[name], field, at, p)
			if len(p.found) > before && reads(field) {
				delete(node, name) // or the decoder would end here
			}
		case t.Kind() == reflect.Map:
			unknown(node[name], t.Elem(), at, p)
		case t.Kind() == reflect.Struct:
			p.add(at, "unknown field%s", meant(name, sortedKeys(known)))
		}
	}
}

// reads reports whether a type knows itself what its JSON is.
func reads(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

// fieldsOf is what a struct is made of, by the names in JSON.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	all := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && (name == "" || strings.Contains(options, "inline")):
			for n, inner := range fieldsOf(f.Type) {
				all[n] = inner
			}
		default:
			all[name] = f.Type
		}
	}
	return all
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// meant guesses what someone who wrote a name wanted to write.
func meant(name string, known []string) string {
	best, at := "", max(2, len(name)/3)+1
	for _, k := range known {
		if len(name) > 2*len(k) { // so that comparing costs little, whatever the name
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < at {
			best, at = k, d
		}
	}
	if best == "" {
		return "; there are " + strings.Join(known, ", ")
	}
	return ": did you mean " + best + "?"
}

// distance is how many letters must be changed, left out or put in to make b of a.
func distance(a, b string) int {
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, last[j+1]+1, next[j]+1)
		}
		last = next
	}
	return last[len(b)]
}

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}
