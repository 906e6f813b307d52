package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/worker"
)

// route is one thing to do over HTTP.
type route struct {
	method, path, help string
	do                 func(q url.Values) (any, error)
}

func (s *Sim) routes() []route {
	return []route{
		{"GET", "stats", "all counts", func(url.Values) (any, error) { return s.Stats(), nil }},
		{"GET", "verdict", "was the import faithful? dataset=… (repeatable) narrows it", s.verdict},
		{"GET", "env", "the connector's environment", func(url.Values) (any, error) { return s.Env(), nil }},
		{"GET", "faults", "faults in force", s.faults},
		{"POST", "fault", "part=threatmatch|opencti rule=… adds a fault, as --fault has it", s.addFault},
		{"POST", "heal", "takes all faults away and lets the worker work", s.heal},
		{"POST", "clock", "advance=24h moves the clocks on, with new and changed items as configured; skew=-1h sets ThreatMatch's clock apart", s.clock},
		{"POST", "publish", "dataset=alerts n=5 publishes new items", s.publish},
		{"POST", "republish", "dataset=profiles ids=1,2 changes items; insignificant=true without listing them again", s.changeItems},
		{"POST", "withdraw", "dataset=profiles ids=1,2 removes items", s.withdrawItems},
		{"POST", "revoke-tokens", "makes ThreatMatch forget its tokens", func(url.Values) (any, error) { s.ThreatMatch.RevokeTokens(); return nil, nil }},
		{"POST", "down", "part=threatmatch|opencti|worker stops it", func(q url.Values) (any, error) { return nil, s.part(q.Get("part"), false) }},
		{"POST", "up", "part=threatmatch|opencti|worker starts it again", func(q url.Values) (any, error) { return nil, s.part(q.Get("part"), true) }},
		{"POST", "worker", "delay=10ms drop=true changes the worker", s.changeWorker},
		{"POST", "reset-state", "connector=ID: the platform's reset button", func(q url.Values) (any, error) { return nil, s.OpenCTI.Reset(connectorOf(q)) }},
		{"POST", "set-state", "connector=ID state=…: as a second writer or a restored backup would", func(q url.Values) (any, error) {
			return nil, s.OpenCTI.SetState(connectorOf(q), q.Get("state"))
		}},
		{"POST", "capabilities", "names=KNOWLEDGE,MODULES_MODMANAGE: all that the connector's user may do from now on; none without names", s.capabilities},
		{"POST", "echo", "stale=N or empty=N: the next pings are answered from a lagging index", s.echo},
		{"POST", "queue-size", "messages=N bytes=N: what the platform says about the queue, until heal", s.queueSize},
		{"POST", "delete-work", "id=…", func(q url.Values) (any, error) { s.OpenCTI.DeleteWork(q.Get("id")); return nil, nil }},
		{"POST", "delete-connector", "connector=ID: with its works and queues", func(q url.Values) (any, error) { return nil, s.OpenCTI.Forget(connectorOf(q)) }},
		{"POST", "closer", "ends old works, as the platform does every minute", func(url.Values) (any, error) { s.OpenCTI.CloserTick(); return nil, nil }},
		{"POST", "reset-stats", "begins counting requests anew", func(url.Values) (any, error) {
			s.ThreatMatch.ResetStats()
			s.OpenCTI.ResetStats()
			return nil, nil
		}},
	}
}

// Handler is the interface to watch and disturb the stand-ins, under /sim/.
func (s *Sim) Handler() http.Handler {
	mux := http.NewServeMux()
	var help strings.Builder
	for _, r := range s.routes() {
		fmt.Fprintf(&help, "%-4s /sim/%-17s %s\n", r.method, r.path, r.help)
		mux.HandleFunc(r.method+" /sim/"+r.path, func(w http.ResponseWriter, req *http.Request) {
			if err := req.ParseForm(); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			out, err := r.do(req.Form)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			if out == nil {
				out = map[string]bool{"ok": true}
			}
			w.Header().Set("Content-Type", "application/json")
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			_ = enc.Encode(out) // the client may have gone
		})
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, help.String()) })
	mux.HandleFunc("GET /sim/{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, help.String()) })
	return mux
}

func connectorOf(q url.Values) string {
	if id := q.Get("connector"); id != "" {
		return id
	}
	return ConnectorID
}

func (s *Sim) verdict(q url.Values) (any, error) {
	var list []data.Dataset
	for _, d := range q["dataset"] {
		list = append(list, data.Dataset(d))
	}
	return s.Verdict(list...), nil
}

