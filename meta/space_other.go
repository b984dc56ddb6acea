//go:build !linux

package meta

import "os"

// extend cannot reserve blocks here: a full disk is found out by the write that does not fit.
func extend(*os.File, int64, int64) (bool, error) { return false, nil }
