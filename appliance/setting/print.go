package setting

import (
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// YAML is the table's values as a file that says the same, with where each came
// from behind it. Secrets are left out.
func (t Table) YAML(origins map[string]Origin) ([]byte, error) {
	doc := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range t {
		if s.Secret {
			continue
		}
		comment := origins[s.Key].Where
		if origins[s.Key].Source == Default && s.Default != "" {
			comment += ": " + s.Default
		}
		doc.Content = append(doc.Content, scalarNode(s.Key), s.node(comment))
	}
	return yaml.Marshal(doc)
}

func (s Setting) node(comment string) *yaml.Node {
	texts := s.Value.Texts()
	if s.Value.Shape() != Many {
		n := scalarNode(texts[0])
		n.LineComment = comment
		return n
	}
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle, LineComment: comment}
	for _, t := range texts {
		n.Content = append(n.Content, scalarNode(t))
	}
	return n
}

// scalarNode is a word, in quotes only where YAML would take it for nothing.
func scalarNode(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: text}
	if text == "" || text == "~" || strings.EqualFold(text, "null") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// Markdown writes the reference of all settings as a table.
func (t Table) Markdown(w io.Writer) {
	_, _ = fmt.Fprint(w, "| Key | Flag | Variable | Default | Reload | Meaning |\n|---|---|---|---|---|---|\n")
	for _, s := range t {
		def, reload := s.Shown(), "restart"
		switch {
		case def == "":
			def = "–"
		case s.Default == "":
			def = "`" + def + "`"
		}
		if s.Live {
			reload = "yes"
		}
		_, _ = fmt.Fprintf(w, "| `%s` | `%s` | `%s` | %s | %s | %s |\n",
			s.Key, s.Flag(), s.Variable(), def, reload, strings.ReplaceAll(s.Meaning, "|", `\|`))
	}
}
