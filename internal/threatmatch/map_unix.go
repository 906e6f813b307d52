//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package threatmatch

import (
	"os"

	"golang.org/x/sys/unix"
)

const canMap = true

// mapFile maps the first n bytes of a file for reading; n is at least 1. free unmaps them.
func mapFile(f *os.File, n int) (text []byte, free func(), err error) {
	text, err = unix.Mmap(int(f.Fd()), 0, n, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return text, func() { _ = unix.Munmap(text) }, nil
}
