//go:build !linux

package cli

// stepAside does nothing here.
func stepAside() {}
