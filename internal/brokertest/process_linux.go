package brokertest

import "syscall"

// diesWithUs lets the kernel end the child when the test process dies,
// also in a panic or at the test timeout.
func diesWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
