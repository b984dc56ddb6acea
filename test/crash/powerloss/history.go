//go:build crash

package powerloss

import (
	"fmt"
	"strings"
)

// historyMax is how many operations are remembered.
const historyMax = 4096

// A history is what was done last.
type history struct {
	events [historyMax]event
	n      int
}

type event struct {
	what, path string
	off, size  int64
}

func (h *history) add(what, path string, off, size int64) {
	h.events[h.n%historyMax] = event{what, path, off, size}
	h.n++
}

// String is one line for each operation, oldest first.
func (h *history) String() string {
	var b strings.Builder
	for i := max(0, h.n-historyMax); i < h.n; i++ {
		e := h.events[i%historyMax]
		_, _ = fmt.Fprintf(&b, "%6d %-8s %s", i, e.what, e.path)
		if e.size != 0 || e.off != 0 {
			_, _ = fmt.Fprintf(&b, " [%d:%d]", e.off, e.off+e.size)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
