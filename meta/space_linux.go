package meta

import (
	"errors"
	"os"
	"syscall"
)

// extend gives f blocks up to size, and at least that size. It reports false where the file system
// cannot do that.
func extend(f *os.File, from, size int64) (bool, error) {
	for {
		err := syscall.Fallocate(int(f.Fd()), 0, from, size-from)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS):
			return false, nil
		default:
			return false, os.NewSyscallError("fallocate", err)
		}
	}
}
