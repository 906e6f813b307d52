// Package opencti is a stand-in for the part of an OpenCTI platform that a
// connector meets: the GraphQL API with its schema by version, authentication
// and error shapes; connectors with their state; works; and the exchanges and
// queues that the platform declares in a real RabbitMQ.
//
// Routes, as fault rules name them: the first root field of the document, such
// as "pingConnector" or "works"; "workEdit.addExpectations" and its like for
// what is done to a work; "__type" for introspection.
package opencti

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/serve"
)

// maxBody is the platform's default limit of a request (app:max_payload_body_size).
const maxBody = 50_000_000

// Options say how the stand-in behaves. AMQPURL is required.
type Options struct {
	// Addr is where it listens; "" is a free port of 127.0.0.1.
	Addr string
	// Version is a name of ProfileNames; "" is the newest.
	Version string
	// HideStateTimestamp takes connector_state_timestamp out of the schema.
	HideStateTimestamp bool
	// AMQPURL of the broker, as the platform and the connectors reach it.
	AMQPURL string
	// QueuePrefix is rabbitmq:queue_prefix, QueueType "classic" (default) or "quorum".
	QueuePrefix, QueueType string
	// Connection changes what register says about the broker, such as the
	// address of a proxy in front of it. Nil: as AMQPURL.
	Connection func(*Connection)
	// Users by token. Nil: one connector user with the token "sim-token" and an
	// administrator with "sim-admin-token".
	Users map[string]User
	// Clock is the platform's time; nil is time.Now.
	Clock func() time.Time
	// CloserInterval is how often the closer looks for works to end; the
	// platform's is a minute. Zero: only CloserTick does it.
	CloserInterval time.Duration
	// MessageSize is what a queued message counts for in the size of a queue;
	// zero means 2,000 bytes.
	MessageSize float64
	// Faults in force from the start, and the seed of their chance.
	Faults []faults.Rule
	Seed   uint64
	// OnRequest is told of every request after it was answered. It must not block.
	OnRequest func(Request)
	// Log gets a line per request at debug level; nil is none.
	Log *slog.Logger
}

// User is an account of the platform.
type User struct {
	ID, Name     string
	Capabilities []string
}

// ConnectorToken and AdminToken are the tokens of the users there are unless
// told otherwise.
const (
	ConnectorToken = "sim-token"
	AdminToken     = "sim-admin-token"
)

// DefaultUsers are the users there are unless told otherwise, by token.
func DefaultUsers() map[string]User {
	return map[string]User{
		ConnectorToken: {ID: "88ec0c6a-13ce-5e39-b486-354fe4a7084f", Name: "[C] Connector", Capabilities: []string{
			"CONNECTORAPI", "MODULES_MODMANAGE", "KNOWLEDGE", "KNOWLEDGE_KNUPDATE", "KNOWLEDGE_KNASKIMPORT",
		}},
		AdminToken: {ID: "6f4fd1a5-6d0b-4b7e-9a44-3a5a5fc0e7f2", Name: "admin", Capabilities: []string{"BYPASS"}},
	}
}

// Server is one stand-in. It is an http.Handler; Start gives it an address of its own.
type Server struct {
	opt     Options
	profile Profile
	schema  *ast.Schema
	net     *serve.Server
	broker  *broker
	// Faults may be changed at any time.
	Faults faults.Set

	mu         sync.Mutex // guards what follows
	users      map[string]User
	knowledge  func(id string) (entityType string, ok bool)
	unacked    func(queue string) int
	connectors map[string]*connector
	works      map[string]*work
	order      []string // of works, oldest first
	offset     time.Duration
	stale      int
	blank      int
	queueSize  *QueueSize
	stats      Stats

	stopCloser func()
}

