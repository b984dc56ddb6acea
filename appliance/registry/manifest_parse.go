package registry

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skerry.dev/skerry/meta"
)

// Media types that image-spec's Go package does not name.
const (
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeDockerSchema1  = "application/vnd.docker.distribution.manifest.v1+json"
	typeDockerSigned1  = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	typeDockerForeign  = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	typeArtifact       = "application/vnd.oci.artifact.manifest.v1+json"

	typeNondistributable = "application/vnd.oci.image.layer.nondistributable.v1.tar" // and +gzip, +zstd
)

// A Manifest is what a manifest's payload says about itself and about other content.
type Manifest struct {
	MediaType    string
	Blobs        []digest.Digest // config and layers: the repository must hold them
	Foreign      []digest.Digest // non-distributable layers: they may live elsewhere
	Manifests    []digest.Digest // children of an index; some may be absent
	Either       []Reference     // blob or manifest: only the repository can tell
	Subject      digest.Digest   // "" without
	ArtifactType string
	Annotations  map[string]string // only with a subject: referrers lists show them
}

// A Reference is one of [Manifest.Either].
type Reference struct {
	Digest digest.Digest
	Sparse bool // may be absent, like a child of an index
}

// payload is the union of what manifests of all known types have. It is filled by
// exact key: encoding/json alone would take "Layers" for "layers", so that a
// payload could show us other references than it shows a stricter client.
type payload struct {
	SchemaVersion int
	MediaType     string
	ArtifactType  string
	Config        *ocispec.Descriptor
	Layers        []ocispec.Descriptor
	Blobs         []ocispec.Descriptor // artifact manifest
	Manifests     []ocispec.Descriptor
	Subject       *ocispec.Descriptor
	Annotations   map[string]string

	has   map[string]bool // keys present, whatever their value
	wrong error           // the first field of another form than in a known type
}

// ParseManifest reads a manifest of any type: in known types every reference must be
// understood, in others those that look like references are, and everything else is
// left alone. mediaType is the Content-Type it came with; "" means that the payload
// tells. Errors wrap [ErrManifest].
func ParseManifest(mediaType string, data []byte) (Manifest, error) {
	p, err := parsePayload(data)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{ArtifactType: p.ArtifactType}
	if m.MediaType, err = p.mediaType(mediaType); err != nil {
		return m, err
	}
	known := isManifest(m.MediaType)
	if err := p.checkShape(m.MediaType); known && err != nil {
		return m, err
	}
	if p.Config != nil && m.ArtifactType == "" && !isIndex(m.MediaType) {
		m.ArtifactType = p.Config.MediaType
	}
	for _, f := range p.references() {
		for _, d := range f.descriptors {
			if err := m.add(f.name, d); known && err != nil {
				return m, err
			}
		}
	}
	if p.Subject != nil {
		m.Subject, err = checkDescriptor("subject", *p.Subject)
		if known && err != nil {
			return m, err
		}
	}
	if m.Subject != "" {
		m.Annotations = p.Annotations
	}
	return m, nil
}

func parsePayload(data []byte) (payload, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return payload{}, invalid("not a JSON object: %v", err)
	}
	p := payload{has: make(map[string]bool, len(fields))}
	for key := range fields {
		p.has[key] = true
	}
	for _, f := range []struct {
		name string
		into any
	}{
		{"schemaVersion", &p.SchemaVersion},
		{"mediaType", &p.MediaType},
		{"artifactType", &p.ArtifactType},
		{"config", &p.Config},
		{"layers", &p.Layers},
		{"blobs", &p.Blobs},
		{"manifests", &p.Manifests},
		{"subject", &p.Subject},
		{"annotations", &p.Annotations},
	} {
		if !p.has[f.name] {
			continue
		}
		if err := json.Unmarshal(fields[f.name], f.into); err != nil && p.wrong == nil {
			p.wrong = invalid("field %s: %v", f.name, err)
		}
	}
	return p, nil
}

// A field is where descriptors stand.
type field struct {
	name        string
	descriptors []ocispec.Descriptor
}

// references lists all descriptors but the subject.
func (p payload) references() []field {
	fields := []field{{"layers", p.Layers}, {"blobs", p.Blobs}, {"manifests", p.Manifests}}
	if p.Config != nil {
		fields = append(fields, field{"config", []ocispec.Descriptor{*p.Config}})
	}
	return fields
}

