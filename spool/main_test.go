package spool

import (
	"context"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// What the test binary does instead of testing when it is started again as a child.
const (
	childEnv   = "SPOOL_TEST_CHILD"
	childWork  = "work"  // the workload of the crash harness, in the directory of the first argument
	childCheck = "check" // CheckMain
	childFull  = "full"  // the full disk, see full_linux_test.go
)

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case childWork:
		os.Exit(crashChild())
	case childFull:
		os.Exit(fullChild())
	case childCheck:
		os.Exit(CheckMain(context.Background(), os.Args[1:], os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// checkCommand starts this test binary as the checking child. It relies on the
// environment being handed on.
func checkCommand(t testing.TB) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{"/usr/bin/env", childEnv + "=" + childCheck, exe}
}
