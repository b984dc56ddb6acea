package object

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// inMemory is a file that holds text until it is closed, for drivers that want to be
// told of files: what it holds touches no disk.
func inMemory(name, text string) (*os.File, error) {
	fd, err := unix.MemfdCreate("skerry-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("keep %s in memory: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.WriteString(text); err != nil {
		return nil, errors.Join(fmt.Errorf("keep %s in memory: %w", name, err), f.Close())
	}
	return f, nil
}

// fileOf is where this process finds such a file.
func fileOf(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
