//go:build !linux

package brokertest

import "syscall"

func diesWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
