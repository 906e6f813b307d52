package e2e_test

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/spool"
)

var update = flag.Bool("update", false, "write deploy/TROUBLESHOOTING.md from the walks")

const walkDocument = "../../deploy/TROUBLESHOOTING.md"

// walkEnd begins the part after the walks, which a test in internal holds.
const walkEnd = "\n## Mistakes in the settings\n"

// walkIntro opens the document.
const walkIntro = `# Troubleshooting

The most common problems, what the connector shows, and what to do. Every section below is a test that causes the
problem, runs these commands and compares their output. Times, sizes, addresses and ids are replaced by examples, and
irrelevant lines by "…". This file is generated.

Always start with ` + "`threatmatch-connector status`" + `: it shows problems first, then what is going on (` + "`--all`" + `: each part).
` + "`check`" + ` tests the set-up from the outside; ` + "`spool find ID`" + ` shows where an item or object is. None of them changes
anything. In a container, prefix them with ` + "`docker exec CONTAINER`" + `. ` + "`MESSAGES.md`" + ` explains every log message.
`

// walks are the troubleshooting walks in the order of the document.
func walks() []struct {
	title string
	walk  func(*walk)
} {
	return []struct {
		title string
		walk  func(*walk)
	}{
		{"The client secret is wrong", walkWrongSecret},
		{"ThreatMatch answers 500 to one profile", walkOneItemFails},
		{"ThreatMatch refuses one item", walkOneItemRefused},
		{"The clock is behind", walkClockBehind},
		{"RabbitMQ is down", walkBrokerDown},
		{"OpenCTI's queue is over the threshold", walkQueueFull},
		{"RabbitMQ refuses a message as too large (406)", walkTooLarge},
		{"OpenCTI refuses objects", walkRejected},
		{"The spool is full", walkSpoolFull},
		{"The state was reset on OpenCTI", walkReset},
	}
}

// TestWalks makes each fault, and holds the document to what was printed.
func TestWalks(t *testing.T) {
	t.Parallel()
	all := walks()
	sections := make([]string, len(all))
	var failed sync.Once
	t.Run("walk", func(t *testing.T) {
		for i, w := range all {
			t.Run(w.title, func(t *testing.T) {
				t.Parallel()
				sections[i] = "" // stays so when the walk fails
				k := &walk{t: t}
				k.text.WriteString("\n## " + w.title + "\n")
				w.walk(k)
				k.close()
				sections[i] = k.text.String()
			})
		}
	})
	for i, s := range sections {
		if s == "" {
			failed.Do(func() { t.Logf("no document, as %q did not come to its end", all[i].title) })
			return
		}
	}
	doc := walkIntro + strings.Join(sections, "")
	raw, err := os.ReadFile(walkDocument)
	must(t, err)
	have, rest, ok := strings.Cut(string(raw), walkEnd)
	if !ok {
		t.Fatalf("%s has no part %q", walkDocument, walkEnd)
	}
	if *update {
		must(t, os.WriteFile(walkDocument, []byte(doc+walkEnd+rest), 0o644))
		return
	}
	if have != doc {
		t.Errorf("%s is not what was printed; run: go test ./internal/e2e -run TestWalks -update\n%s", walkDocument, firstDifference(have, doc))
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d:\n- %s\n+ %s", i+1, x[i], y[i])
		}
	}
	return "one is longer"
}

// walk is one fault from its making to its end, written down.
type walk struct {
	*world
	t    *testing.T
	text strings.Builder
	in   bool              // a console block is open
	also map[string]string // further replacements
}

// few is a small ThreatMatch, always the same.
func few() threatmatch.Options {
	return threatmatch.Options{Generate: data.Options{Seed: 7, Profiles: 5, Alerts: 5, Reports: 2, IOCs: 20}}
}

// begin makes the world around the program.
func (k *walk) begin(o options) {
	k.world = newWorld(k.t, o)
	k.env["OPENCTI_JSON_LOGGING"], k.env["COLUMNS"] = "false", "200"
}

// say adds a paragraph.
func (k *walk) say(text string) {
	k.close()
	fmt.Fprintf(&k.text, "\n%s\n", text)
}

// close ends an open block.
func (k *walk) close() {
	if k.in {
		k.text.WriteString("```\n")
		k.in = false
	}
}

// print adds output to the console block; only lines that match one of the
// patterns are shown, all of them without patterns.
func (k *walk) print(command, output string, only ...string) {
	if !k.in {
		k.text.WriteString("\n```console\n")
		k.in = true
	}
	if command != "" {
		k.text.WriteString("$ " + k.mask(command) + "\n")
	}
	cut := false
	for line := range strings.Lines(k.mask(output)) {
		if shown(line, only) {
			k.text.WriteString(strings.TrimRight(line, " \n") + "\n")
			cut = false
		} else if !cut {
			k.text.WriteString("…\n")
			cut = true
		}
	}
}

