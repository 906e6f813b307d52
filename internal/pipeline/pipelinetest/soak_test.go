package pipelinetest_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/pipeline/fetch"
	"threatmatch-connector/internal/pipeline/mapstage"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/internal/pipeline/schedule"
	"threatmatch-connector/internal/pipeline/verdicts"
	"threatmatch-connector/spool"
)

const soakPeriod = 11 * time.Minute

// TestSoak runs all loops under a seeded mix of faults: outages, refusals and
// storms of ThreatMatch, of OpenCTI and of the broker, resets, deleted works and
// connectors, stops, kills, full spools, and an operator who retries, repulls and
// triggers. In the end everything that was served has arrived in its newest
// version, or is held, a dead letter, or was dropped by a worker with its deleted
// work. OpenCTI refuses one object in 150: those are dead letters too. The process
// that lives through the last third does not grow. With an odd seed nothing is
// imported a second time, so whatever is lost stays lost. SOAK=12h runs that long
// on the test's clock.
func TestSoak(t *testing.T) {
	long, seeds := 2*time.Hour, uint64(1)
	if s := os.Getenv("SOAK"); s != "" {
		var err error
		if long, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
		seeds = 4
	}
	profiles := []pipelinetest.Profile{pipelinetest.Newest(), pipelinetest.Profiles()[2]}
	if testing.Short() {
		profiles = profiles[:1]
	}
	for i, p := range profiles {
		for seed := uint64(i); seed < uint64(i)+seeds; seed++ {
			t.Run(fmt.Sprintf("%s/%d", p.Name, seed), func(t *testing.T) {
				pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
					s := newSoak(t, w, seed)
					s.run(long)
					s.account()
				})
			})
		}
	}
}

type soak struct {
	t        *testing.T
	w        *pipelinetest.World
	r        *rand.Rand
	again    bool // resets and repulls happen, too
	steady   bool // the process lives to the end
	vendor   *vendor
	source   fetch.Source
	spooled  func(spool.NewRecord) // is told of every record that was committed; may be nil
	schedule *schedule.Schedule
	began    time.Time
	until    map[string]time.Time // by fault: when it ends
	happened map[string]int

	mu       sync.Mutex
	imported map[string]string // by STIX id: the newest version that a worker took
	dropped  map[string]bool   // by STIX id: a worker threw one away with its work
	refused  map[string]bool   // by STIX id: OpenCTI refused a message of it; it may have taken another
	memory   []sample          // of the process that lives to the end
}

// sample is the memory in use after a collection, and how much the test had served.
type sample struct {
	heap   uint64
	served int
}

func newSoak(t *testing.T, w *pipelinetest.World, seed uint64) *soak {
	s := &soak{
		t: t, w: w, r: rand.New(rand.NewPCG(seed, 15)), again: seed%2 == 0, vendor: newVendor(rand.New(rand.NewPCG(seed, 16))), began: time.Now(),
		until: map[string]time.Time{}, happened: map[string]int{}, imported: map[string]string{}, dropped: map[string]bool{}, refused: map[string]bool{},
	}
	s.source = s.vendor
	w.Broker.Rand = rand.New(rand.NewPCG(seed, 17))
	refuse := rand.New(rand.NewPCG(seed, 18))
	w.Broker.Refuses = func(json.RawMessage) string {
		if refuse.IntN(150) > 0 {
			return ""
		}
		return []string{"FORBIDDEN_ACCESS", "MISSING_REFERENCE_ERROR", "marking", "VALIDATION_ERROR"}[refuse.IntN(4)]
	}
	w.Broker.Worked = s.worked
	w.Others = s.stages
	w.ReportsOK = true
	w.OpenCTI.Has = map[string]bool{}
	w.Deliver.QueueThreshold = 1
	return s
}

// worked records what a worker did with a message.
func (s *soak) worked(raw json.RawMessage, refusal string, dropped bool) {
	var o struct{ ID, Modified string }
	_ = json.Unmarshal(raw, &o)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case dropped:
		s.dropped[o.ID] = true
		return
	case refusal != "":
		s.refused[o.ID] = true
		return
	}
	s.imported[o.ID] = max(s.imported[o.ID], cmp.Or(o.Modified, "none"))
	s.w.OpenCTI.Mu.Lock()
	s.w.OpenCTI.Has[o.ID] = true
	s.w.OpenCTI.Mu.Unlock()
}

