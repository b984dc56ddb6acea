package resource

import (
	"fmt"
	"slices"
	"strings"

	configv1 "github.com/openshift/api/config/v1"
	registryv1 "github.com/openshift/api/imageregistry/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The kinds of objects that there are.
const (
	ConfigKind    = "Config"
	PrunerKind    = "ImagePruner"
	ImageKind     = "Image"
	SecretKind    = "Secret"
	ConfigMapKind = "ConfigMap"
)

// SingleName is what the one object of a kind is called of which there is one.
const SingleName = "cluster"

// Namespaces of the objects that other objects refer to, as in OpenShift.
const (
	SecretNamespace    = "openshift-image-registry"
	ConfigMapNamespace = "openshift-config"
)

// A Kind is a kind of configuration object.
type Kind struct {
	Name, Group, Version, Plural string
	Short                        string // what messages and tables call it
	Alias                        string // what people type besides; "" nothing
	Namespace                    string // the only one its objects can be in; "" for those of the whole cluster
}

// Kinds lists them in the order in which they are shown.
func Kinds() []Kind {
	return []Kind{
		{
			Name: ConfigKind, Group: "imageregistry.operator.openshift.io", Version: "v1",
			Plural: "configs", Short: "config.imageregistry",
		},
		{
			Name: PrunerKind, Group: "imageregistry.operator.openshift.io", Version: "v1",
			Plural: "imagepruners", Short: "imagepruner",
		},
		{Name: ImageKind, Group: "config.openshift.io", Version: "v1", Plural: "images", Short: "image.config"},
		{Name: SecretKind, Version: "v1", Plural: "secrets", Short: "secret", Namespace: SecretNamespace},
		{
			Name: ConfigMapKind, Version: "v1", Plural: "configmaps", Short: "configmap", Alias: "cm",
			Namespace: ConfigMapNamespace,
		},
	}
}

// KindOf finds a kind by its Name.
func KindOf(name string) (Kind, bool) {
	all := Kinds()
	i := slices.IndexFunc(all, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return all[i], true
}

// FindKind finds a kind by a word as kubectl's users type it: singular or
// plural, alone or with the beginning of its group.
func FindKind(word string) (Kind, error) {
	head, rest, _ := strings.Cut(strings.ToLower(word), ".")
	for _, k := range Kinds() {
		named := head != "" && slices.Contains([]string{strings.ToLower(k.Name), k.Plural, k.Alias}, head)
		rest := strings.TrimPrefix(strings.TrimPrefix(rest, k.Version), ".")
		if named && (rest == "" || strings.HasPrefix(k.Group+".", rest+".")) {
			return k, nil
		}
	}
	return Kind{}, fmt.Errorf("there are no objects of kind %q; there are %s", word, strings.Join(shorts(), ", "))
}

func shorts() (names []string) {
	for _, k := range Kinds() {
		names = append(names, k.Short)
	}
	return names
}

// APIVersion is what objects of the kind say in that field.
func (k Kind) APIVersion() string { return strings.TrimPrefix(k.Group+"/"+k.Version, "/") }

// Single reports whether there is one object of the kind, which is called
// [SingleName] and always there.
func (k Kind) Single() bool { return k.Namespace == "" }

// Path is where the kind's objects are served: as Kubernetes does it.
func (k Kind) Path() string {
	if k.Group == "" {
		return "/api/" + k.Version + "/namespaces/" + k.Namespace + "/" + k.Plural
	}
	return "/apis/" + k.Group + "/" + k.Version + "/" + k.Plural
}

// empty is a new object of the kind.
func (k Kind) empty() metav1.Object {
	switch k.Name {
	case ConfigKind:
		return new(registryv1.Config)
	case PrunerKind:
		return new(registryv1.ImagePruner)
	case ImageKind:
		return new(configv1.Image)
	case SecretKind:
		return new(corev1.Secret)
	case ConfigMapKind:
		return new(corev1.ConfigMap)
	}
	panic("resource: a kind of no type: " + k.Name)
}

// Default is the object that a registry without one gets. Only of [Kind.Single]
// kinds there is one. Ephemeral says that the bytes do not outlive the machine's
// power.
func (k Kind) Default(ephemeral bool) ([]byte, error) {
	switch k.Name {
	case ConfigKind:
		return defaultConfig(ephemeral)
	case PrunerKind:
		return DefaultPruner()
	case ImageKind:
		return defaultImage()
	}
	return nil, fmt.Errorf("there is no %s by default", k.Short)
}
