package panics

import "testing"

func TestGood(t *testing.T) {}

func TestPanic(t *testing.T) { panic("out of luck") }

func TestNever(t *testing.T) {}
