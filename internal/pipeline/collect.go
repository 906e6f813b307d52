package pipeline

import "runtime"

// Collect frees what is left of a large object when it has taken another form. Otherwise
// the collector may let that stand beside the next copy.
func Collect(size int) {
	const large = 4 << 20
	if size > large {
		runtime.GC()
	}
}