// stages are the loops that the world does not have by itself.
func (s *soak) stages(l *pipelinetest.Process) []pipeline.Part {
	mapper, err := mapping.New(mapping.Settings{})
	s.w.Must(err)
	f, err := fetch.New(fetch.Deps{
		Spool: &fetchSpool{l.Spool, s.spooled}, Source: s.source, Wakes: l.Wakes, Status: l.Status, Log: l.Log,
		Metrics: fetch.NewMetrics(prometheus.NewRegistry()), Now: time.Now, Rand: func() float64 { return 0.5 },
	}, fetch.Options{
		Datasets: spool.Datasets(), MaxConcurrency: 4, MaxAttempts: 5, Groups: []string{"All content"}, Types: []string{"indicator"}, MaxWait: soakPeriod,
	})
	s.w.Must(err)
	m, err := mapstage.New(mapstage.Deps{
		Spool: l.Spool, Mapper: mapper, Resolver: s.w.OpenCTI, Wakes: l.Wakes, Status: l.Status, Log: l.Log,
		Metrics: mapstage.NewMetrics(prometheus.NewRegistry()), Now: time.Now,
	}, mapstage.Options{
		MaxObjects: 50, MaxBytes: 16 << 20, MaxWait: 30 * time.Second, ResendAfter: 24 * time.Hour, HoldUnresolved: 30 * 24 * time.Hour,
	})
	s.w.Must(err)
	s.schedule, err = schedule.New(schedule.Deps{Spool: l.Spool, Wakes: l.Wakes, Status: l.Status, Log: l.Log, Now: time.Now}, schedule.Options{
		Datasets: spool.Datasets(), Period: soakPeriod, Overlap: 10 * time.Minute,
		ImportFrom: func(time.Time) time.Time { return s.began.Add(-time.Hour) },
	})
	s.w.Must(err)
	keep := pipeline.NewHousekeep(pipeline.HousekeepDeps{Spool: l.Spool, Status: l.Status, Log: l.Log, Now: time.Now}, 6*time.Hour)
	read := verdicts.New(verdicts.Deps{
		Spool: l.Spool, Works: s.w.OpenCTI, Status: l.Status, Log: l.Log, Metrics: verdicts.NewMetrics(prometheus.NewRegistry()), Now: time.Now,
	})
	return []pipeline.Part{f, m, s.schedule, keep, read}
}

// fetchSpool tells of the records that fetch committed.
type fetchSpool struct {
	fetch.Spool
	spooled func(spool.NewRecord)
}

func (f *fetchSpool) SettleTasks(epoch uint64, now time.Time, outcomes []spool.Outcome) error {
	err := f.Spool.SettleTasks(epoch, now, outcomes)
	for _, o := range outcomes {
		if err == nil && o.Record != nil && f.spooled != nil {
			f.spooled(*o.Record)
		}
	}
	return err
}

// run lets things happen for this long, minute by minute.
func (s *soak) run(long time.Duration) {
	s.w.Start()
	var own sample // of the test alone
	for time.Since(s.began) < long {
		if !s.steady && time.Since(s.began) > long*2/3 {
			s.steady = true
			s.w.Must(s.w.Halt())
			s.w.Broker.WorkOff(1 << 20) // what is queued is the test's, too, and comes and goes
			own = s.sample()
			s.w.Start()
		}
		s.vendor.change(time.Now())
		s.faults()
		for range 13 {
			s.w.Wait(time.Duration(s.r.IntN(9000)) * time.Millisecond)
			if time.Now().After(s.until["no workers"]) {
				s.w.Broker.WorkOff(s.r.IntN(60))
			}
		}
		select {
		case <-s.w.Live.Ended:
			s.t.Fatalf("the process ended by itself: %v\n%s", s.w.Live.Err, s.w.Logs.Tail(20))
		default:
		}
		if minutes := int(time.Since(s.began).Minutes()); minutes%60 == 0 {
			s.measure()
		}
		if s.steady && s.r.IntN(5) == 0 {
			s.memory = append(s.memory, s.sample())
		}
	}
	s.w.Must(s.w.Halt())
	s.w.Broker.WorkOff(1 << 20)
	s.flat(own, s.sample())
	s.w.Start()
	clear(s.until)
	s.heal()
	s.w.Happens()
	for range 90 { // all is well again, and some periods pass
		s.w.Wait(time.Minute)
		s.w.Broker.WorkOff(1 << 20)
	}
}

// sample measures the memory in use.
func (s *soak) sample() sample {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.vendor.mu.Lock()
	defer s.vendor.mu.Unlock()
	return sample{m.HeapAlloc, len(s.vendor.served)}
}

