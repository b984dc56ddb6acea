package resource

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	configv1 "github.com/openshift/api/config/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// notApplicableNote is where an Image, whose status has no conditions, names
// the fields that are set and do nothing here.
const notApplicableNote = ownPrefix + "fields-not-applicable"

// sourcesMax is how many registries a list may name, as in the CRD.
const sourcesMax = 1024

func defaultImage() ([]byte, error) {
	return encode(configv1.Image{
		TypeMeta:   metav1.TypeMeta{APIVersion: "config.openshift.io/v1", Kind: ImageKind},
		ObjectMeta: metav1.ObjectMeta{Name: SingleName},
	})
}

// TrustedCA is the ConfigMap in [ConfigMapNamespace] that a stored Image trusts,
// or "".
func TrustedCA(doc []byte) (string, error) {
	var o configv1.Image
	if err := json.Unmarshal(doc, &o); err != nil {
		return "", fmt.Errorf("read stored %s: %w", ImageKind, err)
	}
	return o.Spec.AdditionalTrustedCA.Name, nil
}

// ImageFacts is what the status of an Image is computed from, beside the object.
type ImageFacts struct {
	Internal string   // host and port under which this node is known; "" while the registry is removed
	Default  string   // the same, when it is published as the default route
	Routes   []string // hosts and ports of the other routes
	Trust    string   // what is wrong with additionalTrustedCA; "" nothing
}

// ImageWithStatus returns doc, a stored Image, with its status.
func ImageWithStatus(doc []byte, f ImageFacts) ([]byte, error) {
	var o configv1.Image
	if err := json.Unmarshal(doc, &o); err != nil {
		return nil, fmt.Errorf("read stored %s: %w", ImageKind, err)
	}
	tree, err := treeOf(doc)
	if err != nil {
		return nil, err
	}
	o.Status.InternalRegistryHostname = f.Internal
	hosts := slices.Clone(f.Routes)
	slices.Sort(hosts)
	if f.Default != "" {
		hosts = append([]string{f.Default}, hosts...)
	}
	for _, h := range hosts {
		if !slices.Contains(o.Status.ExternalRegistryHostnames, h) {
			o.Status.ExternalRegistryHostnames = append(o.Status.ExternalRegistryHostnames, h)
		}
	}
	o.Status.ImageStreamImportMode = o.Spec.ImageStreamImportMode
	if o.Status.ImageStreamImportMode == "" {
		o.Status.ImageStreamImportMode = configv1.ImportModeLegacy
	}
	kind, _ := KindOf(ImageKind)
	lines := unmet(kind, tree, nil)
	if f.Trust != "" {
		lines = append(lines, f.Trust)
	}
	if len(lines) > 0 {
		if o.Annotations == nil {
			o.Annotations = map[string]string{}
		}
		o.Annotations[notApplicableNote] = strings.Join(lines, "\n")
	}
	return encode(o)
}

func validateImage(spec configv1.ImageSpec, p *problems) {
	oneOf(p, "spec.imageStreamImportMode", spec.ImageStreamImportMode,
		"", configv1.ImportModeLegacy, configv1.ImportModePreserveOriginal)
	for i, h := range spec.ExternalRegistryHostnames {
		if !isAddress(h) {
			p.add("spec.externalRegistryHostnames["+itoa(i)+"]", "%q: want hostname[:port]", h)
		}
	}
	for i, r := range spec.AllowedRegistriesForImport {
		if r.DomainName == "" || strings.ContainsAny(r.DomainName, "/@ ") {
			p.add("spec.allowedRegistriesForImport["+itoa(i)+"].domainName",
				"%q: want a domain name, which may have * and ?, and a port", r.DomainName)
		}
	}
	sources := spec.RegistrySources
	if len(sources.BlockedRegistries) > 0 && len(sources.AllowedRegistries) > 0 {
		p.add("spec.registrySources", "Only one of blockedRegistries or allowedRegistries may be set")
	}
	validateSources(p, "insecureRegistries", sources.InsecureRegistries)
	validateSources(p, "blockedRegistries", sources.BlockedRegistries)
	validateSources(p, "allowedRegistries", sources.AllowedRegistries)
	search := sources.ContainerRuntimeSearchRegistries
	for i, h := range search {
		path := "spec.registrySources.containerRuntimeSearchRegistries[" + itoa(i) + "]"
		if !isHost(h) {
			p.add(path, "%q: want a host name", h)
		}
		if slices.Contains(search[:i], h) {
			p.add(path, "%q: is there twice", h)
		}
	}
}

func validateSources(p *problems, name string, list []string) {
	path := "spec.registrySources." + name
	if len(list) > sourcesMax {
		p.add(path, "%d entries: want %d at most", len(list), sourcesMax)
	}
	for i, s := range list {
		host, _, _ := strings.Cut(strings.TrimPrefix(s, "*."), "/")
		_, after, _ := strings.Cut(s, "/")
		if len(s) > 256 || !isAddress(host) || strings.ContainsAny(after, ":@ ") {
			p.add(path+"["+itoa(i)+"]", "%q: want hostname[:port][/path] or *.hostname, without tag or digest", s)
		}
	}
}

// isAddress reports whether s is hostname[:port].
func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return isHost(s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 && isHost(host)
}
