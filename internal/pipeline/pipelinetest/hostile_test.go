package pipelinetest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"threatmatch-connector/internal/cli"
	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/internal/sim/data"
	simtm "threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

// TestHostile runs all loops on a ThreatMatch whose answers are those of the
// stand-in, mutated at random: bytes, structure, sizes, times, ids, markings, HTML,
// status and headers. In the end each object that was spooled is delivered, held, a
// dead letter, or was left out and counted; no message commands the platform, brings
// a script, or is marked weaker than every copy of its object; memory stays below
// its bound; and no command prints a control character. HOSTILE=24h runs that long
// on the test's clock.
func TestHostile(t *testing.T) {
	long, seeds := 20*time.Minute, uint64(1)
	if s := os.Getenv("HOSTILE"); s != "" {
		var err error
		if long, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
				w.MaxSize = 1 << 30
				h := newHostile(t, w, seed+1)
				h.run(long)
				h.account()
				h.screens()
			})
		})
	}
}

// hostile is a soak with mutated answers, and what it must remember of them.
type hostile struct {
	*soak
	mutator mutator
	sim     *simtm.Server
	calm    bool            // nothing is mutated
	mapper  *mapping.Mapper // tells what becomes of an object alone

	want    map[string]string // by the id under which it is sent: the id in the source
	red     map[string]bool   // by the id under which it is sent: every copy was TLP:RED
	left    mapping.Counts    // what is left out
	letters int
	most    int64 // heap
}

func newHostile(t *testing.T, w *pipelinetest.World, seed uint64) *hostile {
	h := &hostile{
		soak: newSoak(t, w, seed), mutator: mutator{rand.New(rand.NewPCG(seed, 21))},
		want: map[string]string{}, red: map[string]bool{}, left: mapping.Counts{},
	}
	var err error
	h.mapper, err = mapping.New(mapping.Settings{})
	w.Must(err)
	h.sim = simtm.New(simtm.Options{
		Generate: data.Options{
			Seed: seed, Profiles: 20, Alerts: 20, Reports: 10, IOCs: 300, Start: time.Now(), Quirks: data.RealisticQuirks(), TieEvery: 50, TieSize: 9,
		},
		PageSize: 50, Seed: seed,
	})
	id, secret := h.sim.Credentials()
	h.source, err = threatmatch.New(threatmatch.Options{
		BaseURL: "http://threatmatch.test", ClientID: id, ClientSecret: secret, RequestsPerSecond: 10, MaxBody: 64 << 20, Dir: t.TempDir(),
		Transport: h, Now: time.Now, Rand: func() float64 { return 0.5 },
	})
	w.Must(err)
	h.spooled = h.took
	w.Broker.Refuses = nil
	w.Broker.Worked = h.worked
	return h
}

// RoundTrip answers a request of the client.
func (h *hostile) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	h.sim.ServeHTTP(answer, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	h.mu.Lock()
	body, m := answer.Body.Bytes(), h.mutator
	often := 2
	if strings.HasSuffix(r.URL.Path, "/token") {
		often = 20
	}
	calm := h.calm || m.IntN(often) > 0
	if body = m.body(body, calm); !calm {
		if m.IntN(10) == 0 {
			answer.Code = []int{200, 201, 204, 301, 400, 403, 404, 429, 500, 503}[m.IntN(10)]
		}
		if m.IntN(10) == 0 {
			answer.Header().Set([]string{"Date", "Content-Type", "Retry-After", "Content-Encoding"}[m.IntN(4)],
				[]string{"Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 2999 00:00:00 GMT", "text/html; charset=utf-16", "99999999999", "gzip"}[m.IntN(5)])
		}
	}
	h.mu.Unlock()
	answer.Body = bytes.NewBuffer(body)
	resp := answer.Result()
	resp.Request = r
	return resp, nil
}

