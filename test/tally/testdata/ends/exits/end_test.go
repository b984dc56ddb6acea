package exits

import (
	"os"
	"testing"
)

func TestGood(t *testing.T) {}

func TestExit(t *testing.T) { os.Exit(3) }
