package blobstore

import (
	"crypto/sha256"
	_ "crypto/sha512" // makes sha384 and sha512 available to go-digest
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
)

// Directories under Config.Dir.
const (
	blobsDir      = "blobs"
	uploadsDir    = "uploads"
	quarantineDir = "quarantine"
)

// A blobName is a digest that was found to be well formed: the only thing a
// path under blobs/ is ever built from.
type blobName struct {
	alg digest.Algorithm
	hex string
}

// parseDigest accepts the digests this store can compute. It does what
// digest.Validate does without its regular expressions, which cost more than
// the system call that follows.
func parseDigest(d digest.Digest) (blobName, error) {
	alg, enc, found := strings.Cut(string(d), ":")
	if !found {
		return blobName{}, fmt.Errorf("digest %q: %w", d, digest.ErrDigestInvalidFormat)
	}
	b := blobName{alg: digest.Algorithm(alg), hex: enc}
	if !b.alg.Available() {
		return blobName{}, fmt.Errorf("digest %q: %w", d, digest.ErrDigestUnsupported)
	}
	if len(enc) != 2*b.alg.Size() {
		return blobName{}, fmt.Errorf("digest %q: %w", d, digest.ErrDigestInvalidLength)
	}
	if !isHex(enc) {
		return blobName{}, fmt.Errorf("digest %q: %w", d, digest.ErrDigestInvalidFormat)
	}
	return b, nil
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func (b blobName) digest() digest.Digest { return digest.Digest(string(b.alg) + ":" + b.hex) }

// shard is the directory of the blob: 256 of them for each algorithm.
func (b blobName) shard() string { return blobsDir + "/" + string(b.alg) + "/" + b.hex[:2] }

func (b blobName) path() string {
	return blobsDir + "/" + string(b.alg) + "/" + b.hex[:2] + "/" + b.hex
}

// An uploadKey names an upload of one scope: the id, a dot, and a hash of the
// scope. Who does not know the scope cannot form it.
type uploadKey string

const (
	idLen    = 36 // of a UUID
	scopeLen = 32 // hex digits of the scope's hash
)

// newUploadKey makes an id that is a random UUID, as the distribution spec wants
// the location of an upload to contain one ("POST then PUT").
func newUploadKey(scope string) uploadKey {
	return uploadKey(uuid.NewString() + "." + scopeHash(scope))
}

// parseUploadKey refuses whatever is not written as [uuid.NewString] writes it,
// so that an id from the outside never becomes another path.
func parseUploadKey(scope, id string) (uploadKey, bool) {
	if !isID(id) {
		return "", false
	}
	return uploadKey(id + "." + scopeHash(scope)), true
}

func isID(s string) bool {
	if len(s) != idLen {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !isHex(s[i : i+1]) {
				return false
			}
		}
	}
	return true
}

func scopeHash(scope string) string {
	sum := sha256.Sum256([]byte(scope))
	return hex.EncodeToString(sum[:scopeLen/2])
}

func (k uploadKey) id() string { return string(k[:idLen]) }

// path is the upload's file. The algorithm in its name tells a process that
// did not see the upload begin which hash to compute.
func (k uploadKey) path(alg digest.Algorithm) string {
	return uploadsDir + "/" + string(k) + "." + string(alg)
}

// parseUploadFile is the reverse of path, for a name found in uploads/.
func parseUploadFile(name string) (uploadKey, digest.Algorithm, bool) {
	key, alg, _ := strings.Cut(name, ".")
	scope, alg, _ := strings.Cut(alg, ".")
	if !isID(key) || len(scope) != scopeLen || !isHex(scope) || !digest.Algorithm(alg).Available() {
		return "", "", false
	}
	return uploadKey(key + "." + scope), digest.Algorithm(alg), true
}

// algorithms are those an upload file may be named after, the likely one first.
func algorithms() [3]digest.Algorithm {
	return [...]digest.Algorithm{digest.SHA256, digest.SHA512, digest.SHA384}
}

// quarantineTime is how a quarantined file's name begins: sortable, and fine
// enough that two generations of one blob do not meet.
const quarantineTime = "20060102T150405.000000000Z"

func (b blobName) quarantinePath(at time.Time) string {
	return quarantineDir + "/" + at.UTC().Format(quarantineTime) + "-" + string(b.alg) + "-" + b.hex
}

// parseQuarantined is the reverse of quarantinePath, for a name found in
// quarantine/.
func parseQuarantined(name string) (digest.Digest, time.Time, bool) {
	stamp, rest, _ := strings.Cut(name, "-")
	alg, enc, _ := strings.Cut(rest, "-")
	at, err := time.Parse(quarantineTime, stamp)
	if err != nil {
		return "", time.Time{}, false
	}
	b, err := parseDigest(digest.Digest(alg + ":" + enc))
	if err != nil {
		return "", time.Time{}, false
	}
	return b.digest(), at, true
}
