//go:build crashpoints

package point

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// hits counts arrivals at the point that this process is to die at.
var hits atomic.Int64 //nolint:gochecknoglobals // one process, one death; only in crash tests

// At kills the process with SIGKILL when name is the point that
// SKERRY_CRASH_AT names, at its n-th arrival ("blob.renamed:3"; without a
// number the first). No deferred function runs, no buffer is flushed: the
// kernel keeps what was written, nothing else.
func At(name string) {
	want, nth, _ := strings.Cut(os.Getenv("SKERRY_CRASH_AT"), ":")
	if want != name {
		return
	}
	n, err := strconv.ParseInt(nth, 10, 64)
	if err != nil {
		n = 1
	}
	if hits.Add(1) == n {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal arrives
	}
}
