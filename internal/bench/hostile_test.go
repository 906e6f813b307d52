package bench

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
)

// hostile is one answer of ThreatMatch that costs memory: by malice, or since
// the account is large.
type hostile struct {
	name, path string
	body       func(w io.Writer)
	most       time.Duration // stopped after it; 0: runs to its end
}

const megabyte = 1 << 20

const largeReport = `{"objects":[{"type":"report","id":"report--00000000-0000-4000-8000-000000000001","name":"nn","published":"2026-01-01T00:00:00Z",`

var hostiles = []hostile{
	{"nothing", "", nil, 0},
	{"list of 200,000 ids", "/api/alerts/all", ids(200_000), 30 * time.Second},
	{"list of 1,000,000 ids", "/api/alerts/all", ids(1_000_000), 90 * time.Second},
	{"list of 64 MB", "/api/alerts/all", ids(7_000_000), 120 * time.Second},
	{"item of 50,000 small objects", "/api/stix/alerts/1", numbered(`{"objects":[`, 50_000,
		`{"type":"indicator","id":"indicator--00000000-0000-4000-8000-%012d","pattern":"[ipv4-addr:value = '10.0.0.1']","pattern_type":"stix"}`, "]}"), 0},
	{"item of 60 MB of indicators", "/api/stix/alerts/1", numbered(`{"objects":[`, 400_000,
		`{"type":"indicator","id":"indicator--00000000-0000-4000-8000-%012d","pattern":"[ipv4-addr:value = '10.0.0.1']","pattern_type":"stix"}`, "]}"), 0},
	{"item of 20,000,000 {}", "/api/stix/alerts/1", repeated(`{"objects":[`, 20_000_000, "{}", "]}"), 120 * time.Second},
	{"item of one object of 60 MB", "/api/stix/alerts/1", repeated(`{"objects":[{"type":"report","id":"report--00000000-0000-4000-8000-000000000001","name":"`,
		60, strings.Repeat("x", megabyte), `","published":"2026-01-01T00:00:00Z"}]}`), 0},
	{"one object of 60 MB that compresses", "/api/stix/alerts/1", repeated(largeReport+`"description":"`, 60, strings.Repeat("x", megabyte), `"}]}`), 0},
	{"the same, of noise", "/api/stix/alerts/1", noise(`{"objects":[{"type":"report","id":"report--00000000-0000-4000-8000-000000000001","name":"`,
		60, `","published":"2026-01-01T00:00:00Z"}]}`), 0},
	{"the same, a description of noise", "/api/stix/alerts/1", noise(
		`{"objects":[{"type":"report","id":"report--00000000-0000-4000-8000-000000000001","name":"nn","published":"2026-01-01T00:00:00Z","description":"`, 60, `"}]}`), 0},
	{"the same, of references", "/api/stix/alerts/1", numbered(
		`{"objects":[{"type":"report","id":"report--00000000-0000-4000-8000-000000000001","name":"nn","published":"2026-01-01T00:00:00Z","object_refs":[`,
		1_200_000, `"malware--00000000-0000-4000-8000-%012d"`, "]}]}"), 60 * time.Second},
	{"the same, of references to be rewritten", "/api/stix/alerts/1", numbered(
		`{"objects":[{"type":"report","id":"report--00000000-0000-4000-8000-000000000001","name":"nn","published":"2026-01-01T00:00:00Z","object_refs":[`,
		1_200_000, `"malware--00000000-0000-0000-0000-%012d"`, "]}]}"), 60 * time.Second},
	{"the same, 100,000 texts as references", "/api/stix/alerts/1", numbered(
		`{"objects":[{"type":"report","id":"report--00000000-0000-4000-8000-000000000001","name":"nn","published":"2026-01-01T00:00:00Z","external_references":[`,
		100_000, `"`+strings.Repeat("x", 600)+`%d"`, "]}]}"), 60 * time.Second},
	{"100,000 short texts as references", "/api/stix/alerts/1", numbered(largeReport+`"external_references":[`, 99_000,
		`"`+strings.Repeat("x", 60)+`%d"`, "]}]}"), 60 * time.Second},
	{"a file of 60 MB", "/api/stix/alerts/1", repeated(largeReport+`"x_opencti_files":[{"name":"a.pdf","data":"`, 60,
		strings.Repeat("QUJD", megabyte/4), `"}]}]}`), 60 * time.Second},
	{"content of 60 MB of quotes", "/api/stix/alerts/1", repeated(largeReport+`"content":"`, 60, strings.Repeat(`\"`, megabyte/2), `"}]}`), 60 * time.Second},
	{"names of 7 MB", "/api/stix/alerts/1", repeated(`{"objects":[{"type":"malware","id":"malware--00000000-0000-4000-8000-000000000001","name":"`,
		7, strings.Repeat("<b>é</b> ", megabyte/10), `"}]}`), 60 * time.Second},
	{"60 MB that are no UTF-8", "/api/stix/alerts/1", repeated(largeReport+`"description":"`, 60, strings.Repeat("\xe9", megabyte), `"}]}`), 20 * time.Second},
	{"27,000 marking definitions", "/api/stix/alerts/1", numbered(`{"objects":[`, 27_000,
		`{"type":"marking-definition","id":"marking-definition--00000000-0000-4000-8000-%012d","definition_type":"statement","definition":{"statement":"x"}}`, "]}"), 60 * time.Second},
	{"60 MB of marking definitions", "/api/stix/alerts/1", numbered(`{"objects":[`, 400_000,
		`{"type":"marking-definition","id":"marking-definition--00000000-0000-4000-8000-%012d","definition_type":"statement","definition":{"statement":"x"}}`, "]}"), 120 * time.Second},
	{"100,000 associations of malware", "/api/stix/alerts/1", numbered(
		`{"objects":[{"type":"malware","id":"malware--00000000-0000-4000-8000-000000000001","name":"nn","object_refs":[`,
		100_000, `"tool--00000000-0000-4000-8000-%012d"`, "]}]}"), 60 * time.Second},
	{"the same, a description of <", "/api/stix/alerts/1", repeated(
		`{"objects":[{"type":"report","id":"report--00000000-0000-4000-8000-000000000001","name":"nn","published":"2026-01-01T00:00:00Z","description":"`,
		60, strings.Repeat("<x ", megabyte/3), `"}]}`), 60 * time.Second},
	{"the same, a description of <p>*_", "/api/stix/alerts/1", repeated(
		`{"objects":[{"type":"report","id":"report--00000000-0000-4000-8000-000000000001","name":"nn","published":"2026-01-01T00:00:00Z","description":"<p>`,
		60, strings.Repeat("*_", megabyte/2), `"}]}`), 60 * time.Second},
	{"the same, of labels", "/api/stix/alerts/1", numbered(
		`{"objects":[{"type":"report","id":"report--00000000-0000-4000-8000-000000000001","name":"nn","published":"2026-01-01T00:00:00Z","labels":[`,
		4_000_000, `"l %d"`, "]}]}"), 60 * time.Second},
	{"the same, a pattern", "/api/stix/alerts/1", repeated(
		`{"objects":[{"type":"indicator","id":"indicator--00000000-0000-4000-8000-000000000001","name":"nn","pattern_type":"stix","pattern":"[a:b='`,
		60, strings.Repeat("(", megabyte), `"}]}`), 60 * time.Second},
	{"IOC page of 20,000,000 {}", "/api/taxii/objects", repeated(`{"objects":[`, 20_000_000, "{}", "]}"), 0},
	{"IOC page of 5,000,000 distinct ids", "/api/taxii/objects", numbered(`{"more":true,"objects":[`, 5_000_000, `{"id":"%d"}`, "]}"), 60 * time.Second},
	{"IOC page of 60 MB of indicators", "/api/taxii/objects", numbered(`{"objects":[`, 300_000,
		`{"type":"indicator","id":"indicator--00000000-0000-4000-8000-%012d","modified":"2026-01-01T00:00:00Z","pattern":"[ipv4-addr:value = '10.0.0.1']","pattern_type":"stix"}`, "]}"), 0},
	{"100,000 sectors on one object", "/api/stix/alerts/1", numbered(
		`{"objects":[{"type":"report","id":"report--00000000-0000-4000-8000-000000000001","name":"nn","published":"2026-01-01T00:00:00Z","object_refs":["identity--00000000-0000-4000-8000-000000000001"],"labels":[`,
		100_000, `"sector: Sector %d"`, "]}]}"), 60 * time.Second},
	{"100,000 sectors of one actor", "/api/stix/alerts/1", numbered(
		`{"objects":[{"type":"threat-actor","id":"threat-actor--00000000-0000-4000-8000-000000000001","name":"nn","sectors":[`,
		100_000, `"Sector %d"`, "]}]}"), 60 * time.Second},
	{"item over the limit", "/api/stix/alerts/1", repeated(`{"objects":["`, 80, strings.Repeat("x", megabyte), `"]}`), 20 * time.Second},
	{"token of 60 MB", "/api/developers-platform/token", repeated(`{"access_token":"`, 60, strings.Repeat("x", megabyte), `","token_type":"Bearer","expires_at":3600}`), 10 * time.Second},
	{"6,500,000 groups", "/api/taxii/groups", repeated("[", 6_500_000, `{"id":1}`, "]"), 20 * time.Second},
}

