package meta

import (
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A referrerRecord is a manifest's entry among the referrers of its subject: its
// descriptor without the digest, which is in the key.
type referrerRecord struct {
	MediaType    string            `cbor:"1,keyasint"`
	Size         int64             `cbor:"2,keyasint"`
	ArtifactType string            `cbor:"3,keyasint,omitempty"`
	Annotations  map[string]string `cbor:"4,keyasint,omitempty"`
}

// Referrers lists descriptors of the manifests in repo whose subject is subject
// (spec "Listing Referrers"), sorted by digest, after last, at most n; more says
// whether others follow. artifactType "" means all. An unknown repository or
// subject gives none.
func (db *DB) Referrers(
	repo RepoName, subject digest.Digest, artifactType string, last digest.Digest, n int,
) (refs []ocispec.Descriptor, more bool, err error) {
	packed, err := appendDigest(nil, subject)
	if err != nil {
		return nil, false, err
	}
	var after []byte
	if last != "" {
		if after, err = appendDigest(nil, last); err != nil {
			return nil, false, err
		}
	}
	err = db.view(func(tx *txn) error {
		r, err := findRepo(tx, repo)
		if err != nil {
			return nil // nothing refers within a repository that is not there
		}
		for d, v := range following(bucket(tx, bucketReferrers), keySubject(r, packed), after) {
			var rec referrerRecord
			if err := decode(v, &rec); err != nil {
				return err
			}
			if artifactType != "" && rec.ArtifactType != artifactType {
				continue
			}
			if len(refs) >= n {
				more = true
				return nil
			}
			refs = append(refs, ocispec.Descriptor{
				MediaType: rec.MediaType, Digest: unpackDigest(d), Size: rec.Size,
				ArtifactType: rec.ArtifactType, Annotations: rec.Annotations,
			})
		}
		return nil
	})
	return refs, more, err
}
