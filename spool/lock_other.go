//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package spool

import (
	"os"
	"time"
)

// noFollow does not exist here.
const noFollow = 0

// waitFlock leaves locking to bbolt, which locks the spool file itself.
func waitFlock(*os.File, bool, time.Duration) error { return nil }

// diskFree cannot tell here.
func diskFree(string) (int64, bool) { return 0, false }
