package opencti

import (
	"slices"
	"time"
)

// What workers and tests see of the platform, past GraphQL.

// Work is a work as it stands.
type Work struct {
	ID        string    `json:"id"`
	Connector string    `json:"connector"`
	Name      string    `json:"name"`
	Status    string    `json:"status"`
	Multipart bool      `json:"multipart"`
	Timestamp time.Time `json:"timestamp"`
	// Expected and Processed are the counters; Alive says that they are kept.
	Expected  int  `json:"expected"`
	Processed int  `json:"processed"`
	Alive     bool `json:"alive"`
	// ToProcessed: the connector said that it has sent everything.
	ToProcessed bool     `json:"to_processed"`
	Messages    []string `json:"messages"`
	Errors      []string `json:"errors"`
	// Pushed: its messages came through the API, and whoever splits them announces
	// each, also one that comes again.
	Pushed bool `json:"pushed"`
}

func (w *work) view() Work {
	out := Work{
		ID: w.id, Connector: w.connector, Name: w.name, Status: w.status, Multipart: w.multipart, Timestamp: w.timestamp,
		Expected: w.expected, Processed: w.completed, ToProcessed: !w.processedAt.IsZero(), Messages: []string{}, Errors: []string{}, Pushed: w.pushed,
	}
	if w.key != nil {
		out.Alive, out.Expected, out.Processed = true, w.key.expected, w.key.processed
	}
	for _, m := range w.messages {
		out.Messages = append(out.Messages, m.message)
	}
	for _, m := range w.errors {
		out.Errors = append(out.Errors, m.message)
	}
	return out
}

// Works are all works, oldest first.
func (s *Server) Works() []Work {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Work, 0, len(s.order))
	for _, id := range s.order {
		list = append(list, s.works[id].view())
	}
	return list
}

// Work is one work; false when the platform does not have it.
func (s *Server) Work(id string) (Work, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.works[id]
	if !ok {
		return Work{}, false
	}
	return w.view(), true
}

// DeleteWork deletes a work, as an administrator would.
func (s *Server) DeleteWork(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropWork(id)
}

// WorkAlive is isWorkAlive, whatever the version.
func (s *Server) WorkAlive(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.works[id]
	return w != nil && w.key != nil
}

// Report is a worker's reportExpectation; an empty message is success.
func (s *Server) Report(id, message, source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report(id, message != "", message, source)
}

// Queue is a connector's queue, as workers learn of it.
type Queue struct {
	Connector, Name, UserID string
}

// Queues are the queues that workers consume.
func (s *Server) Queues() []Queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Queue
	for id, c := range s.connectors {
		list = append(list, Queue{Connector: id, Name: s.broker.names(id).push, UserID: c.userID})
	}
	slices.SortFunc(list, func(a, b Queue) int {
		if a.Connector < b.Connector {
			return -1
		}
		return 1
	})
	return list
}

// CloserTick ends works that are older than the last one that received a
// report, as the platform does every minute, and deletes those complete for a week.
func (s *Server) CloserTick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	const week = 7 * 24 * time.Hour
	now := s.now()
	for _, c := range s.connectors {
		last := s.works[c.lastReported]
		for _, id := range slices.Clone(s.order) {
			w := s.works[id]
			if w.connector != c.id {
				continue
			}
			if last != nil && w.status != "complete" && w.timestamp.Before(last.timestamp) {
				s.closeWork(w, now, week)
			}
			if w.status == "complete" && now.Sub(w.completedAt) > week {
				s.dropWork(id)
			}
		}
	}
}

func (s *Server) closeWork(w *work, now time.Time, week time.Duration) {
	if now.Sub(w.timestamp) > week {
		s.dropWork(w.id)
		return
	}
	processed := 0
	if w.key != nil {
		processed = w.key.processed
	}
	s.complete(w, processed)
	if s.profile.OldWorks {
		w.key = nil
	}
}

func (s *Server) startCloser() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opt.CloserInterval <= 0 || s.stopCloser != nil {
		return
	}
	stop, done := make(chan struct{}), make(chan struct{})
	s.stopCloser = func() { close(stop); <-done }
	ticker := time.NewTicker(s.opt.CloserInterval)
	go func() {
		defer close(done)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				s.CloserTick()
			case <-stop:
				return
			}
		}
	}()
}

func (s *Server) endCloser() {
	s.mu.Lock()
	stop := s.stopCloser
	s.stopCloser = nil
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// Connect makes a connector known and declares its queues, as its register
// would: for tests that have no connector.
func (s *Server) Connect(id, name string) error {
	_, err := s.register(&User{ID: DefaultUsers()[ConnectorToken].ID}, map[string]any{"input": map[string]any{
		"id": id, "name": name, "type": "EXTERNAL_IMPORT", "scope": []any{"threatmatch"},
	}})
	return err
}

// OpenWork is workAdd.
func (s *Server) OpenWork(connectorID, name string) (string, error) {
	o, err := s.addWork(&User{}, map[string]any{"connectorId": connectorID, "friendlyName": name})
	if err != nil {
		return "", err
	}
	return o.(object)["id"].(string), nil
}

// Expect is addExpectations.
func (s *Server) Expect(work string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expect(work, n)
}

// Push is stixBundlePush by the connector's user.
func (s *Server) Push(connectorID, work string, bundle []byte) error {
	_, err := s.push(&User{ID: DefaultUsers()[ConnectorToken].ID}, map[string]any{"connectorId": connectorID, "bundle": string(bundle), "work_id": work})
	return err
}

// Finish is toProcessed.
func (s *Server) Finish(work string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processed(work, "", false)
}

// QueuedMessages are those that wait in the connectors' queues or are held by workers.
func (s *Server) QueuedMessages() int {
	n := 0
	for _, q := range s.Queues() {
		n += s.queued(q.Name)
	}
	return n
}

// ConnectorToken is the token of a user who may do what a connector does; ""
// when Options.Users has none.
func (s *Server) ConnectorToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.users[ConnectorToken]; ok {
		return ConnectorToken
	}
	for token, u := range s.users {
		if slices.Contains(u.Capabilities, "CONNECTORAPI") {
			return token
		}
	}
	return ""
}