func ids(n int) func(io.Writer) { return numbered(`{"list":[`, n, "%d", "]}") }

// numbered writes n elements, each with its number in it.
func numbered(head string, n int, element, tail string) func(io.Writer) {
	return func(w io.Writer) {
		b := bufio.NewWriterSize(w, megabyte)
		_, _ = b.WriteString(head)
		for i := range n {
			if i > 0 {
				_ = b.WriteByte(',')
			}
			_, _ = fmt.Fprintf(b, element, i+1)
		}
		_, _ = b.WriteString(tail)
		_ = b.Flush()
	}
}

// repeated writes an element n times, with commas between unless it is a part of a text.
func repeated(head string, n int, element, tail string) func(io.Writer) {
	return func(w io.Writer) {
		b := bufio.NewWriterSize(w, megabyte)
		_, _ = b.WriteString(head)
		for i := range n {
			if i > 0 && len(element) < megabyte {
				_ = b.WriteByte(',')
			}
			_, _ = b.WriteString(element)
		}
		_, _ = b.WriteString(tail)
		_ = b.Flush()
	}
}

// noise writes a text of n MiB that does not compress.
func noise(head string, n int, tail string) func(io.Writer) {
	return func(w io.Writer) {
		_, _ = io.WriteString(w, head)
		text := base64.NewEncoder(base64.RawURLEncoding, w)
		_, _ = io.CopyN(text, rand.NewChaCha8([32]byte{}), int64(n)*megabyte*3/4)
		_ = text.Close()
		_, _ = io.WriteString(w, tail)
	}
}

