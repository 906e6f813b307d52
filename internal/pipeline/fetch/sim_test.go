package fetch

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/pipeline/schedule"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/faults"
	simtm "threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

// complete fails the test unless every object of the stand-in arrived and nothing is left over.
func complete(t *testing.T, r *rig, sim *simtm.Server, datasets ...data.Dataset) {
	t.Helper()
	if missing := r.Missing(sim.ExpectedIDs(datasets...)); len(missing) > 0 {
		t.Errorf("%d objects are missing, such as %s", len(missing), missing[0])
	}
	if s := r.Stats(); s.Dead+s.Parked+s.Tasks+s.Records != 0 {
		dead, err := r.Spool.DeadLetters(0, 10)
		t.Errorf("left over: %+v\ndead letters: %+v %v", s, dead, err)
	}
	r.CheckSpool()
}

func TestEverything(t *testing.T) {
	for _, o := range []simtm.Options{
		{},
		{Exclusive: true, OmitMore: true, ListExclusive: true, Expiry: simtm.Duration},
		{StringIDs: true, ShufflePages: true, Gzip: true, Expiry: simtm.Absent, PageSize: 100},
		{Zone: time.FixedZone("", -5*3600), PageSize: 300},
	} {
		o.Generate = generate(15, 15, 5, 800)
		o.Generate.TieEvery, o.Generate.TieSize = 100, 30
		o.Generate.SubMillisecond = o.Exclusive
		sim, src := simulate(t, o, nil)
		r := newRig(t, src, rigOptions{})
		run := r.once()
		complete(t, r, sim)
		// Pages in no order are asked for twice, to be sure of what is on them.
		if rep := sim.Stats().Repeated; len(rep) > 0 && !o.ShufflePages {
			t.Errorf("asked twice: %v", rep)
		}
		for _, d := range run.Datasets {
			if d.Status != spool.DatasetOK {
				t.Errorf("datasets %+v", run.Datasets)
			}
		}
		// A second run right after asks for the lists and one page, no more.
		sim.ResetStats()
		again := r.once()
		if again.Counters["fetch.items"] > 5 || again.Counters["fetch.pages"] != 1 {
			t.Errorf("second run: %v", again.Counters)
		}
	}
}

// TestFaultTable: with every random fault at once, an import still brings
// everything. Parked items arrive with the next run.
func TestFaultTable(t *testing.T) {
	var rules []faults.Rule
	for _, route := range []string{"list", "item", "groups", "objects"} {
		rule := faults.Must("401") // of the token endpoint it would mean the account
		rule.Rate, rule.Route = 0.1, route
		rules = append(rules, rule)
	}
	for _, kind := range []string{"429", "500", "502", "truncate", "reset", "error"} {
		rule := faults.Must(kind)
		rule.Rate, rule.RetryAfter = 0.1, ""
		rules = append(rules, rule)
	}
	slow := faults.Must("slow")
	slow.Rate, slow.Delay = 0.05, faults.Duration(20*time.Millisecond)
	sim, src := simulate(t, simtm.Options{Generate: generate(40, 40, 20, 2000), PageSize: 200, Seed: 5, Faults: append(rules, slow)},
		func(o *threatmatch.Options) { o.RequestsPerSecond = 500 })
	r := newRig(t, src, rigOptions{fetch: hasty()})
	runs := 0
	for r.once(); r.Stats().Parked > 0 && runs < 4; runs++ {
		r.once()
	}
	complete(t, r, sim)
	st := sim.Stats()
	if st.PeakPerSecond > 510 {
		t.Errorf("%d requests in a second", st.PeakPerSecond)
	}
	for _, kind := range []string{"answer 401", "answer 429", "answer 500", "answer 502", "truncate", "reset", "answer 200", "slow"} {
		if st.Faults[kind] == 0 {
			t.Errorf("no fault %q was made", kind)
		}
	}
	t.Logf("%d requests, faults %v, %d further runs", st.Total(""), st.Faults, runs)
}

