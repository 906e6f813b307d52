package fetch

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/sim/forms"
	simtm "threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

// oddClock never shows a round time.
func oddClock() time.Time { return time.Now().Truncate(time.Millisecond).Add(871_147) }

// wireLog records every request, by the name of its form.
type wireLog struct {
	t    *testing.T
	own  *regexp.Regexp // texts that the server writes as modified; nil: none that differ
	mu   sync.Mutex
	seen map[string]int
	page chan struct{} // told of each page
}

// look is the client's choice of a proxy, which it makes for every request.
func (l *wireLog) look(r *http.Request) (*url.URL, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range forms.Forms() {
		path := "^" + strings.NewReplacer("{dataset}", "(profiles|alerts|reports)", "{id}", `\d+`).Replace(f.Path) + "$"
		if r.Method != f.Method || !regexp.MustCompile(path).MatchString(r.URL.EscapedPath()) {
			continue
		}
		l.seen[f.Op]++
		if f.Op == "page" {
			select {
			case l.page <- struct{}{}:
			default:
			}
		}
		got := r.URL.Query()
		if f.Body {
			return nil, nil // the stand-in reads the body
		}
		name, want := f.Missed(got, func(text string) bool { return l.own != nil && l.own.MatchString(text) })
		if name != "" || r.ContentLength > 0 {
			l.t.Errorf("%s %s: %s, want %s", r.Method, r.URL, name, want)
		}
		return nil, nil
	}
	l.t.Errorf("%s %s has no form", r.Method, r.URL)
	return nil, nil
}

// took returns what was requested since the last call, in the order of the ops.
func (l *wireLog) took() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, op := range slices.Sorted(maps.Keys(l.seen)) {
		out = append(out, fmt.Sprintf("%s %d", op, l.seen[op]))
	}
	l.seen = map[string]int{}
	return strings.Join(out, ", ")
}

// TestEveryRequestHasItsForm checks every request of a first run, a second run, one
// that resumes after a stop, and a repull, with clocks that never show round times.
func TestEveryRequestHasItsForm(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*simtm.Options)
		types  []string
		own    string
	}{
		"plain":         {},
		"exclusive":     {change: func(o *simtm.Options) { o.Exclusive, o.ListExclusive, o.OmitMore = true, true, true }},
		"another zone":  {change: func(o *simtm.Options) { o.Zone, o.StringIDs = time.FixedZone("", -5*3600), true }},
		"ties":          {change: func(o *simtm.Options) { o.Generate.TieEvery, o.Generate.TieSize = 60, 45 }},
		"six digits":    {change: func(o *simtm.Options) { o.Generate.SubMillisecond = true }, own: `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`},
		"further types": {types: []string{"indicator", "malware", "threat-actor"}},
	} {
		t.Run(name, func(t *testing.T) {
			log := &wireLog{t: t, seen: map[string]int{}, page: make(chan struct{})}
			if c.own != "" {
				log.own = regexp.MustCompile(c.own)
			}
			o := simtm.Options{Generate: generate(4, 4, 2, 200), PageSize: 50, Clock: oddClock}
			if c.change != nil {
				c.change(&o)
			}
			sim, src := simulate(t, o, func(o *threatmatch.Options) { o.Proxy, o.Now = log.look, oddClock })
			dir := t.TempDir()
			opt := rigOptions{now: oddClock, dir: dir, fetch: Options{Types: c.types}}
			r := newRig(t, src, opt)
			r.once()
			t.Log("first run:", log.took())
			r.once()
			t.Log("second run:", log.took())

			sim.Publish("iocs", 150)
			stop := r.Start()
			if _, _, err := r.schedule.Trigger(); err != nil {
				t.Fatal(err)
			}
			<-log.page // it stops in the middle of its pages
			if err := stop(); err != nil && !fault.Is(err, fault.Shutdown) {
				t.Fatal(err)
			}
			if err := r.Spool.Close(); err != nil {
				t.Fatal(err)
			}
			t.Log("stopped:", log.took())
			got := r.Got
			r = newRig(t, src, opt)
			maps.Copy(r.Got, got)
			r.once()
			t.Log("resumed:", log.took())

			if _, err := r.schedule.Repull(oddClock().AddDate(0, 0, -10), spool.Datasets()...); err != nil {
				t.Fatal(err)
			}
			r.once()
			t.Log("repull:", log.took())
			if foreign := sim.Stats().Foreign; len(foreign) > 0 {
				t.Errorf("the stand-in refused %v", foreign)
			}
			if missing := r.Missing(sim.ExpectedIDs()); len(missing) > 0 {
				t.Errorf("%d objects are missing, such as %s", len(missing), missing[0])
			}
		})
	}
}
