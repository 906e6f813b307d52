package cli_test

import (
	"strings"
	"syscall"
	"testing"

	"threatmatch-connector/internal/cli"
	"threatmatch-connector/internal/fault"
)

// A killed connector leaves its socket behind, so a socket that refuses us does not
// prove that a daemon runs.
func TestRefusedSocketIsNoDaemon(t *testing.T) {
	err := cli.NotAllowed("/var/lib/spool", syscall.EACCES)
	if text := err.Error(); !strings.Contains(text, "it is unknown whether a connector runs on /var/lib/spool: permission denied") {
		t.Error(text)
	}
	if hint := fault.HintOf(err); !strings.Contains(hint, "user that owns the spool") {
		t.Error(hint)
	}
}
