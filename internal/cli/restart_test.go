package cli_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestRestartAfterACrash: systemd restarts the connector however it ended, except
// after wrong settings. Go ends a crashing program with 2.
func TestRestartAfterACrash(t *testing.T) {
	unit, err := os.ReadFile("../../deploy/systemd/threatmatch-connector.service")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^RestartPreventExitStatus=(.*)$`).FindSubmatch(unit)
	if m == nil {
		t.Fatal("the unit has no RestartPreventExitStatus")
	}
	final := strings.Fields(string(m[1]))

	program, err := os.Executable() // which is the connector where it is called so: see TestMain
	if err != nil {
		t.Fatal(err)
	}
	settings := []string{
		"OPENCTI_URL=http://127.0.0.1:1", "OPENCTI_TOKEN=token", "THREATMATCH_URL=http://127.0.0.1:1",
		"THREATMATCH_CLIENT_ID=id", "THREATMATCH_CLIENT_SECRET=secret", "CONNECTOR_ID=11111111-2222-4333-8444-555555555555",
	}
	for _, tt := range []struct {
		name    string
		args    []string
		env     []string
		crash   bool
		code    string
		restart bool
	}{
		{"crash", []string{"run"}, settings, true, "2", true},
		{"spool cannot be made", []string{"run", "--spool-dir", "/dev/null/spool"}, settings, false, "1", true},
		{"no settings", []string{"run"}, nil, false, "78", false},
		{"wrong command line", []string{"run", "--nonsense"}, settings, false, "78", false},
		{"health without settings", []string{"health", "--config", "nosuch.yml"}, nil, false, "78", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), program, tt.args...)
			cmd.Args[0] = "threatmatch-connector"
			cmd.Dir, cmd.Env = t.TempDir(), tt.env
			code := end(t, cmd, tt.crash)
			if code != tt.code {
				t.Errorf("exit code %s, want %s", code, tt.code)
			}
			if restart := !slices.Contains(final, code); restart != tt.restart {
				t.Errorf("systemd starts it again after %s: %v, want %v", code, restart, tt.restart)
			}
		})
	}
}

// end runs a command to its end, or crashes it once it runs, and returns its exit code.
func end(t *testing.T, cmd *exec.Cmd, crash bool) string {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if crash && strings.Contains(lines.Text(), "connector starts") {
			if err := cmd.Process.Signal(syscall.SIGQUIT); err != nil {
				t.Fatal(err)
			}
		}
	}
	exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
	if !ok {
		return "0"
	}
	return strings.TrimPrefix(exit.String(), "exit status ")
}
