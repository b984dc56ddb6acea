package meta

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// A packed digest is one byte for the algorithm and the raw hash. The codes
// sort as the algorithms' names do, so packed digests sort as digests do.
const (
	codeSHA256 = 1
	codeSHA384 = 2
	codeSHA512 = 3

	packedMax = 1 + 64
)

// digestAlgorithm names an algorithm's code and how long its hash is; 0 for no algorithm.
func digestAlgorithm(code byte) (prefix string, size int) {
	switch code {
	case codeSHA256:
		return "sha256:", 32
	case codeSHA384:
		return "sha384:", 48
	case codeSHA512:
		return "sha512:", 64
	}
	return "", 0
}

// appendDigest packs d behind b. An invalid digest gives [ErrName].
func appendDigest(b []byte, d digest.Digest) ([]byte, error) {
	for code := byte(codeSHA256); code <= codeSHA512; code++ {
		prefix, size := digestAlgorithm(code)
		if len(d) != len(prefix)+2*size || string(d[:len(prefix)]) != prefix {
			continue
		}
		b = append(b, code)
		for i := len(prefix); i < len(d); i += 2 {
			hi, lo := nibble(d[i]), nibble(d[i+1])
			if hi > 15 || lo > 15 {
				return nil, fmt.Errorf("digest %.150q: %w", d, ErrName)
			}
			b = append(b, hi<<4|lo)
		}
		return b, nil
	}
	return nil, fmt.Errorf("digest %.150q: %w", d, ErrName)
}

// nibble is a lowercase hexadecimal digit's value, or 255.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// packDigests packs each of ds.
func packDigests(ds []digest.Digest) ([][]byte, error) {
	packed := make([][]byte, len(ds))
	for i, d := range ds {
		var err error
		if packed[i], err = appendDigest(nil, d); err != nil {
			return nil, err
		}
	}
	return packed, nil
}

// unpackDigests undoes packDigests.
func unpackDigests(packed [][]byte) (ds []digest.Digest) {
	for _, d := range packed {
		ds = append(ds, unpackDigest(d))
	}
	return ds
}

// packedLen is the length of the packed digest at the start of b, or 0.
func packedLen(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	_, size := digestAlgorithm(b[0])
	if size == 0 || len(b) < 1+size {
		return 0
	}
	return 1 + size
}

// validPacked says whether b is exactly one packed digest.
func validPacked(b []byte) bool { return len(b) > 0 && packedLen(b) == len(b) }

// unpackDigest is the digest packed at the start of b, "" if there is none.
func unpackDigest(b []byte) digest.Digest {
	n := packedLen(b)
	if n == 0 {
		return ""
	}
	prefix, size := digestAlgorithm(b[0])
	var buf [len("sha512:") + 2*64]byte
	k := copy(buf[:], prefix)
	hex.Encode(buf[k:], b[1:n])
	return digest.Digest(buf[:k+2*size])
}

// names says whether packed is the digest of content.
func names(packed, content []byte) bool {
	if !validPacked(packed) {
		return false
	}
	switch hash := packed[1:]; packed[0] {
	case codeSHA256:
		sum := sha256.Sum256(content)
		return bytes.Equal(sum[:], hash)
	case codeSHA384:
		sum := sha512.Sum384(content)
		return bytes.Equal(sum[:], hash)
	case codeSHA512:
		sum := sha512.Sum512(content)
		return bytes.Equal(sum[:], hash)
	}
	return false
}
