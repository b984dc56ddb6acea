package fails

import "testing"

func TestGood(t *testing.T) {}

func TestBad(t *testing.T) {
	t.Run("good", func(t *testing.T) {})
	t.Run("bad", func(t *testing.T) { t.Error("one is not two") })
}
