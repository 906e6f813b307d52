package opencti

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
)

// connector is the platform's record of one.
type connector struct {
	id, name, kind   string
	scope            []string
	flags            object // as registered
	userID           string
	state            *string
	reset            bool
	stateTime        time.Time
	info             any
	created, updated time.Time
	pings            []Ping
	registered       int
	lastReported     string // the work that received the last report
}

// Ping is one ping as the platform took it.
type Ping struct {
	At    time.Time `json:"at"`
	State string    `json:"state"`
	Info  any       `json:"info,omitempty"`
	// Ignored: a reset was pending.
	Ignored bool `json:"ignored,omitempty"`
}

// Connector is what can be known about a connector from outside.
type Connector struct {
	ID             string    `json:"id"`
	Name           string    `json:"name"`
	Scope          []string  `json:"scope"`
	State          string    `json:"state"`
	StateTimestamp time.Time `json:"state_timestamp"`
	Registered     int       `json:"registered"`
	// Pings are the last 1,000.
	Pings []Ping `json:"pings"`
}

// QueueSize is what connector_queue_details says.
type QueueSize struct{ Messages, Bytes float64 }

const keptPings = 1000

var semver = regexp.MustCompile(`^\d+\.\d+(\.\d+)?([.+-][0-9A-Za-z.+-]*)?$`)

func (s *Server) register(user *User, args map[string]any) (any, error) {
	in, ok := args["input"].(map[string]any)
	if !ok {
		return nil, internalError("Cannot read properties of undefined (reading 'id')")
	}
	text := func(key string) string { v, _ := in[key].(string); return v }
	if len(text("name")) < 2 || strings.TrimSpace(text("name")) == "" {
		return nil, &failure{Code: "BAD_USER_INPUT", Message: "name must be at least 2 characters in length", HTTPStatus: 400}
	}
	if v := text("version"); v != "" && !semver.MatchString(v) {
		return nil, &failure{Code: "VALIDATION_ERROR", Message: "version is not a semantic version"}
	}
	if strings.Contains(text("id"), "_") {
		s.violation("connector id", "the id "+text("id")+" has an underscore: work ids cannot be split")
	}
	var scope []string
	for _, item := range anyList(in["scope"]) {
		v, _ := item.(string)
		scope = append(scope, v)
	}
	if err := s.broker.declare(text("id"), text("name"), text("type"), scope); err != nil {
		return nil, s.brokerError(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	c, known := s.connectors[text("id")]
	if !known {
		c = &connector{id: text("id"), created: now, stateTime: now}
		s.connectors[c.id] = c
	}
	c.name, c.kind, c.scope, c.userID, c.updated = text("name"), text("type"), scope, user.ID, now
	c.flags = in
	c.registered++
	return s.connectorObject(c), nil
}

func anyList(v any) []any { list, _ := v.([]any); return list }

// ping follows the platform: queues first, then the state, unless a reset is pending.
func (s *Server) ping(args map[string]any) (any, error) {
	id, _ := args["id"].(string)
	s.mu.Lock()
	c, ok := s.connectors[id]
	if !ok {
		s.mu.Unlock()
		return nil, functional("No connector found with the specified ID")
	}
	name, kind, scope := c.name, c.kind, c.scope
	s.mu.Unlock()
	if err := s.broker.declare(id, name, kind, scope); err != nil {
		return nil, s.brokerError(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.connectorObject(c)
	sent, hasState := args["state"].(string)
	if hasState && !json.Valid([]byte(sent)) {
		s.addViolation("state", "a ping with a state that is not JSON: "+sent)
	}
	p := Ping{At: s.now(), State: sent, Info: args["connectorInfo"], Ignored: c.reset}
	if c.reset {
		c.reset = false
	} else {
		c.updated = s.now()
		if hasState {
			c.state = &sent
		}
	}
	if args["connectorInfo"] != nil {
		c.info = args["connectorInfo"]
	}
	c.pings = append(c.pings, p)
	if len(c.pings) > keptPings {
		c.pings = slices.Delete(c.pings, 0, len(c.pings)-keptPings)
	}
	return s.echo(c, before), nil
}

// echo is the answer to a ping: the record, unless the index lags behind.
func (s *Server) echo(c *connector, before object) object {
	switch {
	case s.stale > 0:
		s.stale--
		return before
	case s.blank > 0:
		s.blank--
		o := s.connectorObject(c)
		o["connector_state"] = ""
		return o
	}
	return s.connectorObject(c)
}

// StaleEcho makes the next n pings answer what stood there before them, as a
// platform whose index lags behind.
func (s *Server) StaleEcho(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = n
}

// EmptyEcho makes the next n pings answer an empty state without a reset.
func (s *Server) EmptyEcho(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blank = n
}

// Reset is the "reset state" button: state emptied, queues purged.
func (s *Server) Reset(id string) error {
	_, err := s.resetState(map[string]any{"id": id})
	return err
}

func (s *Server) resetState(args map[string]any) (any, error) {
	id, _ := args["id"].(string)
	s.mu.Lock()
	c, ok := s.connectors[id]
	if !ok {
		s.mu.Unlock()
		return nil, functional("No connector found with the specified ID")
	}
	none := ""
	c.state, c.reset = &none, true
	// The clock may stand still in a test; a reset is later than what was.
	c.stateTime = later(s.now(), c.stateTime)
	s.mu.Unlock()
	if err := s.broker.purge(id); err != nil {
		return nil, s.brokerError(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connectorObject(c), nil
}

func later(t, than time.Time) time.Time {
	if t.After(than) {
		return t
	}
	return than.Add(time.Millisecond)
}

// Forget deletes a connector with its works and queues, as an administrator would.
func (s *Server) Forget(id string) error {
	s.mu.Lock()
	delete(s.connectors, id)
	for _, workID := range slices.Clone(s.order) {
		if s.works[workID].connector == id {
			s.dropWork(workID)
		}
	}
	s.mu.Unlock()
	return s.broker.remove(id)
}

// SetState writes a connector's state as a second writer or a restored backup
// would; "" is no state.
func (s *Server) SetState(id, state string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.connectors[id]
	if !ok {
		return functional("No connector found with the specified ID")
	}
	c.state = &state
	return nil
}

// ConnectorState is the stored state of a connector, "" when there is none.
func (s *Server) ConnectorState(id string) string {
	c, _ := s.Connector(id)
	return c.State
}

// Connector is what the platform knows about a connector.
func (s *Server) Connector(id string) (Connector, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.connectors[id]
	if !ok {
		return Connector{}, false
	}
	out := Connector{ID: c.id, Name: c.name, Scope: c.scope, StateTimestamp: c.stateTime, Registered: c.registered, Pings: slices.Clone(c.pings)}
	if c.state != nil {
		out.State = *c.state
	}
	return out, true
}

// SetBroker makes the platform use another address or other credentials of the
// broker, and tell them at the next register.
func (s *Server) SetBroker(url string) error { return s.broker.use(url) }

// SetQueuePrefix makes the platform use other names of exchanges and queues, as
// after a change of its configuration; connectors learn them at the next register.
func (s *Server) SetQueuePrefix(prefix string) { s.broker.rename(prefix) }

// SetQueueSize makes connector_queue_details say so, until Heal.
func (s *Server) SetQueueSize(q QueueSize) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queueSize = &q
}
