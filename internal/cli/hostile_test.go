package cli_test

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"threatmatch-connector/internal/cli"
	"threatmatch-connector/spool"
)

// evil is what an attacker puts into ids, names and responses: it would rename the
// terminal's window, clear it, reverse the text and forge a line.
const evil = "\x1b]0;x\x07\x1b[2J\u009b31m\x00\x7f\r\nFORGED\u2028FORGED\n\u202e\u2066\ufeff\U000e0041\t"

// hostileSpool holds an entry of every kind whose texts are evil.
func hostileSpool(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s, err := spool.Open(t.Context(), spool.Options{
		Dir: dir, ConnectorID: fixtureConnector, KeepRecords: 1000 * time.Hour, Now: func() time.Time { return fixtureTime }, Version: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.AdoptState(1, map[spool.Dataset]time.Time{spool.Alerts: fixtureTime.Add(-48 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	run, seqs, err := startRun(s, 1, "a"+evil, "b"+evil)
	if err != nil {
		t.Fatal(err)
	}
	id := func(name string) string { return "malware--" + name + evil }
	raw := []byte(`{"name":"` + evil + `"}`)
	var dead []spool.DeadLetter
	for _, stage := range []spool.Stage{spool.StageFetch, spool.StageMap, spool.StageDeliver} {
		dead = append(dead, spool.DeadLetter{Stage: stage, Class: "class" + evil, Error: "error" + evil, Run: run.ID, First: fixtureTime, Last: fixtureTime,
			Dataset: spool.Alerts, Source: "d" + evil, STIX: id(string(stage)), Payload: raw})
	}
	err = s.CommitMap(1, fixtureTime, spool.MapCommit{
		Run: run.ID, Records: seqs[:1], IDs: []spool.IDPut{entry(run.ID, id("known"))},
		Bundles: []spool.NewBundle{{Objects: []spool.BundleObject{{STIX: id("sent"), Dataset: spool.Alerts, Source: "a" + evil, JSON: raw}}}},
		Hold:    []spool.Object{{STIX: id("held"), Watch: id("missing"), Dataset: spool.Alerts, Source: "a" + evil, JSON: raw}},
		Wait:    []spool.Object{{STIX: id("waits"), Watch: id("missing"), Dataset: spool.Alerts, Source: "a" + evil, JSON: raw}},
		Dead:    dead, Count: map[string]int64{"map.type_unknown:" + evil: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	work := spool.Work{Name: "work" + evil, ID: "work" + evil, Status: "open"}
	next, rerr := s.StartRun(1, fixtureTime, spool.RunSpec{
		Reason: spool.ReasonRepull, Datasets: map[spool.Dataset]time.Time{spool.Alerts: fixtureTime},
		Tasks: []spool.NewTask{{TaskKey: item(spool.Alerts, "parked"+evil)}, {TaskKey: item(spool.Alerts, "open"+evil)}},
	})
	state := &spool.TaskState{Tries: 2, Runs: 1, LastTry: fixtureTime, LastClass: "refused", LastError: "error" + evil, LastAnswer: raw}
	err = errors.Join(rerr, s.SaveWork(1, run.ID, work), s.SettleTasks(1, fixtureTime, []spool.Outcome{{
		Task: item(spool.Alerts, "parked"+evil), Run: next.ID, Keep: state, Park: true,
	}}), s.Close())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestNothingActsOnTheScreen: no command, question or error prints text of a feed
// as anything but visible text, or lets it begin a line.
func TestNothingActsOnTheScreen(t *testing.T) {
	dir := hostileSpool(t)
	id := func(name string) string { return "malware--" + name + evil }
	var lines [][]string
	for words, trials := range everyCommand() { // every command meets it once at least
		for _, tr := range trials {
			if words == "run" || strings.HasPrefix(words, "completion") || words == "help" || strings.Contains(tr.args, "NEW") {
				continue
			}
			lines = append(lines, append(strings.Fields(words), strings.Fields(tr.args)...))
		}
	}
	lines = append(lines, [][]string{
		{"spool", "run", "1"}, {"spool", "show", "records", "1/2"}, {"spool", "show", "waiting", "1/1"}, {"spool", "show", "bundles", "1/1"},
		{"spool", "show", "dead", "1"}, {"spool", "show", "dead", "2"}, {"spool", "show", "runs", "1"}, {"spool", "show", "held", id("held")},
		{"spool", "show", "ids", id("known")}, {"spool", "show", "tasks", "alerts/item/parked" + evil}, {"spool", "show", "ids", id("nowhere")},
		{"spool", "find", id("known")}, {"spool", "find", id("held")}, {"spool", "find", id("waits")}, {"spool", "find", id("sent")},
		{"spool", "find", id("map")}, {"spool", "find", id("nowhere")}, {"spool", "find", "a" + evil}, {"spool", "find", "d" + evil},
		{"spool", "find", "alerts/parked" + evil}, {"spool", "find", "alerts/open" + evil}, {"spool", "find", evil},
		{"spool", "drop", "1", "2", "3", id("held"), "alerts/parked" + evil}, {"spool", "drop", id("nowhere")}, {"spool", "drop", evil},
		{"spool", "retry", "--all"}, {"spool", "retry", "--all", "--class", "class" + evil}, {"spool", "retry", "--all", "--class", "no" + evil},
		{"spool", "retry", "alerts/open" + evil}, {"spool", "retry", "--all", "--stage", evil}, {"spool", "ls", evil}, {evil}, {"status", evil},
		{"spool", "ls", "tasks", "--after", evil}, {"repull", "--from", evil}, {"repull", "--from", "P1D", "--dataset", evil},
		{"run", "--config", evil}, {"config", "check", "--config", evil}, {"check", "--config", evil}, {"spool", "snapshot", filepath.Join(t.TempDir(), "nowhere", evil)},
		{"__complete", "spool", "show", "tasks", ""}, {"__complete", "spool", "drop", ""}, {"__complete", "spool", "show", "ids", ""},
	}...)
	for _, state := range []string{"stopped", "running"} {
		if state == "running" {
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
		for _, line := range lines {
			for _, more := range [][]string{{}, {"--json"}} {
				if line[0] == "__complete" && len(more) > 0 {
					continue
				}
				checkScreen(t, state, dir, append(slices.Clone(line), more...))
			}
		}
	}
}

// checkScreen runs a command, answers its questions with no, and checks what it
// printed.
func checkScreen(t *testing.T, state, dir string, line []string) {
	t.Helper()
	var out bytes.Buffer
	cli.Main(append([]string{}, with(line, "--spool-dir", dir)...), cli.Env{
		Stdin: strings.NewReader("n\n"), Stdout: &out, Stderr: &out, Now: func() time.Time { return fixtureTime.Add(time.Minute) },
		Environ: []string{
			"OPENCTI_URL=http://127.0.0.1:1", "OPENCTI_TOKEN=token", "THREATMATCH_URL=http://127.0.0.1:1", "THREATMATCH_CLIENT_ID=id",
			"THREATMATCH_CLIENT_SECRET=secret", "CONNECTOR_ID=" + fixtureConnector, "SPOOL_DIR=" + dir,
		},
	})
	text := out.String()
	for _, r := range text {
		tab := r == '\t' && line[0] == "__complete"
		if r != '\n' && !tab && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			t.Errorf("%s: %q prints %U:\n%q", state, line, r, text)
			return
		}
	}
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, "FORGED") {
			t.Errorf("%s: %q prints a forged line:\n%q", state, line, text)
			return
		}
	}
}

// with inserts flags before the arguments that end a completion line.
func with(line []string, flags ...string) []string {
	if line[0] == "__complete" {
		return slices.Concat(line[:1], flags, line[1:])
	}
	return slices.Concat(line, flags)
}

// TestOnePrinter: only the printer writes to a screen, so that nothing printed
// bypasses the quoting.
func TestOnePrinter(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{"print.go": true, "spool_export.go": true} // the second writes files
	found := map[string]int{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "fmt" && (strings.HasPrefix(sel.Sel.Name, "Fprint") || strings.HasPrefix(sel.Sel.Name, "Print")) {
				found[name]++
				if !allowed[name] {
					t.Errorf("%s writes by fmt.%s: use say, sayLine, printTable, printText or printJSON", set.Position(n.Pos()), sel.Sel.Name)
				}
			}
			return true
		})
	}
	if found["print.go"] == 0 {
		t.Errorf("the printer itself is not seen: %v", slices.Collect(maps.Keys(found)))
	}
}