// took notes what a committed record must lead to.
func (h *hostile) took(rec spool.NewRecord) {
	var body struct{ Objects []json.RawMessage }
	if json.Unmarshal(rec.Body, &body) != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.most = max(h.most, heap())
	for _, raw := range body.Objects {
		var o map[string]any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber() // also what no float64 holds
		if d.Decode(&o) != nil {
			continue
		}
		id, _ := o["id"].(string)
		alone := h.mapper.Map(mapping.Source{Dataset: string(rec.Dataset), ID: rec.Source, Fetched: rec.Fetched}, slices.Concat([]byte(`{"objects":[`), raw, []byte("]}")))
		switch {
		case len(alone.Dead) > 0:
			h.letters++
		case len(alone.Objects) > 0:
			sent := alone.Objects[0].ID()
			red, known := h.red[sent]
			h.red[sent] = isRed(o) && (red || !known)
			h.want[sent] = id
		default:
			counted := false
			for _, c := range mapping.CountTable() {
				for name, n := range alone.Counts {
					if c.Effect == "left out" && n > 0 && (name == c.Name || strings.HasPrefix(name, c.Name+":")) {
						counted = true
						h.left[c.Name] += n
					}
				}
			}
			if !counted {
				h.t.Errorf("an object came to nothing: %.300q: %v", raw, alone.Counts)
			}
		}
	}
}

// isRed reports whether an object says in a usual form that it is TLP:RED.
func isRed(o map[string]any) bool {
	var refs []any
	for _, key := range []string{"object_marking_refs", "labels"} {
		switch v := o[key].(type) {
		case string:
			refs = append(refs, v)
		case []any:
			refs = append(refs, v...)
		}
	}
	return slices.ContainsFunc(refs, func(v any) bool {
		s, _ := v.(string)
		s = strings.ToLower(strings.TrimSpace(s))
		return s == tlpRed || s == tlpRed2 || s == "tlp:red"
	})
}

var script = regexp.MustCompile(`(?i)(^|[^\\])<(script|[a-z][^<>]*\son[a-z]+\s*=)`)

// worked checks a message as a worker takes it.
func (h *hostile) worked(raw json.RawMessage, refusal string, dropped bool) {
	h.soak.worked(raw, refusal, dropped)
	var o map[string]any
	if err := json.Unmarshal(raw, &o); err != nil {
		h.t.Errorf("a message is no object: %v: %.300q", err, raw)
		return
	}
	id, _ := o["id"].(string)
	for key, v := range walk(o) {
		if slices.Contains(commands, key) {
			h.t.Errorf("the message of %s commands the platform: %s: %v", id, key, v)
		}
	}
	for _, key := range []string{"description", "x_opencti_content"} {
		if text, _ := o[key].(string); script.MatchString(text) {
			h.t.Errorf("the message of %s has a script in its %s: %q", id, key, script.FindString(text))
		}
	}
	refs, _ := o["object_marking_refs"].([]any)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.most = max(h.most, heap())
	if h.red[id] && !slices.Contains(refs, any(tlpRed)) {
		h.t.Errorf("every copy of %s is TLP:RED, the message has %v: %.500q", id, refs, raw)
	}
}

// walk yields the keys at every level, with their values.
func walk(v any) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				if !yield(k, e) {
					return
				}
				walk(e)(yield)
			}
		case []any:
			for _, e := range v {
				walk(e)(yield)
			}
		}
	}
}

func mapKeys(m map[string]any) iter.Seq[string] { return maps.Keys(m) }

// heap is what was in use after the latest collection.
func heap() int64 {
	m := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(m)
	return int64(m[0].Value.Uint64())
}

// run lets things happen for this long, and then lets what is left arrive.
func (h *hostile) run(long time.Duration) {
	h.w.Start()
	for end := h.began.Add(long + 90*time.Minute); time.Now().Before(end); {
		h.mu.Lock()
		h.calm = time.Since(h.began) > long
		h.mu.Unlock()
		for _, d := range data.All {
			h.sim.Publish(d, h.r.IntN(3))
			if n := h.sim.Source().Count(d); n > 0 && h.r.IntN(3) == 0 {
				h.sim.Republish(d, 1+h.r.IntN(n))
			}
		}
		h.w.Wait(time.Minute)
		h.w.Broker.WorkOff(1 << 20)
		h.w.Forget()
		select {
		case <-h.w.Live.Ended:
			h.t.Fatalf("the process ended by itself: %v\n%s", h.w.Live.Err, h.w.Logs.Tail(20))
		default:
		}
	}
	h.w.Must(h.w.Halt())
	h.w.Broker.WorkOff(1 << 20)
}

