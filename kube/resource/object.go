package resource

import (
	"encoding/json"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// Hidden stands where a secret value is not shown. Where it comes back with an
// apply, the value stays as it is.
const Hidden = "(hidden)"

// ownPrefix is that of annotations that are computed and not kept.
const ownPrefix = "skerry.dev/"

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
	var tree any
	err := yaml.Unmarshal(doc, &tree)
	if _, ok := tree.(map[string]any); ok {
		err = yaml.Unmarshal(doc, &o)
	}
	if err != nil {
		return o, fmt.Errorf("read object: %w", err)
	}
	if o.Kind == "" || o.APIVersion == "" {
		return o, fmt.Errorf("not a configuration object: apiVersion and kind must be given")
	}
	return o, nil
}

// kind is the one that o says it is of.
func (o Object) kind() (Kind, error) {
	k, ok := KindOf(o.Kind)
	switch {
	case !ok:
		return k, fmt.Errorf("kind %s of %s has no meaning here; there are %s",
			o.Kind, o.APIVersion, strings.Join(shorts(), ", "))
	case o.APIVersion != k.APIVersion():
		return k, fmt.Errorf("kind %s of %s: want %s of %s", o.Kind, o.APIVersion, k.Name, k.APIVersion())
	}
	return k, nil
}

// YAML renders a JSON document as YAML.
func YAML(doc []byte) ([]byte, error) { return yaml.JSONToYAML(doc) }

// Split cuts a file into its YAML documents, and lists of objects into theirs.
// Documents without content are left out.
func Split(file []byte) (docs [][]byte, err error) {
	var doc strings.Builder
	end := func() error {
		items, err := items([]byte(doc.String()))
		docs = append(docs, items...)
		doc.Reset()
		return err
	}
	for line := range strings.Lines(string(file)) {
		if rest, ok := strings.CutPrefix(line, "---"); ok && strings.TrimLeft(rest, " \t\r\n") == "" {
			if err := end(); err != nil {
				return nil, err
			}
			continue
		}
		doc.WriteString(line)
	}
	return docs, end()
}

// items is doc itself, or what it lists.
func items(doc []byte) ([][]byte, error) {
	var list struct {
		Kind  string            `json:"kind"`
		Items []json.RawMessage `json:"items"`
	}
	var tree any
	if err := yaml.Unmarshal(doc, &tree); err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	if tree == nil {
		return nil, nil
	}
	if yaml.Unmarshal(doc, &list) != nil || !strings.HasSuffix(list.Kind, "List") {
		return [][]byte{doc}, nil
	}
	docs := make([][]byte, len(list.Items))
	for i, item := range list.Items {
		docs[i] = item
	}
	return docs, nil
}

// A Document is an object that was read and found valid.
type Document struct {
	Kind Kind
	Name string
	// Version is the resourceVersion that the object must still have; "" is any.
	Version string

	object metav1.Object
}

// Decode reads an object in YAML or JSON. What is wrong with it is told all at
// once, each mistake with the field's path, unknown fields with the known one
// that is nearest. A status in it is ignored.
func Decode(doc []byte) (Document, error) {
	o, err := Identify(doc)
	if err != nil {
		return Document{}, err
	}
	k, err := o.kind()
	if err != nil {
		return Document{}, err
	}
	d := Document{Kind: k, object: k.empty()}
	var p problems
	if err := decode(doc, d.object, &p); err != nil {
		return d, err
	}
	d.Name, d.Version = d.object.GetName(), d.object.GetResourceVersion()
	d.identity(&p)
	validate(d.object, &p)
	return d, p.err()
}

// identity checks the name and where it is.
func (d Document) identity(p *problems) {
	k, namespace := d.Kind, d.object.GetNamespace()
	switch {
	case k.Single() && d.Name != SingleName:
		p.add("metadata.name", "%q: there is one %s and it is called %q", d.Name, k.Name, SingleName)
	case !k.Single() && len(validation.IsDNS1123Subdomain(d.Name)) > 0:
		p.add("metadata.name", "%q: want lower case letters, digits, - and .", d.Name)
	}
	if namespace != "" && namespace != k.Namespace {
		if k.Namespace == "" {
			p.add("metadata.namespace", "%q: %s is in no namespace", namespace, k.Name)
			return
		}
		p.add("metadata.namespace", "%q: nothing reads a %s there; those in %s are read", namespace, k.Name, k.Namespace)
	}
}

func encode(v any) ([]byte, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write object: %w", err)
	}
	return doc, nil
}