// serve is a ThreatMatch of one alert and one group that gives one answer of its own.
func (h hostile) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	text := `{"objects":[]}`
	switch path := r.URL.Path; {
	case path == h.path:
		h.body(w)
		return
	case path == "/api/developers-platform/token":
		text = `{"access_token":"t","token_type":"Bearer","expires_at":86400}`
	case path == "/api/taxii/groups":
		text = `[{"id":"1","name":"All content"}]`
	case path == "/api/alerts/all":
		text = `{"list":["1"]}`
	case strings.HasSuffix(path, "/all"):
		text = `{"list":[]}`
	}
	_, _ = io.WriteString(w, text)
}

// letters lists the classes of the dead letters.
func (w *world) letters() string {
	cmd := exec.Command(connector, "spool", "dead", "--json", "--limit", "3")
	cmd.Dir = w.dir
	for k, v := range w.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, _ := cmd.Output()
	return strings.Join(regexp.MustCompile(`"(?:class|error)": *"[^"]{0,150}`).FindAllString(string(out), -1), " ")
}

// BenchmarkHostile prints what one answer of at most max_body takes of memory.
// ONLY is a pattern that names some of them.
func BenchmarkHostile(b *testing.B) {
	node := brokertest.Start(b)
	var s strings.Builder
	fmt.Fprintf(&s, "%-40s | %s | %s | %s\n", "answer", "most RssAnon MiB (aim ≤ 96)", "spool file MiB", "ended")
	for _, h := range hostiles {
		if wanted, err := regexp.MatchString(os.Getenv("ONLY"), h.name); err != nil || !wanted {
			continue
		}
		server := httptest.NewServer(http.HandlerFunc(h.serve))
		w := newWorld(b, node, "--count-only")
		w.env["THREATMATCH_URL"] = server.URL
		p := w.start("run", "--once")
		if h.most > 0 {
			stop := time.AfterFunc(h.most, func() { _ = p.cmd.Process.Signal(syscall.SIGKILL) })
			defer stop.Stop()
		}
		most, file := p.watch()
		fmt.Fprintf(&s, "%-40s | %27.0f | %14d | %v %s\n", h.name, float64(most)/1024, file>>20, p.cmd.ProcessState, w.letters())
		fmt.Println(s.String()[strings.LastIndexByte(s.String()[:s.Len()-1], '\n')+1:])
		server.Close()
		w.close()
	}
	fmt.Printf("\n%s\n", &s)
}
