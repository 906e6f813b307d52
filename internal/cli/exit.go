package cli

import (
	"errors"

	"threatmatch-connector/internal/app"
	"threatmatch-connector/spool"
)

// The exit codes are an interface: README.md documents them.
const (
	exitOK          = 0
	exitFatal       = 1
	exitUsage       = 78 // EX_CONFIG of sysexits.h; 2 is what a Go program that crashes exits with, and that must be restarted
	exitIncomplete  = 3  // run --once: something was parked, dead-lettered, or a dataset failed
	exitUndelivered = 4  // stopped before the run was delivered; the spool holds the rest
)

// errUsage marks wrong configuration or a wrong command line.
type errUsage struct{ err error }

func (e errUsage) Error() string { return e.err.Error() }
func (e errUsage) Unwrap() error { return e.err }

// exitCode turns an error into an exit code. It is the only place that does.
func exitCode(err error) int {
	_, usage := errors.AsType[errUsage](err)
	switch {
	case err == nil:
		return exitOK
	case usage, errors.Is(err, spool.ErrConnector), errors.Is(err, spool.ErrKey):
		return exitUsage
	case errors.Is(err, app.ErrIncomplete):
		return exitIncomplete
	case errors.Is(err, app.ErrUndelivered):
		return exitUndelivered
	}
	return exitFatal
}
