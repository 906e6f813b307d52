package cli_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/cli"
	"threatmatch-connector/spool"
)

var update = flag.Bool("update", false, "write testdata/fields.txt")

// commands returns every command that does something, by its words.
func commands(c *cobra.Command, words string) map[string]*cobra.Command {
	all := map[string]*cobra.Command{}
	if !c.HasSubCommands() {
		all[words] = c
	}
	for _, sub := range c.Commands() {
		maps.Copy(all, commands(sub, strings.TrimSpace(words+" "+sub.Name())))
	}
	return all
}

// written are the commands that only write a generated file; config.go has them all.
var written = []string{"config schema", "config sample"}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// TestEveryCommand tests each command of the program on the spool of a stopped
// connector, on that of a killed one, and over the socket of a running one, as text
// and as JSON: the exit codes, that reading changes no byte, that the answers are
// the same, and that a change asks first.
func TestEveryCommand(t *testing.T) {
	trials := everyCommand()
	for words, c := range commands(cli.Root(), "") {
		if len(trials[words]) == 0 {
			t.Errorf("%q has no trial", words)
		}
		if strings.HasPrefix(words, "completion") || words == "help" {
			continue // the library's
		}
		if !c.Hidden && (c.Short == "" || c.Example == "") {
			t.Errorf("%q has no help with an example", words)
		}
		if file := strings.ReplaceAll(words, " ", "_") + ".go"; !exists(file) && !slices.Contains(written, words) {
			t.Errorf("%q has no file %s", words, file)
		}
	}
	fields, tried := map[string]bool{}, 0
	looked := map[string]place{} // nobody changes these, so that one of each will do
	for _, state := range states {
		dir := arrange(t, state)
		looked[state] = place{dir, filesOf(t, dir)}
	}
	for _, words := range slices.Sorted(maps.Keys(trials)) {
		for _, tr := range trials[words] {
			tried--
			t.Run(strings.TrimSpace(words+" "+tr.args), func(t *testing.T) {
				tried++
				if tr.changes {
					tryChange(t, words, tr, fields)
				} else {
					tryLook(t, words, tr, looked, fields)
				}
			})
		}
	}
	if tried == 0 { // none was left out by -run
		goldenFields(t, fields)
	}
}

// goldenFields holds the names in the JSON answers: scripts rely on them.
func goldenFields(t *testing.T, fields map[string]bool) {
	t.Helper()
	const path = "testdata/fields.txt"
	text := strings.Join(slices.Sorted(maps.Keys(fields)), "\n") + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if raw, err := os.ReadFile(path); err != nil || string(raw) != text {
		t.Errorf("the names in the JSON answers are not those of %s; run: go test ./internal/cli -run TestEveryCommand -update (%v)", path, err)
	}
}

// states are the states in which a command may find the spool.
var states = []string{"stopped", "killed", "running"}

// place is a spool's directory and what its files hold.
type place struct {
	dir   string
	files map[string]string
}

