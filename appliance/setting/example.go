package setting

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Example writes a file with every setting there is, under its meaning: those
// that set names with their value, the others commented out with their default.
// Secrets are left empty. Without the comment signs before keys it is a file that says the same.
// Explanations begin with "# ", keys that are commented out with "#" alone.
func (t Table) Example(w io.Writer, set func(key string) bool) error {
	for _, s := range t {
		sign := "#"
		if set(s.Key) {
			sign = ""
		}
		line, err := s.line()
		if err != nil {
			return fmt.Errorf("write %s: %w", s.Key, err)
		}
		if _, err := fmt.Fprintf(w, "\n# %s\n%s%s", s.remark(), sign, line); err != nil {
			return err
		}
	}
	return nil
}

// line is the setting's line in a file.
func (s Setting) line() ([]byte, error) {
	var b bytes.Buffer
	value := s.node("")
	if s.Secret {
		value = scalarNode("")
	}
	pair := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalarNode(s.Key), value}}
	err := yaml.NewEncoder(&b).Encode(pair)
	return b.Bytes(), err
}

// remark is what a reader of the file should know of a setting.
func (s Setting) remark() string {
	text := strings.ReplaceAll(s.Meaning, "`", "")
	if s.Default != "" {
		text += "; unless set: " + s.Default
	}
	if s.Live {
		text += "; applied by a reload"
	}
	return text
}
