//go:build !linux

package cli

// stepAside does nothing on this system.
func stepAside() {}