// mediaType settles what the manifest is, from what it came as and what it says.
func (p payload) mediaType(sent string) (string, error) {
	sent, _, _ = strings.Cut(sent, ";") // parameters are to be ignored
	sent = strings.TrimSpace(sent)
	if p.SchemaVersion == 1 || sent == typeDockerSchema1 || sent == typeDockerSigned1 {
		return "", invalid("Docker schema 1 was retired and is not accepted; convert the image, " +
			"for example with \"skopeo copy --format oci\", or push it with a current client")
	}
	switch {
	case sent == "" && p.MediaType != "":
		sent = p.MediaType
	case sent == "" && p.has["manifests"]:
		sent = ocispec.MediaTypeImageIndex
	case sent == "":
		sent = ocispec.MediaTypeImageManifest
	case p.MediaType != "" && p.MediaType != sent:
		return "", invalid("Content-Type is %q, but mediaType says %q", sent, p.MediaType)
	}
	// It will be given back as Content-Type to whoever asks. No browser runs what is
	// application/…, and a manifest is nothing else.
	if !strings.HasPrefix(sent, "application/") || strings.ContainsFunc(sent, notInType) || len(sent) > 255 {
		return "", invalid("%q is no media type of a manifest", sent)
	}
	return sent, nil
}

// notInType says which characters RFC 6838 §4.2 does not allow in a media type.
func notInType(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("/!#$&-^_.+", c)
}

// checkShape refuses a manifest that another client could take for one of another
// type (CVE-2021-41190): which of its references are real must not depend on who reads it.
func (p payload) checkShape(mediaType string) error {
	if p.wrong != nil {
		return p.wrong
	}
	image := mediaType == ocispec.MediaTypeImageManifest || mediaType == typeDockerManifest
	if !image && !isIndex(mediaType) {
		return nil
	}
	if p.has["schemaVersion"] && p.SchemaVersion != 2 {
		return invalid("schemaVersion is %d, must be 2", p.SchemaVersion)
	}
	foreign := []string{"manifests", "fsLayers"}
	if isIndex(mediaType) {
		foreign = []string{"config", "layers", "fsLayers"}
	}
	for _, key := range foreign {
		if p.has[key] {
			return invalid("%s must not have the field %s", mediaType, key)
		}
	}
	if image && p.Config == nil {
		return invalid("%s must have a config", mediaType)
	}
	return nil
}

// add sorts one descriptor by where it stands and what it says it is.
func (m *Manifest) add(field string, desc ocispec.Descriptor) error {
	foreign := field == "layers" && isForeign(desc.MediaType)
	d, err := checkDescriptor(field, desc)
	switch {
	case err != nil:
		return err
	case foreign:
		m.Foreign = append(m.Foreign, d)
	case field == "manifests" && isManifest(desc.MediaType):
		m.Manifests = append(m.Manifests, d)
	case field == "manifests":
		// Build caches are indexes of layers.
		m.Either = append(m.Either, Reference{Digest: d, Sparse: !strings.Contains(desc.MediaType, ".layer.")})
	case isManifest(desc.MediaType):
		m.Either = append(m.Either, Reference{Digest: d})
	default:
		m.Blobs = append(m.Blobs, d)
	}
	return nil
}

func checkDescriptor(field string, desc ocispec.Descriptor) (digest.Digest, error) {
	d, err := parseDigest(desc.Digest.String())
	if err != nil {
		return "", invalid("%s: digest %q: %v", field, desc.Digest, err)
	}
	if desc.Size < 0 {
		return "", invalid("%s: size %d", field, desc.Size)
	}
	return d, nil
}

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == typeDockerList
}

func isManifest(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == typeDockerManifest ||
		mediaType == typeArtifact || isIndex(mediaType)
}

func isForeign(mediaType string) bool {
	return mediaType == typeDockerForeign || strings.HasPrefix(mediaType, typeNondistributable)
}

// invalid is ErrManifest with what is wrong, for the client.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrManifest, fmt.Sprintf(format, args...))
}

// parseTags checks the tags of a push: the reference's, if it is one, and those of
// the tag parameters, each once.
func parseTags(first meta.Tag, params []string) ([]meta.Tag, error) {
	tags := make([]meta.Tag, 0, 1+len(params))
	seen := make(map[meta.Tag]bool, 1+len(params))
	if first != "" {
		tags, seen[first] = append(tags, first), true
	}
	for _, s := range params {
		tag, err := meta.ParseTag(s)
		if err != nil {
			return nil, tagInvalid(s)
		}
		if !seen[tag] {
			tags, seen[tag] = append(tags, tag), true
		}
	}
	return tags, nil
}
