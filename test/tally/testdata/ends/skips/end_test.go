package skips

import "testing"

func TestGood(t *testing.T) {}

func TestSkip(t *testing.T) { t.Skip("not today") }
