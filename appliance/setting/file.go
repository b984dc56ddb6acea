package setting

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// file reads the keys of a file into the table.
type file struct {
	table Table
	name  string
	seen  map[string]int // the line of each key
	*resolving
}

func (f file) at(n *yaml.Node) Origin { return f.place(n.Line, n.Column) }

func (f file) place(line, column int) Origin {
	return Origin{Source: File, Where: fmt.Sprintf("%s:%d:%d", f.name, line, column)}
}

// read is one flat mapping, or nothing.
func (f file) read(content []byte) {
	dec := yaml.NewDecoder(bytes.NewReader(content))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return
	}
	if err != nil {
		f.broken(err)
		return
	}
	f.mapping(doc.Content[0])
	var more yaml.Node
	switch err := dec.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		f.broken(err)
	default:
		f.mistake(f.at(&more), "", "a second document: there can only be one")
	}
}

// lineOf finds the line in a message of the YAML parser, which has no column.
func lineOf() *regexp.Regexp { return regexp.MustCompile(`line (\d+): `) }

func (f file) broken(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	where, line := f.name, lineOf().FindStringSubmatch(text)
	if line != nil {
		where += ":" + line[1]
		text = strings.Replace(text, line[0], "", 1)
	}
	f.mistake(Origin{Source: File, Where: where}, "", "not YAML: "+text)
}

func (f file) mapping(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // only comments
	}
	if n.Kind != yaml.MappingNode {
		f.mistake(f.at(n), "", "want lines of the form \"key: value\"")
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		f.entry(n.Content[i], n.Content[i+1])
	}
}

func (f file) entry(key, value *yaml.Node) {
	s, ok := f.table.Find(key.Value)
	if !ok {
		f.mistake(f.at(key), key.Value, unknown("key", key.Value, f.table.keys()))
		return
	}
	if first, twice := f.seen[s.Key]; twice {
		f.mistake(f.at(key), s.Key, fmt.Sprintf("key %q is given twice, first in line %d", s.Key, first))
		return
	}
	f.seen[s.Key] = key.Line
	words, err := wordsOf(s, value)
	if err == nil {
		err = s.Value.Set(words)
	}
	if err != nil {
		f.mistake(f.at(value), s.Key, s.Key+": "+err.Error())
		return
	}
	f.origins[s.Key] = f.at(key)
}

// wordsOf returns what stands behind a key, if it has the setting's shape.
func wordsOf(s Setting, n *yaml.Node) ([]string, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if s.Value.Shape() != Many {
		word, err := word(n)
		return []string{word}, err
	}
	if n.Kind != yaml.SequenceNode {
		return nil, errors.New("want a list, as in [a, b]")
	}
	words := make([]string, len(n.Content))
	for i, e := range n.Content {
		var err error
		if words[i], err = word(e); err != nil {
			return nil, err
		}
	}
	return words, nil
}

func word(n *yaml.Node) (string, error) {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "", errors.New("want one value, not a list")
	case n.Kind != yaml.ScalarNode:
		return "", errors.New("want one value, not keys below it")
	case n.Tag == "!!null":
		return "", errors.New("has no value: give it one, or remove the line")
	}
	return n.Value, nil
}

// unknown says that nothing has a name, and what has one like it.
func unknown(what, name string, names []string) string {
	text := fmt.Sprintf("unknown %s %q", what, name)
	if near := nearest(name, names); near != "" {
		text += fmt.Sprintf("; did you mean %q?", near)
	}
	return text
}
