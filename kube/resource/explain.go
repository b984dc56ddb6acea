package resource

import (
	"fmt"
	"reflect"
	"strings"
)

// documented is what generated types say of their fields, "" being the type.
type documented interface{ SwaggerDoc() map[string]string }

// Explain tells what a kind or one of its fields is, in the words of its type,
// and what becomes of it here: path is as in config.imageregistry.spec.readOnly.
func Explain(path string) (string, error) {
	k, rest, err := splitPath(path)
	if err != nil {
		return "", err
	}
	t, at, text, err := k.field(rest)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", k.Name, k.APIVersion())
	if at != "" {
		fmt.Fprintf(&b, "\n%s: %s", at, typeName(t))
	}
	fmt.Fprintf(&b, "\n\n%s\n", strings.TrimSpace(text))
	b.WriteString(k.verdictOn(at))
	if t, _ = inner(t); t.Kind() == reflect.Struct && !reads(t) {
		known := fieldsOf(t)
		for _, name := range sortedKeys(known) {
			fmt.Fprintf(&b, "\n  %s: %s", name, typeName(known[name]))
		}
		b.WriteString("\n")
	}
	return b.String(), nil
}

// field finds a field of the kind: its type, its path with [] for lists, and
// what its type says of it.
func (k Kind) field(path string) (t reflect.Type, at, text string, err error) {
	t = reflect.TypeOf(k.empty()).Elem()
	text = docOf(t, "")
	for name := range strings.SplitSeq(path, ".") {
		if name == "" {
			continue
		}
		var list string
		if t, list = inner(t); t.Kind() != reflect.Struct {
			return nil, "", "", fmt.Errorf("%s.%s has no fields", k.Short, at)
		}
		known := fieldsOf(t)
		next, ok := known[name]
		if !ok {
			return nil, "", "", fmt.Errorf("%s: unknown field %s%s", k.Short, name, meant(name, sortedKeys(known)))
		}
		text, t, at = docOf(t, name), next, strings.TrimPrefix(at+list+"."+name, ".")
	}
	return t, at, text, nil
}

// inner is the type that pointers and lists are of, and [] for each list.
func inner(t reflect.Type) (of reflect.Type, list string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Kind() == reflect.Slice {
			list += "[]"
		}
		t = t.Elem()
	}
	return t, list
}

// splitPath parts the longest beginning that is a kind from the field.
func splitPath(path string) (k Kind, field string, err error) {
	words := strings.Split(path, ".")
	for n := len(words); n > 0; n-- {
		if k, err = FindKind(strings.Join(words[:n], ".")); err == nil {
			return k, strings.Join(words[n:], "."), nil
		}
	}
	return k, "", err
}

// verdictOn is what becomes of a field here, or "" for what is not in the table.
func (k Kind) verdictOn(path string) string {
	for _, f := range k.Fields() {
		if f.Path != path {
			continue
		}
		switch f.Verdict {
		case Honoured:
			return "\nHere: honoured.\n"
		case Waiting:
			return "\nHere: kept; " + f.Why + ".\n"
		case NotApplicable:
			return "\nHere: not applicable: " + f.Why + ".\n"
		case Elsewhere:
			return "\nHere: " + f.Why + ".\n"
		}
	}
	return ""
}

// docOf is what a type, or one it is made of, says of a field.
func docOf(t reflect.Type, name string) string {
	if d, ok := reflect.Zero(t).Interface().(documented); ok {
		if text := d.SwaggerDoc()[name]; text != "" {
			return text
		}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || !f.Anonymous || tag != "" {
			continue
		}
		if text := docOf(f.Type, name); text != "" {
			return text
		}
	}
	return ""
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map:
		return "map"
	case reflect.Struct:
		return t.Name()
	default:
		return t.Kind().String()
	}
}