// arrange makes the fixture in a state.
func arrange(t *testing.T, state string) string {
	t.Helper()
	dir := t.TempDir()
	for name, raw := range fixture() {
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := reserve(dir); err != nil {
		t.Fatal(err)
	}
	switch state {
	case "killed":
		abandon(t, dir)
	case "running":
		stop, err := serve(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
	return dir
}

// abandon leaves the files as a killed process does.
func abandon(t *testing.T, dir string) {
	t.Helper()
	s, err := spool.Open(context.Background(), spool.Options{Dir: dir, Now: func() time.Time { return fixtureTime }, KeepRecords: 1000 * time.Hour, NoCompact: true})
	if err != nil {
		t.Fatal(err)
	}
	left := map[string][]byte{}
	for _, name := range []string{"spool.db", "spool.lock"} {
		if left[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	err = s.Close()
	for name, raw := range left {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), raw, 0o600))
	}
	if info, ierr := spool.ReadLock(dir); err != nil || ierr != nil || info.Clean {
		t.Fatalf("got errors %v and %v and lock %+v, want the note of a killed process", err, ierr, info)
	}
}

// said is what a command printed.
type said struct {
	code     int
	out, err string
}

// call runs one command line in this process.
func call(t *testing.T, dir, words, args, answer string, more ...string) said {
	t.Helper()
	if strings.Contains(args, "ASIDE") {
		args = strings.ReplaceAll(args, "ASIDE", asideCopy(t))
	}
	line := append(strings.Fields(words), strings.Fields(strings.NewReplacer("SPOOL", dir, "NEW", filepath.Join(t.TempDir(), "new")).Replace(args))...)
	line = append(append(line, "--spool-dir", dir), more...)
	if words == "help" {
		line = append(strings.Fields(words), strings.Fields(args)...)
	}
	var stdout, stderr bytes.Buffer
	code := cli.Main(line, cli.Env{
		Stdin: strings.NewReader(answer), Stdout: &stdout, Stderr: &stderr, Now: func() time.Time { return fixtureTime.Add(time.Minute) },
		Environ: []string{
			"OPENCTI_URL=http://127.0.0.1:1", "OPENCTI_TOKEN=token", "THREATMATCH_URL=http://127.0.0.1:1", "THREATMATCH_CLIENT_ID=id",
			"THREATMATCH_CLIENT_SECRET=secret", "CONNECTOR_ID=" + fixtureConnector, "SPOOL_DIR=" + dir,
		},
	})
	return said{code, strings.ReplaceAll(stdout.String(), dir, "DIR"), stderr.String()}
}

// tryLook tests a command that must not change the spool.
func tryLook(t *testing.T, words string, tr trial, places map[string]place, fields map[string]bool) {
	var first []said
	for _, state := range states {
		want := map[bool]int{true: tr.running, false: tr.stopped}[state == "running"]
		if want < 0 {
			continue
		}
		dir := places[state].dir
		text := call(t, dir, words, tr.args, "")
		asJSON := call(t, dir, words, tr.args, "", "--json")
		if now := filesOf(t, dir); !maps.Equal(places[state].files, now) {
			t.Errorf("%s: it changed the spool's directory", state)
		}
		if text.code != want || asJSON.code != want {
			t.Errorf("%s: exit codes %d and %d, want %d\n%s%s", state, text.code, asJSON.code, want, text.err, asJSON.err)
		}
		if want == 0 && text.out == "" && !tr.silent || want != 0 && text.out+text.err == "" {
			t.Errorf("%s: it says nothing", state)
		}
		if !tr.plain && (want == 0 || asJSON.out != "") {
			noteFields(t, words, asJSON.out, fields)
			if asJSON.out == text.out {
				t.Errorf("%s: text and JSON are the same", state)
			}
		}
		if first == nil {
			first = []said{text, asJSON}
		} else if !tr.varies && (text.out != first[0].out || !tr.plain && asJSON.out != first[1].out) {
			t.Errorf("%s: it says\n%s, but of a stopped connector\n%s", state, text.out, first[0].out)
		}
	}
}

// tryChange tests a command that changes the spool: it asks, and a no leaves
// everything unchanged; with --yes it makes the change.
func tryChange(t *testing.T, words string, tr trial, fields map[string]bool) {
	for _, state := range states {
		dir := arrange(t, state)
		want := map[bool]int{true: tr.running, false: tr.stopped}[state == "running"]
		before := holdings(t, dir)
		for _, answer := range []string{"n\n", ""} { // the second: there is nobody
			no := call(t, dir, words, tr.args, answer)
			if no.code != 1 || want == 0 && (!strings.Contains(no.err, "? [y/N]") || (answer == "") != strings.Contains(no.err, "hint:  without a terminal to answer on, use --yes")) {
				t.Errorf("%s: answered %q it ends with %d\n%s", state, answer, no.code, no.err)
			}
			if now := holdings(t, dir); now != before {
				t.Errorf("%s: a no changed the spool:\n%s, before:\n%s", state, now, before)
			}
		}
		got := call(t, dir, words, tr.args, "", "--yes", "--json")
		if got.code != want {
			t.Errorf("%s: exit code %d, want %d\n%s%s", state, got.code, want, got.out, got.err)
		}
		if want == 0 {
			noteFields(t, words, got.out, fields)
		}
		if want == 0 && state != "running" && !strings.Contains(got.err, `"asked_by":"uid `) {
			t.Errorf("%s: it is not logged who asked\n%s", state, got.err)
		}
		// The stand-in for a daemon of daemon_test.go does not import again.
		if did := holdings(t, dir) != before; did != (want == 0 && words != "spool compact" && (words != "repull" || state != "running")) {
			t.Errorf("%s: changed: %v", state, did)
		}
	}
}

// asideCopy is a set-aside file of the fixture's connector.
func asideCopy(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spool.db.damaged-20260101T000000Z")
	if err := os.WriteFile(path, fixture()["spool.db"], 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// holdings describes what the spool holds.
func holdings(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	for _, bucket := range []string{"runs", "tasks", "records", "waiting", "held", "bundles", "dead", "ids"} {
		s := call(t, dir, "spool ls", bucket, "", "--json")
		if s.code != 0 {
			t.Fatalf("ls %s: %d %s", bucket, s.code, s.err)
		}
		all.WriteString(s.out)
	}
	all.WriteString(call(t, dir, "spool show", "meta paused", "", "--json").out) // absent as a rule
	return all.String()
}

// filesOf reads the files in a directory.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, ".reserve") {
			all[path] = fmt.Sprint(d.Type())
			return err
		}
		raw, err := os.ReadFile(path)
		all[path] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
