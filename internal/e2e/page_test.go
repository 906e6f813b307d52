package e2e_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/sim/faults"
)

// TestPageActs: the page that the command ui serves, beside a running connector
// and after it: an item that fails shows and is retried, a pause holds over a
// restart, a run starts, a dataset is moved on, and the dead letter that says so is
// dropped, each as the command line that the page shows.
func TestPageActs(t *testing.T) {
	t.Parallel()
	k, base := exposed(t, options{api: few()})
	for _, id := range []string{"alerts/3", "reports/2"} {
		k.api.SetFault(faults.Rule{Route: "item", ID: id, Kind: faults.Answer, Status: 404, ContentType: "application/json", Body: "{}"})
	}
	p := k.start("run")
	k.until("run 1 is delivered", done)
	ui := k.open()

	ui.shows("unsettled", "1 parked item of alerts", "alerts/3")
	ui.shows("runs/1", "<b>11</b> items and pages of IOCs fetched", "2 parked: tried again in a later run")
	ui.shows("find?q=profiles/1", "profiles/1")
	ui.shows("setup", "threatmatch.client_secret", "**")
	k.api.Heal()
	ui.acts(url.Values{"action": {"retry"}, "key": {"reports/2"}}, "threatmatch-connector spool retry reports/2", "try again this one?", "run 2 tries 1 entry again")
	k.until("run 2 is delivered", func(s inspect.Status) bool { return done(s) && s.Last.ID == 2 && s.Spool.Parked == 1 })
	ui.acts(url.Values{"action": {"pause"}, "stage": {"fetch"}}, "threatmatch-connector pause fetch", "ask ThreatMatch for nothing until it is resumed?", "fetch is paused by an operator")
	if code, body := get(t, base+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "paused by an operator") {
		t.Errorf("readyz of a paused connector: got %d %s, want it not ready, and why", code, body)
	}
	if code, body := get(t, base+"/healthz"); code != http.StatusOK {
		t.Errorf("healthz of a paused connector: got %d %s, want it alive", code, body)
	}
	if code, body := get(t, base+"/ui/"); code != http.StatusOK || !strings.Contains(body, "threatmatch-connector resume fetch") {
		t.Errorf("the read-only page: got %d %s, want the command that resumes", code, body)
	}
	asked := k.asked()
	ui.acts(url.Values{"action": {"trigger"}}, "threatmatch-connector trigger", "run this command?", "run 3 starts")
	ui.skips("iocs")
	p.stop()

	ui.shows("", "Not running", "threatmatch-connector resume fetch")
	if out := k.run(0, "status"); !regexp.MustCompile(`\APAUSED +fetch, for `).MatchString(out) {
		t.Errorf("status of a stopped connector: got %s, want the pause first", out)
	}
	p = k.start("run")
	k.until("fetch is paused again", func(s inspect.Status) bool { return stage(s, "fetch").State == "paused" && len(s.Runs) == 1 })
	if n := k.asked() - asked; n != 0 {
		t.Errorf("got %d requests while fetch was paused, want none", n)
	}
	ui.acts(url.Values{"action": {"resume"}, "stage": {"fetch"}}, "threatmatch-connector resume fetch", "resume fetch?", "fetch goes on")
	k.until("run 3, with what was parked, is delivered", func(s inspect.Status) bool { return done(s) && s.Last.ID == 3 && s.Spool.Parked == 0 })
	ui.shows("unsettled", "Nothing fails")
	p.stop()
	k.intact()
}

// skips moves a dataset on to where the newest run began, and drops the dead letter
// that names what was skipped.
func (v page) skips(dataset string) {
	v.k.t.Helper()
	to := v.k.status().Runs[0].Created.Format(time.RFC3339)
	v.acts(url.Values{"action": {"skip"}, "dataset": {dataset}, "to": {to}}, "threatmatch-connector skip --dataset="+dataset+" --to="+to, "go on from there?",
		dataset+" goes on from "+to+" in its next run")
	resp, err := v.http.Get(v.base + "unsettled")
	letter := regexp.MustCompile(`href="\S+dead/(\d+)"`).FindStringSubmatch(v.says(resp, err, "dead, gap"))
	if letter == nil {
		v.k.t.Fatal("the page has no dead letter of what was skipped")
	}
	v.shows("dead/"+letter[1], "gap", dataset)
	v.acts(url.Values{"action": {"drop"}, "key": {letter[1]}}, "threatmatch-connector spool drop "+letter[1], "drop for good this one?", "1 entry dropped")
	if n := v.k.status().Spool.Dead; n != 0 {
		v.k.t.Errorf("%d dead letters are left, want none", n)
	}
}

// asked counts the requests that ThreatMatch has answered.
func (k *walk) asked() (n int) {
	for _, byStatus := range k.api.Stats().Requests {
		for _, count := range byStatus {
			n += count
		}
	}
	return n
}

// page is a browser that has opened the page of the command ui.
type page struct {
	k    *walk
	base string
	http *http.Client
}

// open starts the command ui and opens its address.
func (k *walk) open() page {
	k.t.Helper()
	p := k.start("ui")
	address := regexp.MustCompile(`http://\S+`)
	k.eventually("the address", func() bool { return address.MatchString(p.output()) })
	jar, err := cookiejar.New(nil)
	must(k.t, err)
	v := page{k: k, http: &http.Client{Jar: jar}}
	resp, err := v.http.Get(address.FindString(p.output()))
	must(k.t, err)
	must(k.t, resp.Body.Close())
	if v.base = resp.Request.URL.String(); resp.StatusCode != http.StatusOK {
		k.t.Fatalf("the address with the token: got %d at %s, want the page", resp.StatusCode, v.base)
	}
	return v
}

func (v page) shows(path string, want ...string) {
	v.k.t.Helper()
	resp, err := v.http.Get(v.base + path)
	v.says(resp, err, want...)
}

func (v page) says(resp *http.Response, err error, want ...string) string {
	v.k.t.Helper()
	must(v.k.t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	must(v.k.t, err)
	for _, w := range want {
		if !strings.Contains(string(raw), w) {
			v.k.t.Errorf("%s: got %d %s, want %q in it", resp.Request.URL.Path, resp.StatusCode, raw, w)
		}
	}
	return string(raw)
}

// acts fills a form, agrees, and wants the command line, its question and its answer.
func (v page) acts(form url.Values, command, question, answer string) {
	v.k.t.Helper()
	asked := v.says(v.post("ask", form))
	for _, w := range []string{command + "</code>", question} {
		if !strings.Contains(asked, w) {
			v.k.t.Fatalf("got %s, want %q in it", asked, w)
		}
	}
	ticket := regexp.MustCompile(`name="ticket" value="([^"]+)"`).FindStringSubmatch(asked)
	if ticket == nil {
		v.k.t.Fatalf("no ticket in %s", asked)
	}
	resp, err := v.post("do", url.Values{"ticket": {ticket[1]}})
	v.says(resp, err, answer)
}

func (v page) post(path string, form url.Values) (*http.Response, error) {
	req, err := http.NewRequestWithContext(v.k.t.Context(), http.MethodPost, v.base+path, strings.NewReader(form.Encode()))
	must(v.k.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "http://"+req.URL.Host)
	return v.http.Do(req)
}