// New prepares a stand-in.
func New(o Options) (*Server, error) {
	p, err := ProfileOf(o.Version)
	if err != nil {
		return nil, err
	}
	p.HideStateTimestamp = o.HideStateTimestamp
	schema, err := p.schema()
	if err != nil {
		return nil, fmt.Errorf("build the schema of %s: %w", p.Version, err)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MessageSize == 0 {
		o.MessageSize = 2000
	}
	s := &Server{
		opt: o, profile: p, schema: schema, users: maps.Clone(o.Users),
		connectors: map[string]*connector{}, works: map[string]*work{}, stats: newStats(),
	}
	if s.users == nil {
		s.users = DefaultUsers()
	}
	if s.broker, err = newBroker(o); err != nil {
		return nil, err
	}
	s.Faults.Seed(o.Seed)
	s.Faults.Add(o.Faults...)
	s.net = serve.New(o.Addr, s)
	return s, nil
}

// Start serves on Options.Addr; after Stop, on the same address again.
func (s *Server) Start() error {
	if err := s.net.Start(); err != nil {
		return err
	}
	s.startCloser()
	return nil
}

// Stop refuses connections, as a platform that is down. What it knows stays.
func (s *Server) Stop() { s.net.Stop() }

// Close stops the server and leaves the broker.
func (s *Server) Close() {
	s.net.Stop()
	s.endCloser()
	s.broker.close()
}

// URL is the base address, without "/graphql"; known after Start.
func (s *Server) URL() string { return s.net.URL() }

// Version is what about says.
func (s *Server) Version() string { return s.profile.Version }

// Profile is the version's profile.
func (s *Server) Profile() Profile { return s.profile }

// Now is the platform's time.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

func (s *Server) now() time.Time { return s.opt.Clock().Add(s.offset).UTC() }

// Advance moves the platform's clock on.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset += d
}

// SetKnowledge says what the platform holds: f gives the entity type of an id.
func (s *Server) SetKnowledge(f func(id string) (entityType string, ok bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knowledge = f
}

// SetUnacked says how many messages of a queue workers hold: they count as queued.
func (s *Server) SetUnacked(f func(queue string) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unacked = f
}

// SetFault adds rules; see faults.Set for taking them away.
func (s *Server) SetFault(rules ...faults.Rule) { s.Faults.Add(rules...) }

// Heal takes every fault away, also stale echoes to come.
func (s *Server) Heal() {
	s.Faults.Remove("")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale, s.blank, s.queueSize = 0, 0, nil
}

// ServeHTTP answers one request, or lets a fault answer it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/graphql" || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Date", s.Now().Format(http.TimeFormat))
	begin := time.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "request entity too large", http.StatusRequestEntityTooLarge)
		return
	}
	q := s.parse(body)
	q.user = s.userOf(r)
	s.noteHeaders(r)
	rule, faulty := s.Faults.Pick(q.route, q.id)
	req := Request{Route: q.route, ID: q.id, Faulty: faulty && rule.Kind != faults.Slow, At: begin}
	rec := &recording{ResponseWriter: w, tell: func(status int) { req.Status, req.Code = status, q.code; s.count(req, q) }}
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { s.answer(w, q) })
	if faulty {
		rule.Serve(rec, r, next)
	} else {
		next(rec, r)
	}
	rec.once(0) // no answer was sent
	s.opt.Log.Debug("request", "route", q.route, "status", req.Status, "code", q.code, "faulty", req.Faulty)
	if s.opt.OnRequest != nil {
		s.opt.OnRequest(req)
	}
}

func (s *Server) userOf(r *http.Request) *User {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	if user, known := s.users[token]; ok && known {
		return &user
	}
	return nil
}

// SetUser gives a token another user, or none at all for nil: a token that was
// revoked, or lost a capability.
func (s *Server) SetUser(token string, u *User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u == nil {
		delete(s.users, token)
		return
	}
	s.users[token] = *u
}

// SetCapabilities changes what the connector's user may do.
func (s *Server) SetCapabilities(names []string) {
	u := DefaultUsers()[ConnectorToken]
	u.Capabilities = names
	s.SetUser(ConnectorToken, &u)
}

// noteHeaders records headers that a connector must not send.
func (s *Server) noteHeaders(r *http.Request) {
	for name := range r.Header {
		if strings.HasPrefix(strings.ToLower(name), "opencti-") {
			s.violation("header", "a connector sent the header "+name)
		}
	}
}

func (s *Server) answer(w http.ResponseWriter, q *query) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if q.refused != nil {
		q.code = q.refused.Code
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{q.refused.body()}})
		return
	}
	e := &execution{server: s, op: q.op, vars: q.vars, user: q.user}
	answer := map[string]any{"data": e.run()}
	if len(e.errors) > 0 {
		q.code = e.errors[0].Code
		list := make([]any, len(e.errors))
		for i, f := range e.errors {
			list[i] = f.body()
		}
		answer["errors"] = list
	} else {
		s.carriedOut(q)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(text) // the client may have gone
}
