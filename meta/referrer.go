package meta

// A referrerRecord is a manifest's entry among the referrers of its subject: its
// descriptor without the digest, which is in the key.
type referrerRecord struct {
	MediaType    string            `cbor:"1,keyasint"`
	Size         int64             `cbor:"2,keyasint"`
	ArtifactType string            `cbor:"3,keyasint,omitempty"`
	Annotations  map[string]string `cbor:"4,keyasint,omitempty"`
}
