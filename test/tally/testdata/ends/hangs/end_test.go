package hangs

import "testing"

func TestGood(t *testing.T) {}

func TestHang(t *testing.T) { select {} }

func TestNever(t *testing.T) {}