func shown(line string, only []string) bool {
	for _, p := range only {
		if regexp.MustCompile(p).MatchString(line) {
			return true
		}
	}
	return len(only) == 0
}

// types runs a command, checks its exit code and writes both down.
func (k *walk) types(code int, args []string, only ...string) string {
	k.t.Helper()
	out := k.run(code, args...)
	k.print("threatmatch-connector "+strings.Join(args, " "), out, only...)
	if code != 0 {
		k.text.WriteString(fmt.Sprintf("(exit code %d)\n", code))
	}
	for _, p := range only {
		if !regexp.MustCompile("(?m)" + p).MatchString(k.mask(out)) {
			k.t.Errorf("%v: no line matches %s in\n%s", args, p, k.mask(out))
		}
	}
	return out
}

// logs shows lines of a process's log, when they are there.
func (k *walk) logs(p *process, patterns ...string) {
	k.t.Helper()
	for _, pattern := range patterns {
		re := regexp.MustCompile("(?m)^.*" + pattern + ".*$")
		k.eventually("the log says "+pattern, func() bool { return re.MatchString(k.mask(p.output())) || p.ended() })
		k.print("", re.FindString(k.mask(p.output()))+"\n")
	}
}

// until waits for a status of the running connector.
func (w *world) until(what string, ok func(inspect.Status) bool) {
	w.t.Helper()
	w.eventually(what, func() bool {
		s := w.status()
		return s.Running && ok(s)
	})
}

// status asks the running connector, without a process of our own: that would take a
// hundred times the time of the answer.
func (w *world) status() (s inspect.Status) {
	info, err := spool.ReadLock(w.env["SPOOL_DIR"])
	if err != nil || info.Socket == "" {
		return s // it is starting
	}
	c, err := admin.Dial(w.t.Context(), info.Socket)
	if err != nil {
		return s
	}
	defer c.Close()
	s, err = c.Status()
	s.Running = err == nil
	return s
}

// stage returns what a stage says of itself.
func stage(s inspect.Status, name string) inspect.Stage {
	for _, st := range s.Stages {
		if st.Name == name {
			return st
		}
	}
	return inspect.Stage{}
}

// done reports that nothing is left to do.
func done(s inspect.Status) bool {
	return len(s.Runs) == 0 && s.Last != nil && s.Spool.Messages == 0
}

var walkMasks = []struct{ pattern, with string }{
	{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "2026-11-22T10:00:00Z"},
	{`(?m)^\d\d:\d\d:\d\d `, "10:00:00 "},
	{`\b59m59s\b`, "1h0m0s"}, // a second passed between the two clocks
	{`pid \d+`, "pid 4711"},
	{`\b(\d+m)?\d+(\.\d+)?s\b`, "5s"},
	{`\b(\d+h)?\d+m\b`, "5m"},
	{`\bfor 5m\b`, "for 5s"},
	{`\d+(\.\d+)? (B|KiB|MiB|GiB)\b`, "1.5 MiB"},
	{`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`, "…"},
	{`(\S)  +`, "$1  "},
	{`\d+ tries failed`, "3 tries failed"},
	{`, \d+ (try|tries), next (in \S+|now)`, ", 3 tries, next in 5s"},
	{`message=\d+`, "message=42"},
	{`messages=\d+`, "messages=92"},
	{`Z  \d+  ((profiles|alerts|reports|iocs) \w+)`, "Z  92  $1"},
	{`(?m)^(run \d+  .*, )(\d+ of )?\d+ messages confirmed`, "${1}0 of 92 messages confirmed"},
	{`[1-9]\d* messages`, "92 messages"},
	{`queue \d\.\d MB`, "queue 0.0 MB"},
	{`(?m)^(profiles/\S+)  .*  (in \S+|now)  `, "$1  3  5s  in 5s  "},
	{`\(1\d\d%\)`, "(130%)"},
}

// mask replaces what differs from run to run.
func (k *walk) mask(s string) string {
	broker, err := url.Parse(k.amqp)
	must(k.t, err)
	for _, r := range []struct{ from, to string }{
		{strings.TrimPrefix(k.api.URL(), "http://"), "threatmatch.example"}, {strings.TrimPrefix(k.platform.URL(), "http://"), "opencti:8080"},
		{broker.Host, "rabbitmq:5672"}, {k.spool, "/var/lib/threatmatch-connector"}, {connectorID, "(connector.id)"},
		{broker.User.Username(), "opencti"}, {k.t.TempDir(), "/tmp"},
	} {
		if r.from != "" {
			s = strings.ReplaceAll(s, r.from, r.to)
		}
	}
	for from, to := range k.also {
		s = strings.ReplaceAll(s, from, to)
	}
	for _, m := range walkMasks {
		s = regexp.MustCompile(m.pattern).ReplaceAllString(s, m.with)
	}
	return s
}
