package resource_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"skerry.dev/skerry/kube/resource"
)

// Whatever can be stored can be shown, and what is shown changes nothing when
// it is applied again.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(files, "testdata/image.yaml", "testdata/secret.yaml") {
		doc, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, err := resource.Decode(doc)
		if err != nil {
			return
		}
		stored, _, err := d.Revise(nil, resource.Stamp{UID: "uid", Now: since})
		if err != nil {
			return
		}
		shown, err := resource.Show(stored, 3, false)
		if err != nil {
			t.Fatal(err)
		}
		again, err := resource.Decode(shown)
		if err != nil {
			t.Fatalf("%v\n%s", err, shown)
		}
		next, changes, err := again.Revise(stored, resource.Stamp{UID: "other", Now: since})
		if err != nil || len(changes) > 0 || !bytes.Equal(next, stored) {
			t.Fatalf("changes %v, %v\n%s\n%s", changes, err, stored, next)
		}
	})
}
