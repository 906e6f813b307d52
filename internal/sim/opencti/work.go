package opencti

import (
	"fmt"
	"slices"
	"time"
)

// work is the platform's record of a run: a document, and a key of counters
// that keeps it alive.
type work struct {
	id, connector, name, userID, draft string
	status                             string
	multipart                          bool
	timestamp, received, updated       time.Time
	processedAt, completedAt           time.Time
	expected, completed                int // of the document
	messages, errors                   notes
	key                                *workKey
	pushed                             bool // something came through the API
}

// workKey is the Redis hash of a work.
type workKey struct {
	expected, processed int
	last                time.Time
	done                bool // toProcessed was called on a multipart work
}

type note struct {
	at              time.Time
	message, source string
}

type notes []note

func (n notes) objects() []object {
	list := []object{}
	for i, m := range n {
		list = append(list, object{"__typename": "WorkMessage", "timestamp": when(m.at), "message": m.message, "sequence": i + 1, "source": m.source})
	}
	return list
}

const maxWorkErrors = 100

func (s *Server) addWork(user *User, args map[string]any) (any, error) {
	connectorID, _ := args["connectorId"].(string)
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.connectors[connectorID]
	if !ok {
		return nil, functional("No connector found with the specified ID")
	}
	now := s.now().Truncate(time.Millisecond)
	id := workID(c.id, now)
	for s.works[id] != nil { // the platform would overwrite; two in a millisecond are ours to keep apart
		now = now.Add(time.Millisecond)
		id = workID(c.id, now)
	}
	name, _ := args["friendlyName"].(string)
	multipart, _ := args["isMultiPartWork"].(bool)
	w := &work{
		id: id, connector: c.id, name: name, userID: user.ID, status: "progress", multipart: multipart,
		timestamp: now, received: now, updated: now, key: &workKey{},
	}
	s.works[id] = w
	s.order = append(s.order, id)
	return s.workObject(w), nil
}

func workID(connector string, at time.Time) string {
	return fmt.Sprintf("work_%s_%s", connector, at.UTC().Format(stamp))
}

// editWork is workEdit: its fields are what is done. None of them fails because
// the work is gone.
func (s *Server) editWork(args map[string]any) (any, error) {
	id, _ := args["id"].(string)
	do := func(f func(args map[string]any)) fieldFunc {
		return func(args map[string]any) (any, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			f(args)
			return id, nil
		}
	}
	return object{
		"__typename": "WorkEditMutations",
		"delete":     do(func(map[string]any) { s.dropWork(id) }),
		"ping": do(func(map[string]any) {
			if w := s.works[id]; w != nil {
				w.updated = s.now()
			}
		}),
		"addExpectations": do(func(args map[string]any) { s.expect(id, number(args["expectations"])) }),
		"reportExpectation": do(func(args map[string]any) {
			e, _ := args["error"].(map[string]any)
			message, _ := e["error"].(string)
			source, _ := e["source"].(string)
			s.report(id, e != nil, message, source)
		}),
		"addDraftContext": do(func(args map[string]any) {
			if w := s.works[id]; w != nil {
				w.draft, _ = args["draftContext"].(string)
			}
		}),
		"toReceived": do(func(args map[string]any) {
			if w := s.works[id]; w != nil {
				w.received, w.status = s.now(), "progress"
				w.messages.add(s.now(), args["message"], "")
			}
		}),
		"toProcessed": do(func(args map[string]any) {
			inError, _ := args["inError"].(bool)
			s.processed(id, args["message"], inError)
		}),
	}, nil
}

func (n *notes) add(at time.Time, message any, source string) {
	if text, _ := message.(string); text != "" {
		*n = append(*n, note{at, text, source})
	}
}

func number(v any) int {
	switch n := v.(type) {
	case int64:
		return int(n)
	case int:
		return n
	case float64:
		return int(n)
	}
	if n, ok := v.(interface{ Int64() (int64, error) }); ok {
		i, _ := n.Int64() // validated as Int
		return int(i)
	}
	return 0
}

func (s *Server) expect(id string, n int) {
	w := s.works[id]
	if w == nil || w.key == nil {
		return // the platform logs a warning
	}
	if !w.processedAt.IsZero() {
		s.addViolation("work", "expectations were added to "+id+" after toProcessed")
	}
	w.key.expected += n
	w.expected += n
	w.updated = s.now()
}

// finished is the rule by which a work is complete.
func (s *Server) finished(k *workKey) bool {
	if s.profile.OldWorks {
		return k.processed == k.expected
	}
	return k.processed >= k.expected
}

// report counts one message as processed.
func (s *Server) report(id string, isError bool, message, source string) {
	w := s.works[id]
	if c := s.connectorOfWork(id); c != nil {
		c.lastReported = id
	}
	if w == nil || w.key == nil {
		return
	}
	w.key.processed++
	w.key.last = s.now()
	if isError && len(w.errors) < maxWorkErrors {
		w.errors = append(w.errors, note{s.now(), message, source})
	}
	if s.finished(w.key) && (!w.multipart || w.key.done) {
		s.complete(w, w.key.processed)
	}
}

func (s *Server) complete(w *work, n int) {
	w.status, w.completed, w.completedAt = "complete", n, s.now()
}

func (s *Server) processed(id string, message any, inError bool) {
	w := s.works[id]
	if w == nil {
		return
	}
	w.processedAt = s.now()
	if inError {
		w.errors.add(s.now(), message, "")
	} else {
		w.messages.add(s.now(), message, "")
	}
	switch {
	case w.key == nil: // ended before: nothing expected is left
		s.complete(w, max(w.completed, 1))
	case w.expected == 0:
		s.complete(w, max(w.key.processed, 1))
	case s.finished(w.key):
		s.complete(w, w.key.processed)
		if s.profile.OldWorks {
			w.key = nil
		}
	default:
		w.key.done = true
	}
}

func (s *Server) dropWork(id string) {
	delete(s.works, id)
	s.order = slices.DeleteFunc(s.order, func(other string) bool { return other == id })
}

// connectorOfWork finds a connector in a work's id, as the platform splits it.
func (s *Server) connectorOfWork(id string) *connector {
	const head = len("work_")
	if len(id) < head+36 {
		return nil
	}
	for cid, c := range s.connectors {
		if len(id) > head+len(cid) && id[head:head+len(cid)] == cid && id[head+len(cid)] == '_' {
			return c
		}
	}
	return nil
}

// newestWorks are the works, newest first. The lock is held.
func (s *Server) newestWorks() []*work {
	list := make([]*work, 0, len(s.order))
	for _, id := range slices.Backward(s.order) {
		list = append(list, s.works[id])
	}
	return list
}
