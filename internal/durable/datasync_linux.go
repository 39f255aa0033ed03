package durable

import (
	"errors"
	"os"
	"syscall"
)

// syncData makes a file's data last, and of what is known about the file only what
// is needed to find it.
func syncData(file *os.File) error {
	for {
		err := syscall.Fdatasync(int(file.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