// TestBadIDs: every way in which an item can fail forever, with real responses.
func TestBadIDs(t *testing.T) {
	var rules []faults.Rule
	bad := []string{"500", "404", "403", "410", "422", "401", "error", "garbage", "null", "missing", "truncate", "reset"}
	for i, kind := range bad {
		rule := faults.Must(kind)
		rule.Route, rule.ID, rule.Name = "item", fmt.Sprintf("alerts/%d", i+1), "bad"
		rules = append(rules, rule)
	}
	sim, src := simulate(t, simtm.Options{Generate: generate(15, 15, 5, 500), Faults: rules}, nil)
	r := newRig(t, src, rigOptions{fetch: Options{MaxAttempts: 2, MaxWait: 20 * time.Millisecond}})
	first := r.once()
	if n := r.Sources() - 1; n != 35-len(bad) { // IOC pages are records of one source
		t.Errorf("%d items came, want %d", n, 35-len(bad))
	}
	if first.Counters["fetch.parked"] != int64(len(bad)) {
		t.Errorf("got counters %v, want every bad item parked", first.Counters)
	}
	r.once()
	dead, err := r.Spool.DeadLetters(0, 100)
	if err != nil || len(dead) != len(bad) {
		t.Fatalf("%d dead letters, %v", len(dead), err)
	}
	var keys []uint64
	for _, d := range dead {
		keys = append(keys, d.Key)
		if len(d.Payload) == 0 && d.Class != "network" {
			t.Errorf("%s: no last answer: %+v", d.Source, d)
		}
	}
	sim.Heal()
	if _, err := r.schedule.Retry(keys, nil); err != nil {
		t.Fatal(err)
	}
	r.once()
	complete(t, r, sim)
}

func TestWrongSecret(t *testing.T) {
	for _, status := range []int{400, 401, 422} {
		sim, src := simulate(t, simtm.Options{Generate: generate(1, 0, 0, 0), WrongSecretStatus: status},
			func(o *threatmatch.Options) { o.ClientSecret = "wrong-secret" })
		r := newRig(t, src, rigOptions{fetch: Options{GiveUp: 50 * time.Millisecond}})
		r.Know()
		stop := r.Start()
		err := waitFor(t, func() error { return failure(r.Status, stageName) })
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) || strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("%d: status says %v", status, err)
		}
		if err := stop(); err != nil && !fault.Is(err, fault.Systemic) && !strings.Contains(err.Error(), "token") {
			t.Errorf("%d: %v", status, err)
		}
		if n := sim.Stats().Total("token"); n != 1 {
			t.Errorf("%d: %d tries within the first second", status, n)
		}
		if logs := r.Logs.String(); !strings.Contains(logs, "client_secret") || strings.Contains(logs, "wrong-secret") {
			t.Errorf("%d: log %s", status, logs)
		}
	}
}

func TestTokensInMidRun(t *testing.T) {
	t.Run("expire", func(t *testing.T) {
		sim, src := simulate(t, simtm.Options{Generate: generate(60, 0, 0, 0), TokenLifetime: 300 * time.Millisecond, Latency: 20 * time.Millisecond, Expiry: simtm.Absent}, nil)
		r := newRig(t, src, rigOptions{})
		r.once()
		complete(t, r, sim)
		if n := sim.Stats().Total("token"); n < 2 {
			t.Errorf("%d tokens", n)
		}
	})
	t.Run("revoked", func(t *testing.T) {
		var sim *simtm.Server
		var n int
		sim, src := simulate(t, simtm.Options{Generate: generate(60, 0, 0, 0), OnRequest: func(req simtm.Request) {
			if req.Route == "item" && req.Status == 200 {
				if n++; n%20 == 0 {
					sim.RevokeTokens()
				}
			}
		}}, nil)
		r := newRig(t, src, rigOptions{fetch: Options{MaxConcurrency: 1}})
		run := r.once()
		complete(t, r, sim)
		if run.Counters["fetch.retries"] != 0 {
			t.Errorf("got counters %v, want no retries", run.Counters)
		}
	})
}