// flat checks that the process that lived to the end did not grow. What the test
// itself keeps, before and after it, grows with what it has served.
func (s *soak) flat(before, after sample) {
	var used []int64 // by the process, in KiB
	for _, m := range s.memory {
		own := int64(before.heap)
		if more := after.served - before.served; more > 0 {
			own += (int64(after.heap) - own) * int64(m.served-before.served) / int64(more)
		}
		used = append(used, (int64(m.heap)-own)>>10)
	}
	if len(used) < 4 {
		s.t.Fatalf("got %d samples of the memory, want some", len(used))
	}
	half := len(used) / 2
	// Its peaks are those of the load. What it keeps for good raises the floor.
	early, late := slices.Min(used[:half]), slices.Min(used[half:])
	s.t.Logf("memory of the process, in KiB, over %d objects: %v", after.served-before.served, used)
	if late > early+2048 {
		s.t.Errorf("the process uses %d KiB at least in the first half of its life, and %d in the second", early, late)
	}
}

// begin starts a fault that lasts up to most, in one minute of every.
func (s *soak) begin(name string, every int, most time.Duration) {
	if s.r.IntN(every) == 0 && time.Now().After(s.until[name]) {
		s.until[name] = time.Now().Add(time.Duration(s.r.Int64N(int64(most))))
		s.happened[name]++
	}
}

// once reports, in one minute of every, that something is to happen.
func (s *soak) once(name string, every int) bool {
	if s.r.IntN(every) > 0 {
		return false
	}
	s.happened[name]++
	return true
}

func (s *soak) faults() {
	s.begin("ThreatMatch down", 60, 50*time.Minute)
	s.begin("ThreatMatch refuses the account", 90, 20*time.Minute)
	s.begin("storm of 429", 40, 25*time.Minute)
	s.begin("ThreatMatch slow", 40, 20*time.Minute)
	s.begin("OpenCTI down", 60, 30*time.Minute)
	s.begin("OpenCTI slow", 40, 10*time.Minute)
	s.begin("spool full", 60, 5*time.Minute)
	s.begin("no workers", 60, 25*time.Minute)
	s.heal()
	w := s.w
	for range s.r.IntN(20) {
		e := pipelinetest.SendEvent{}
		if s.r.IntN(8) == 0 {
			e = pipelinetest.SendEvent{
				Trouble: true, Behind: s.r.IntN(5), Open: s.r.IntN(8),
				Kind: []delivery.Kind{delivery.ConnectionLost, delivery.Nacked, delivery.Returned, delivery.AccessRefused}[s.r.IntN(4)],
			}
			s.happened["broker fails"]++
		}
		w.Broker.Mu.Lock()
		w.Broker.Events = append(w.Broker.Events, e)
		w.Broker.Mu.Unlock()
	}
	if s.once("answers of OpenCTI lost", 10) {
		w.OpenCTI.Mu.Lock()
		for _, call := range []string{"register", "ping", "add", "expect", "processed", "alive", "work", "search", "known"} {
			w.OpenCTI.Lost[call] = s.r.IntN(2)
		}
		w.OpenCTI.Mu.Unlock()
	}
	switch {
	case s.again && s.once("reset", 150):
		w.OpenCTI.PressReset()
	case s.again && s.once("connector deleted", 300):
		w.OpenCTI.DeleteConnector()
	case s.once("works deleted", 60):
		w.OpenCTI.DeleteWorks()
	case !s.steady && s.once("stop", 40):
		s.w.Must(w.Halt())
		w.Wait(time.Duration(s.r.IntN(300)) * time.Second)
		w.Start()
	case !s.steady && s.once("kill", 15):
		w.Kill.Mu.Lock()
		w.Kill.At = w.Kill.Steps + 1 + s.r.IntN(60)
		w.Kill.Mu.Unlock()
		<-w.Live.Ended
		w.Restart()
		w.Start()
	case s.once("trigger", 30):
		_, _, _ = s.schedule.Trigger()
	case s.again && s.once("repull", 120):
		_, _ = s.schedule.Repull(s.began)
	case s.once("retry", 20):
		var keys []uint64
		letters, err := w.Spool.DeadLetters(0, 200)
		w.Must(err)
		for _, l := range letters {
			if l.Healed.IsZero() && l.NoRetry == "" {
				keys = append(keys, l.Key)
			}
		}
		if len(keys) > 0 {
			_, err = s.schedule.Retry(keys, nil)
			if err != nil && !errors.Is(err, spool.ErrEpoch) {
				s.t.Errorf("retry: %v", err)
			}
		}
	}
}

