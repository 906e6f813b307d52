package spool

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// What the test binary does instead of testing when it is started again as a child.
const (
	childEnv  = "SPOOL_TEST_CHILD"
	childWork = "work" // the workload of the crash harness, in the directory of the first argument
	childFull = "full" // the full disk, see full_linux_test.go

	// For other tests on Linux.
	childFault   = "fault"
	childCompact = "compact"
	childSalvage = "salvage"
)

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case childWork:
		os.Exit(crashChild())
	case childFull:
		os.Exit(fullChild())
	case childFault:
		os.Exit(faultChild())
	case childCompact, childSalvage:
		os.Exit(housekeepingChild(os.Getenv(childEnv) == childCompact))
	}
	goleak.VerifyTestMain(m)
}
