package blobstore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// The example of FORMAT.md is what the code reads and writes.
func TestFormatExampleIsTrue(t *testing.T) {
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```\n")
	example, _, _ = strings.Cut(example, "```")
	scope := scopeHash("library/a")
	seen := map[string]bool{}
	for line := range strings.Lines(example) {
		line = strings.TrimSpace(line)
		dir, _, _ := strings.Cut(line, "/")
		seen[dir] = true
		var back string
		switch name := filepath.Base(line); dir {
		case blobsDir:
			alg := digest.Algorithm(filepath.Base(filepath.Dir(filepath.Dir(line))))
			if b, err := parseDigest(alg.FromString("hello")); err == nil {
				back = b.path()
			}
		case uploadsDir:
			if key, alg, ok := parseUploadFile(name); ok && strings.HasSuffix(string(key), scope) {
				back = key.path(alg)
			}
		case quarantineDir:
			if d, at, ok := parseQuarantined(name); ok {
				b, _ := parseDigest(d)
				back = b.quarantinePath(at)
			}
		case reserveFile:
			back = reserveFile
		}
		if back != line {
			t.Errorf("%s is read back as %q", line, back)
		}
	}
	if len(seen) != 4 {
		t.Errorf("the example shows only %v", seen)
	}
}