func (s *Sim) faults(url.Values) (any, error) {
	return map[string][]faults.Rule{"threatmatch": s.ThreatMatch.Faults.Rules(), "opencti": s.OpenCTI.Faults.Rules()}, nil
}

func (s *Sim) addFault(q url.Values) (any, error) {
	rule, err := faults.Parse(q.Get("rule"))
	if err == nil {
		err = rule.Check()
	}
	if err != nil {
		return nil, err
	}
	switch q.Get("part") {
	case "threatmatch":
		s.ThreatMatch.SetFault(rule)
	case "opencti":
		s.OpenCTI.SetFault(rule)
	default:
		return nil, fmt.Errorf("part %q has no faults, threatmatch and opencti have", q.Get("part"))
	}
	return rule, nil
}

func (s *Sim) heal(url.Values) (any, error) {
	s.ThreatMatch.Heal()
	s.OpenCTI.Heal()
	if s.Worker != nil {
		s.Worker.Behave(worker.Behaviour{})
	}
	return nil, nil
}

func (s *Sim) clock(q url.Values) (any, error) {
	for key, f := range map[string]func(time.Duration){
		"advance": func(d time.Duration) { s.OpenCTI.Advance(d); s.ThreatMatch.Advance(d) },
		"skew":    s.ThreatMatch.Skew,
	} {
		if text := q.Get(key); text != "" {
			d, err := time.ParseDuration(text)
			if err != nil {
				return nil, err
			}
			f(d)
		}
	}
	return map[string]time.Time{"threatmatch": s.ThreatMatch.Now(), "opencti": s.OpenCTI.Now()}, nil
}

func numbers(text string) ([]int, error) {
	var list []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}

func (s *Sim) publish(q url.Values) (any, error) {
	n, err := strconv.Atoi(q.Get("n"))
	if err != nil {
		return nil, err
	}
	return s.ThreatMatch.Publish(data.Dataset(q.Get("dataset")), n), nil
}

func (s *Sim) changeItems(q url.Values) (any, error) {
	ids, err := numbers(q.Get("ids"))
	change := s.ThreatMatch.Republish
	if q.Get("insignificant") == "true" {
		change = s.ThreatMatch.Touch
	}
	if err == nil {
		change(data.Dataset(q.Get("dataset")), ids...)
	}
	return nil, err
}

func (s *Sim) withdrawItems(q url.Values) (any, error) {
	ids, err := numbers(q.Get("ids"))
	if err == nil {
		s.ThreatMatch.Withdraw(data.Dataset(q.Get("dataset")), ids...)
	}
	return nil, err
}

// part stops or starts a part.
func (s *Sim) part(name string, up bool) error {
	switch {
	case name == "threatmatch" && up:
		return s.ThreatMatch.Start()
	case name == "threatmatch":
		s.ThreatMatch.Stop()
	case name == "opencti" && up:
		return s.OpenCTI.Start()
	case name == "opencti":
		s.OpenCTI.Stop()
	case name == "worker" && s.Worker != nil:
		s.Worker.Behave(worker.Behaviour{Paused: !up})
	default:
		return fmt.Errorf("there is no part %q", name)
	}
	return nil
}

func (s *Sim) changeWorker(q url.Values) (any, error) {
	if s.Worker == nil {
		return nil, fmt.Errorf("there is no worker")
	}
	b := worker.Behaviour{Drop: q.Get("drop") == "true"}
	if text := q.Get("delay"); text != "" {
		var err error
		if b.Delay, err = time.ParseDuration(text); err != nil {
			return nil, err
		}
	}
	s.Worker.Behave(b)
	return nil, nil
}

func (s *Sim) echo(q url.Values) (any, error) {
	for key, f := range map[string]func(int){"stale": s.OpenCTI.StaleEcho, "empty": s.OpenCTI.EmptyEcho} {
		if text := q.Get(key); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				return nil, err
			}
			f(n)
		}
	}
	return nil, nil
}

func (s *Sim) capabilities(q url.Values) (any, error) {
	names := []string{}
	if text := q.Get("names"); text != "" {
		names = strings.Split(text, ",")
	}
	s.OpenCTI.SetCapabilities(names)
	return map[string][]string{"capabilities": names}, nil
}

func (s *Sim) queueSize(q url.Values) (any, error) {
	messages, err := strconv.ParseFloat(q.Get("messages"), 64)
	if err != nil {
		return nil, err
	}
	bytes, err := strconv.ParseFloat(q.Get("bytes"), 64)
	if err != nil {
		return nil, err
	}
	s.OpenCTI.SetQueueSize(opencti.QueueSize{Messages: messages, Bytes: bytes})
	return nil, nil
}
