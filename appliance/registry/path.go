package registry

import (
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// A kind is what a path names.
type kind uint8

const (
	kindUnknown   kind = iota // no route of the front
	kindBase                  // /v2/
	kindCatalog               // /v2/_catalog
	kindTags                  // /v2/<name>/tags/list
	kindManifest              // /v2/<name>/manifests/<reference>
	kindBlob                  // /v2/<name>/blobs/<digest>
	kindUploads               // /v2/<name>/blobs/uploads/
	kindUpload                // /v2/<name>/blobs/uploads/<id>
	kindReferrers             // /v2/<name>/referrers/<digest>
)

// kinds is how many there are.
const kinds = int(kindReferrers) + 1

// A target is a parsed path. Every field in use is valid: nothing behind
// parsePath sees a raw URL.
type target struct {
	kind   kind
	repo   meta.RepoName
	ref    string        // manifests: the reference as it was sent, a tag or a digest
	tag    meta.Tag      // manifests by tag; "" when ref is not one
	digest digest.Digest // manifests by digest, blobs, referrers
	upload string        // session id; its grammar is blobstore's
}

// parsePath reads a path from its end, because a repository's name may contain
// every word that also names a route: /v2/a/blobs/uploads/manifests/x is tag x of
// a/blobs/uploads. References, digests and ids contain no slash, so the last
// two or three elements decide.
//
// An error is a *fault about the name or the digest. A reference that is neither tag
// nor digest is no error here: to read it is 404, to write it is 400.
func parsePath(u *url.URL) (target, error) {
	t, err := parseRoute(u)
	if err == nil && t.kind == kindUnknown && !isClean(u.Path) {
		// App's router would redirect to the clean path.
		return t, nameInvalid(u.Path, "empty elements and dots are not allowed in a path")
	}
	return t, err
}

// isClean says whether no element of p is empty or dots, but for a slash at the end.
func isClean(p string) bool {
	return strings.TrimSuffix(p, "/") == strings.TrimSuffix(path.Clean(p), "/")
}

func parseRoute(u *url.URL) (target, error) {
	inner, ok := strings.CutPrefix(u.Path, "/v2/")
	if !ok {
		if u.Path == "/v2" {
			return target{kind: kindBase}, nil
		}
		return target{}, nil
	}
	// Path is decoded. An encoded slash would make other elements of it than the
	// client, or a proxy that decided about the path, saw.
	if u.RawPath != "" && (strings.Contains(u.RawPath, "%2f") || strings.Contains(u.RawPath, "%2F")) {
		return target{}, nameInvalid(u.RawPath, "a slash must not be percent-encoded")
	}
	switch inner {
	case "":
		return target{kind: kindBase}, nil
	case "_catalog":
		return target{kind: kindCatalog}, nil
	}
	rest, last := cutLast(inner)
	name, word := cutLast(rest)
	if name == "" {
		return target{}, nil
	}
	t := target{}
	switch {
	case word == "manifests":
		t.kind, t.ref = kindManifest, last
	case word == "referrers":
		t.kind = kindReferrers
	case word == "tags" && last == "list":
		t.kind = kindTags
	case word == "blobs" && last == "uploads":
		t.kind = kindUploads // without its slash, as some clients have it
	case word == "blobs":
		t.kind = kindBlob
	case word == "uploads":
		outer, blobs := cutLast(name)
		if blobs != "blobs" || outer == "" {
			return target{}, nil
		}
		name, t.kind, t.upload = outer, kindUpload, last
		if last == "" {
			t.kind = kindUploads
		}
	default:
		return target{}, nil
	}
	return t.complete(name, last)
}

// complete checks the name and what last must be for t's kind.
func (t target) complete(name, last string) (target, error) {
	var err error
	if t.repo, err = meta.ParseRepoName(name); err != nil {
		return t, nameInvalid(name, "lowercase letters, digits and single . _ - between them, elements separated by /, "+
			"255 bytes at most")
	}
	switch {
	case t.kind == kindBlob, t.kind == kindReferrers, t.kind == kindManifest && strings.IndexByte(last, ':') >= 0:
		t.digest, err = parseDigest(last)
	case t.kind == kindManifest:
		if tag, err := meta.ParseTag(last); err == nil {
			t.tag = tag
		}
	}
	return t, err
}

// cutLast cuts s around its last slash. Without one everything is last.
func cutLast(s string) (before, last string) {
	i := strings.LastIndexByte(s, '/')
	return s[:max(i, 0)], s[i+1:]
}

// parseDigest does what digest.Parse does for the algorithms we can compute,
// without its regular expressions: it is on the path of every request.
func parseDigest(s string) (digest.Digest, error) {
	alg, hex, _ := strings.Cut(s, ":")
	size, err := algorithmSize(alg)
	if err != nil {
		return "", err
	}
	if len(hex) != 2*size {
		return "", digestInvalid(s, fmt.Sprintf("%s has %d lowercase hexadecimal digits", alg, 2*size))
	}
	for i := range len(hex) {
		if c := hex[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", digestInvalid(s, "a digest is lowercase hexadecimal")
		}
	}
	return digest.Digest(s), nil
}

// algorithmSize is the length of an algorithm's hash in bytes.
func algorithmSize(alg string) (int, error) {
	switch digest.Algorithm(alg) {
	case digest.SHA256:
		return 32, nil
	case digest.SHA384:
		return 48, nil
	case digest.SHA512:
		return 64, nil
	}
	return 0, digestInvalid(alg, "the algorithm must be sha256, sha384 or sha512")
}
