package meta_test

import (
	"testing"

	"skerry.dev/skerry/meta"
)

func TestTheGenerationRisesWithEveryChangeOfAnObject(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		what  string
		do    func() error
		rises bool
	}{
		{"put", func() error {
			_, err := w.PutResource(t.Context(), meta.Resource{Kind: "Config", Name: "cluster", Doc: []byte("{}")})
			return err
		}, true},
		{"delete", func() error { return w.DeleteResource(t.Context(), "Config", "", "cluster") }, true},
		{"push", func() error { w.push(manifest("a", "x", []meta.Tag{"v1"})); return nil }, false},
	} {
		before := w.ResourceGeneration()
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if rose := w.ResourceGeneration() != before; rose != c.rises {
			t.Errorf("%s: the generation rises: %t", c.what, rose)
		}
	}
}
