package meta

import (
	"errors"
	"os"
	"syscall"
)

// extend is the system's extender.
func extend(f *os.File, from, to int64) (bool, error) {
	for {
		err := syscall.Fallocate(int(f.Fd()), 0, from, to-from)
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
