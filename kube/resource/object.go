package resource

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"
)

// An Object is what every configuration object says of itself.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace,omitempty"`
	} `json:"metadata"`
}

// Identify reads which object doc (YAML or JSON) is, without looking at the
// rest of it.
func Identify(doc []byte) (Object, error) {
	var o Object
	if err := yaml.Unmarshal(doc, &o); err != nil {
		return o, fmt.Errorf("read object: %w", err)
	}
	if o.Kind == "" || o.APIVersion == "" {
		return o, fmt.Errorf("not a configuration object: apiVersion and kind must be given")
	}
	return o, nil
}

// YAML renders a JSON document as YAML.
func YAML(doc []byte) ([]byte, error) { return yaml.JSONToYAML(doc) }

// decode reads YAML or JSON into v and refuses unknown and repeated fields.
func decode(doc []byte, v any) error {
	if err := yaml.UnmarshalStrict(doc, v); err != nil {
		return fmt.Errorf("read object: %w", err)
	}
	return nil
}

func encode(v any) ([]byte, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write object: %w", err)
	}
	return doc, nil
}