// account checks that nothing is missing.
func (h *hostile) account() {
	open, err := h.w.Spool.OpenRuns()
	h.w.Must(err)
	for _, r := range open {
		if time.Since(r.Created) > 2*soakPeriod {
			h.t.Errorf("run %d of %v is still open: %+v\n%s", r.ID, r.Created, r, h.w.Logs.Tail(30))
		}
	}
	kept := map[string]string{} // by id: where it is
	classes := map[string]int{}
	for after := uint64(0); ; {
		letters, err := h.w.Spool.DeadLetters(after, 500)
		h.w.Must(err)
		if len(letters) == 0 {
			break
		}
		for _, l := range letters {
			after = l.Key
			classes[string(l.Stage)+" "+l.Class]++
			kept[l.STIX] = "dead"
			if l.Class == "panic" || l.Class == "crash" {
				h.t.Errorf("map died of %s/%s: %s: %.300q", l.Dataset, l.Source, l.Error, l.Payload)
			}
		}
	}
	for after := uint64(0); ; {
		objects, err := h.w.Spool.Objects(spool.Held, after, 500)
		h.w.Must(err)
		if len(objects) == 0 {
			break
		}
		for _, o := range objects {
			after, kept[o.STIX] = o.Seq, "held"
		}
	}
	counts, missing := map[string]int{}, []string{}
	for sent, id := range h.want {
		switch {
		case h.imported[sent] != "":
			counts["delivered"]++
		case kept[sent] != "":
			counts[kept[sent]]++
		case kept[id] != "":
			counts[kept[id]]++
		default:
			missing = append(missing, sent)
		}
	}
	slices.Sort(missing)
	if len(missing) > 0 {
		h.t.Errorf("%d of %d objects are nowhere: %q", len(missing), len(h.want), missing[:min(len(missing), 10)])
	}
	if h.letters == 0 || counts["delivered"] < len(h.want)/2 {
		h.t.Errorf("got %v of %d objects and %d that cannot be mapped, so this shows little", counts, len(h.want), h.letters)
	}
	red := 0
	for _, is := range h.red {
		if is {
			red++
		}
	}
	runtime.GC()
	if own := heap(); h.most-own > 96<<20 {
		h.t.Errorf("the heap grew to %d MiB, of which the test has %d", h.most>>20, own>>20)
	}
	h.t.Logf("%d objects: %v; always red %d; copies that cannot be mapped %d; left out %v; letters %v; most heap %d MiB, in the end %d MiB with the test's own",
		len(h.want), counts, red, h.letters, h.left, classes, h.most>>20, heap()>>20)
}

// screens runs the commands that look at a spool on a copy of it.
func (h *hostile) screens() {
	dir := h.t.TempDir()
	f, err := os.Create(filepath.Join(dir, "spool.db"))
	h.w.Must(err)
	_, err = h.w.Spool.Snapshot(f)
	h.w.Must(err)
	h.w.Must(f.Close())
	lines := [][]string{{"status"}, {"spool", "stats"}, {"spool", "runs"}, {"spool", "dead"}, {"spool", "verify"}}
	for _, bucket := range spool.Buckets() {
		lines = append(lines, []string{"spool", "ls", bucket, "--limit", "1000"})
	}
	letters, err := h.w.Spool.DeadLetters(0, 20)
	h.w.Must(err)
	for _, l := range letters {
		lines = append(lines, []string{"spool", "show", "dead", fmt.Sprint(l.Key)}, []string{"spool", "find", l.STIX}, []string{"spool", "find", l.Source})
	}
	for sent, id := range h.want {
		if lines = append(lines, []string{"spool", "find", sent}, []string{"spool", "find", id}); len(lines) > 160 {
			break
		}
	}
	for _, line := range lines {
		var out bytes.Buffer
		code := cli.Main(append(line, "--spool-dir", dir), cli.Env{Stdin: strings.NewReader("n\n"), Stdout: &out, Stderr: &out, Now: time.Now, Environ: []string{
			"OPENCTI_URL=http://127.0.0.1:1", "OPENCTI_TOKEN=token", "THREATMATCH_URL=http://127.0.0.1:1", "THREATMATCH_CLIENT_ID=id",
			"THREATMATCH_CLIENT_SECRET=secret", "CONNECTOR_ID=c1", "SPOOL_DIR=" + dir,
		}})
		if code != 0 && line[1] != "find" {
			h.t.Errorf("%q: exit code %d: %s", line, code, out.String())
		}
		if at := strings.IndexFunc(out.String(), func(r rune) bool {
			return r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
		}); at >= 0 {
			h.t.Errorf("%q prints a control character: %.200q", line, out.String()[max(0, at-100):])
		}
	}
}
