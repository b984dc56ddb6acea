package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// returnProgramPages unmaps what of the program's file was read to start it: every
// package's beginnings, and what the kernel maps around each page of them. That is
// half of what a process of this size has resident, and most of it is not used
// again. The kernel keeps the pages in its cache for as long as it likes, and a page
// that is used again is mapped again from there.
//
// It is an economy: where it cannot be had, nothing is said.
func returnProgramPages() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer func() { _ = smaps.Close() }()
	for _, m := range cleanMappings(smaps, program) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED)
	}
}

// A mapping is a range of addresses.
type mapping struct{ start, end uintptr }

// cleanMappings are those of the file that can be mapped again with the same
// contents: not writable, and no page is the process's own. A relocated table, or
// code with a debugger's breakpoint in it, is none.
func cleanMappings(smaps io.Reader, file string) (found []mapping) {
	var current mapping // what the lines are about; the zero one is not wanted
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		line := lines.Bytes()
		key, value, _ := bytes.Cut(line, []byte(":"))
		if string(key) == "Anonymous" && current.end != 0 && string(bytes.TrimSpace(value)) == "0 kB" {
			found = append(found, current)
		}
		if field := bytes.Fields(line); bytes.IndexByte(field[0], '-') > 0 { // the head of the next mapping
			current = mapping{}
			if len(field) == 6 && string(field[5]) == file && field[1][0] == 'r' && field[1][1] == '-' {
				_, _ = fmt.Sscanf(string(field[0]), "%x-%x", &current.start, &current.end)
			}
		}
	}
	return found
}