// heal sets what fails now.
func (s *soak) heal() {
	on := func(name string) bool { return time.Now().Before(s.until[name]) }
	down, refused, storm := on("ThreatMatch down"), on("ThreatMatch refuses the account"), on("storm of 429")
	v := s.vendor
	v.mu.Lock()
	v.wait = 50 * time.Millisecond
	if on("ThreatMatch slow") {
		v.wait = 20 * time.Second
	}
	v.fail = func(call string) error {
		switch {
		case down:
			return pipelinetest.AnswerError(502)
		case refused:
			return fault.Mark(fault.Systemic, pipelinetest.FakeAnswer(401))
		case storm && v.r.IntN(10) < 7:
			return pipelinetest.AnswerError(429)
		case strings.HasPrefix(call, "item") && strings.HasSuffix(call, "13"): // broken for good
			return pipelinetest.AnswerError(500)
		}
		return nil
	}
	v.mu.Unlock()
	var err error
	if on("OpenCTI down") {
		err = fault.Mark(fault.Transient, errors.New("no answer"))
	}
	for _, call := range []string{"register", "ping", "queue", "add", "work", "search", "alive", "expect", "report", "processed", "delete", "known", "stored"} {
		s.w.Refuse(call, err)
		s.w.OpenCTI.Mu.Lock()
		s.w.OpenCTI.Slow[call] = 0
		if on("OpenCTI slow") {
			s.w.OpenCTI.Slow[call] = 3 * time.Second
		}
		s.w.OpenCTI.Mu.Unlock()
	}
	until := s.until["spool full"]
	s.w.Full = func(string) error {
		if time.Now().Before(until) {
			return spool.ErrFull
		}
		return nil
	}
}

// measure records the calls of an hour and the memory.
func (s *soak) measure() {
	sends, calls, lines, turns := s.w.Forget()
	s.vendor.mu.Lock()
	asked := s.vendor.calls
	s.vendor.calls = 0
	s.vendor.mu.Unlock()
	if sends > 20_000 || calls > 40_000 || lines > 40_000 || turns > 40_000 || asked > 60_000 {
		s.t.Errorf("in an hour: %d batches, %d calls of OpenCTI, %d of ThreatMatch, %d lines, %d turns: a loop spins", sends, calls, asked, lines, turns)
	}
	s.t.Logf("%v: %d batches, %d calls of OpenCTI, %d of ThreatMatch, %d lines, %d turns, %d KiB with the test's own", time.Since(s.began), sends, calls, asked, lines, turns, s.sample().heap>>10)
}

// account checks that nothing is missing.
func (s *soak) account() {
	s.t.Helper()
	w := s.w
	open, err := w.Spool.OpenRuns()
	w.Must(err)
	for _, r := range open {
		if time.Since(r.Created) > 2*soakPeriod {
			s.t.Errorf("run %d of %v is still open: %+v\n%s", r.ID, r.Created, r, w.Logs.Tail(30))
		}
	}
	rejected := false
	dead, held, classes := map[string]bool{}, map[string]bool{}, map[string]int{} // by STIX id; by stage and class
	for after := uint64(0); ; {
		letters, err := w.Spool.DeadLetters(after, 500)
		w.Must(err)
		if len(letters) == 0 {
			break
		}
		for _, l := range letters {
			after = l.Key
			rejected = rejected || l.Stage == spool.StagePlatform
			if l.Healed.IsZero() {
				dead[l.STIX] = true
				classes[string(l.Stage)+" "+l.Class]++
				if l.Stage == spool.StagePlatform && l.Class == "rejected" && s.refused[l.STIX] {
					continue
				}
				if l.Stage != spool.StageFetch || l.Class != "500" || !strings.HasSuffix(l.Source, "13") {
					s.t.Errorf("a dead letter without reason: %+v", l)
				}
			}
		}
	}
	for after := uint64(0); ; {
		objects, err := w.Spool.Objects(spool.Held, after, 500)
		w.Must(err)
		if len(objects) == 0 {
			break
		}
		for _, o := range objects {
			after, held[o.STIX] = o.Seq, true
		}
	}
	counts := map[string]int{}
	var missing []string
	for id, version := range s.vendor.served {
		switch {
		case s.imported[id] >= version:
			counts["imported"]++
		case dead[id]:
			counts["dead"]++
		case held[id]:
			counts["held"]++
		case s.refused[id]: // and nobody could read that, since its work was deleted
			counts["refused with its work gone"]++
		case s.dropped[id]:
			counts["dropped with its work"]++
		default:
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	if len(missing) > 0 {
		s.t.Errorf("%d of %d objects are nowhere: %v", len(missing), len(s.vendor.served), missing[:min(len(missing), 10)])
	}
	if !rejected || counts["refused with its work gone"] > counts["imported"]/50 {
		s.t.Errorf("got %v and refusals kept %v, want most of those kept", counts, rejected)
	}
	s.t.Logf("faults %v; served %d: %v; dead letters %v", s.happened, len(s.vendor.served), counts, classes)
}