func TestWrongAddress(t *testing.T) {
	_, src := simulate(t, simtm.Options{Generate: generate(1, 1, 1, 1)}, func(o *threatmatch.Options) { o.BaseURL += "/elsewhere" })
	r := newRig(t, src, rigOptions{})
	r.Know()
	stop := r.Start()
	err := waitFor(t, func() error { return failure(r.Status, stageName) })
	if err == nil || !strings.Contains(r.Status.Snapshot()[stageName].NotReady, "threatmatch.url") {
		t.Errorf("status %+v", r.Status.Snapshot()[stageName])
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	run := r.LastRun()
	for d, dr := range run.Datasets {
		if dr.Status != spool.DatasetOpen {
			t.Errorf("%s is %s", d, dr.Status)
		}
	}
}

// TestClockAnHourOff: no item that appears between two runs is lost.
func TestClockAnHourOff(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, time.Hour} {
		sim, src := simulate(t, simtm.Options{Generate: generate(10, 10, 5, 100)}, nil)
		sim.Skew(skew)
		r := newRig(t, src, rigOptions{schedule: schedule.Options{Overlap: 10 * time.Minute}})
		r.once()
		for _, d := range data.All {
			sim.Publish(d, 3)
		}
		r.once()
		complete(t, r, sim)
		if !strings.Contains(r.Logs.String(), "clocks") {
			t.Error("nothing was said")
		}
	}
}

// TestHungServer: a hung server never hangs the stage, and a stop in the middle is
// quick.
func TestHungServer(t *testing.T) {
	hang := faults.Must("hang")
	hang.Times, hang.Skip = 10, 3
	sim, src := simulate(t, simtm.Options{Generate: generate(20, 20, 5, 500), Faults: []faults.Rule{hang}, Seed: 9},
		func(o *threatmatch.Options) {
			o.ConnectTimeout, o.HeaderTimeout = 100*time.Millisecond, 300*time.Millisecond
		})
	r := newRig(t, src, rigOptions{fetch: hasty()})
	for range 5 {
		if r.once(); r.Stats().Parked == 0 {
			break
		}
	}
	complete(t, r, sim)

	hang.Times = 0
	_, slow := simulate(t, simtm.Options{Generate: generate(20, 20, 5, 500), Faults: []faults.Rule{hang}}, nil)
	r = newRig(t, slow, rigOptions{})
	r.Know()
	stop := r.Start()
	_ = waitFor(t, func() error {
		if r.Status.Snapshot()[stageName].State == "working" {
			return fmt.Errorf("it works")
		}
		return nil
	})
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(8 * time.Second):
		t.Fatal("not stopped within the drain timeout")
	}
}

// hasty are options with which no wait is longer than a moment.
func hasty() Options { return Options{MaxWait: 20 * time.Millisecond} }

// failure is a stage's last error.
func failure(status *pipeline.Status, stage string) error {
	if s := status.Snapshot()[stage]; s.LastError != "" {
		return fmt.Errorf("%s", s.LastError)
	}
	return nil
}

// waitFor polls until fn returns something.
func waitFor(t *testing.T, fn func() error) error {
	t.Helper()
	for range 1000 {
		if err := fn(); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("waited in vain")
	return nil
}

// simulate starts a stand-in and a client for it.
func simulate(t testing.TB, o simtm.Options, change func(*threatmatch.Options)) (*simtm.Server, *threatmatch.Client) {
	t.Helper()
	s := simtm.New(o)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	id, secret := s.Credentials()
	opt := threatmatch.Options{
		BaseURL: s.URL(), ClientID: id, ClientSecret: secret, RequestsPerSecond: 2000, MaxBody: 64 << 20,
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		Now:   time.Now, Rand: rand.Float64,
	}
	if change != nil {
		change(&opt)
	}
	c, err := threatmatch.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return s, c
}

func generate(profiles, alerts, reports, iocs int) data.Options {
	return data.Options{Seed: 7, Profiles: profiles, Alerts: alerts, Reports: reports, IOCs: iocs}
}
