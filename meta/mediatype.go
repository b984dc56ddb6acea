package meta

import (
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// mediaTypes are written as their position from 1. The order is part of the
// format: append only.
func mediaTypes() [4]string {
	return [...]string{
		ocispec.MediaTypeImageManifest,
		ocispec.MediaTypeImageIndex,
		"application/vnd.docker.distribution.manifest.v2+json",
		"application/vnd.docker.distribution.manifest.list.v2+json",
	}
}

// mediaTypeCode is 0 for a media type that has none.
func mediaTypeCode(mediaType string) uint64 {
	known := mediaTypes()
	return uint64(slices.Index(known[:], mediaType) + 1)
}

// mediaTypeOf is "" for a code that nothing has.
func mediaTypeOf(code uint64) string {
	known := mediaTypes()
	if code < 1 || code > uint64(len(known)) {
		return ""
	}
	return known[code-1]
}
