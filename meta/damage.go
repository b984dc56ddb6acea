package meta

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

const restoreHint = "look at it with `skerry check`; restore a backup with `skerry restore`, or give this node " +
	"an empty directory and let it fetch the state from the others"

// damage is an ErrDamaged that says what to do.
func damage(format string, args ...any) error {
	return fmt.Errorf("%w: %s; %s", ErrDamaged, fmt.Sprintf(format, args...), restoreHint)
}

// guarded runs fn, which reads pages of the named file that may be damaged.
func guarded(file string, fn func() error) (err error) {
	faults := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(faults)
		if p := recover(); p != nil {
			err = mustDamage(file, p)
		}
	}()
	return fn()
}

// mustDamage turns a panic that damage caused into an error, and lets others go on. It is called in
// the deferred function that recovered p, while the stack still shows who panicked.
//
// bbolt has no checksums: on pages that make no sense it panics in many ways. And a mapped page that
// the disk cannot read is a fault wherever it is touched, a panic by debug.SetPanicOnFault.
func mustDamage(file string, p any) error {
	_, fault := p.(interface{ Addr() uintptr })
	if !fault && !strings.HasPrefix(panicker(), "go.etcd.io/bbolt") {
		panic(p)
	}
	return damage("%s: %v", file, p)
}

// panicker names the function that panicked: the first one behind the runtime's own, seen from the
// deferred function that is running.
func panicker() string {
	pc := make([]uintptr, 64)
	frames := runtime.CallersFrames(pc[:runtime.Callers(0, pc)])
	panicking := false
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		inRuntime := strings.HasPrefix(f.Function, "runtime.")
		if panicking && !inRuntime {
			return f.Function
		}
		panicking = panicking || f.Function == "runtime.gopanic"
	}
	return ""
}
