package threatmatch

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/serve"
)

// Server is one stand-in. It is an http.Handler; Start gives it an address of its own.
type Server struct {
	opt    Options
	source data.Source
	// Faults may be changed at any time.
	Faults faults.Set

	net    *serve.Server
	mux    *http.ServeMux
	tokens tokens
	stats  recorder

	mu     sync.Mutex
	offset time.Duration // of the clock
	owed   map[string]float64
	turn   map[data.Dataset]int
}

// New prepares a stand-in.
func New(o Options) *Server {
	o.defaults()
	s := &Server{opt: o, source: o.Source, owed: map[string]float64{}, turn: map[data.Dataset]int{}}
	s.Faults.Seed(o.Seed)
	s.Faults.Add(o.Faults...)
	s.tokens.valid = map[string]time.Time{}
	s.stats.init()
	s.net = serve.New(o.Addr, s)
	s.routes()
	return s
}

// Start serves on Options.Addr; after Stop, on the same address again.
func (s *Server) Start() error { return s.net.Start() }

// Stop refuses connections, as a server that is down. What it knows stays.
func (s *Server) Stop() { s.net.Stop() }

// Close is Stop, for good.
func (s *Server) Close() { s.net.Stop() }

// URL is the base address, known after Start.
func (s *Server) URL() string { return s.net.URL() }

// Credentials are the client id and secret that the stand-in accepts.
func (s *Server) Credentials() (id, secret string) { return s.opt.ClientID, s.opt.ClientSecret }

// Source is what is served.
func (s *Server) Source() data.Source { return s.source }

// SetFault adds rules; see faults.Set for taking them away.
func (s *Server) SetFault(rules ...faults.Rule) { s.Faults.Add(rules...) }

// Heal takes every fault away.
func (s *Server) Heal() { s.Faults.Remove("") }

// RevokeTokens makes all tokens invalid, as a server that lost its sessions.
func (s *Server) RevokeTokens() { s.tokens.revoke() }

// ExpectedIDs are the ids that a faithful import of the datasets (none: all)
// delivers; see data.Expected.
func (s *Server) ExpectedIDs(datasets ...data.Dataset) map[string]struct{} {
	if len(datasets) == 0 {
		datasets = data.All
	}
	return data.Expected(s.source, datasets...)
}

func (s *Server) routes() {
	s.mux = http.NewServeMux()
	s.mux.HandleFunc("/api/developers-platform/token", s.token)
	s.mux.HandleFunc("/api/{dataset}/all", s.authorised(s.list))
	s.mux.HandleFunc("/api/stix/{dataset}/{id}", s.authorised(s.item))
	for _, d := range detailed {
		s.mux.HandleFunc("/api/"+string(d)+"/{id}/edit", s.authorised(s.details))
	}
	s.mux.HandleFunc("/api/taxii/groups", s.authorised(s.groups))
	s.mux.HandleFunc("/api/taxii/objects", s.authorised(s.objects))
	s.mux.HandleFunc("/", s.notFound)
}

// ServeHTTP answers one request, or lets a fault answer it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	route, id := routeOf(r)
	s.stats.arrived(begin)
	w.Header().Set("Date", s.Now().UTC().Format(http.TimeFormat))
	if s.opt.Latency > 0 && !pause(r, s.opt.Latency) {
		return
	}
	rule, faulty := s.Faults.Pick(route, id)
	req := Request{Route: route, ID: id, Faulty: faulty && rule.Kind != faults.Slow, At: begin}
	if route == "objects" {
		req.ID += " " + r.URL.Query().Get("modifiedAfter")
	}
	rec := &recording{ResponseWriter: w, tell: func(status int) { req.Status = status; s.stats.answered(req) }}
	next := http.Handler(s.mux)
	if s.opt.Gzip {
		next = gzipped(next)
	}
	if faulty {
		rule.Serve(rec, r, next)
	} else {
		next.ServeHTTP(rec, r)
	}
	rec.once(0) // no answer was sent
	s.opt.Log.Debug("request", "route", route, "id", req.ID, "status", req.Status, "faulty", req.Faulty)
	if s.opt.OnRequest != nil {
		s.opt.OnRequest(req)
	}
}

// routeOf names a request as fault rules and statistics do.
func routeOf(r *http.Request) (route, id string) {
	p := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/api/developers-platform/token":
		return "token", ""
	case r.URL.Path == "/api/taxii/groups":
		return "groups", ""
	case r.URL.Path == "/api/taxii/objects":
		return "objects", r.URL.Query().Get("stixTypeName")
	case len(p) == 3 && p[2] == "all":
		return "list", p[1]
	case len(p) == 4 && p[1] == "stix":
		return "item", p[2] + "/" + p[3]
	case len(p) == 4 && p[3] == "edit":
		return "details", p[1] + "/" + p[2]
	}
	return "other", r.URL.Path
}

// pause waits unless the client goes away.
func pause(r *http.Request, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
		return false
	}
}
