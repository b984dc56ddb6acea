package breaks

import "testing"

func TestBreak(t *testing.T) { missing() }
