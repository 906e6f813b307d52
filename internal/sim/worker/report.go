package worker

import (
	"maps"
	"slices"
	"strings"
)

// Counts are what the worker saw since the start or Forget.
type Counts struct {
	// Messages received, not counting what the broker gave again.
	Messages int   `json:"messages"`
	Bytes    int64 `json:"bytes"`
	// Redelivered by the broker after an acknowledgement of ours was lost.
	Redelivered int `json:"redelivered"`
	// Objects stored; Distinct ids among them; Again: ids that came once more;
	// Repeats: those of them with the same content.
	Objects  int `json:"objects"`
	Distinct int `json:"distinct"`
	Again    int `json:"again"`
	Repeats  int `json:"repeats"`
	// Refused objects, which the platform reports as errors.
	Refused int `json:"refused"`
	// Retries of objects whose references came late.
	Retries int `json:"retries"`
	// Lost messages: undecodable. DroppedDead: of a work that is not alive.
	// Dropped: on purpose (Behaviour.Drop). WorkGone: imported, of a work deleted.
	Lost        int `json:"lost"`
	DroppedDead int `json:"dropped_dead"`
	Dropped     int `json:"dropped"`
	WorkGone    int `json:"work_gone"`
	// Split: bundles of several objects that were taken apart and queued again.
	Split int `json:"split"`
	// Violations found, refusals among them, and by rule.
	Violations int            `json:"violations"`
	ByRule     map[string]int `json:"by_rule"`
	// Distinct ids by type, and relationships by theirs.
	ByType         map[string]int `json:"by_type"`
	ByRelationship map[string]int `json:"by_relationship"`
}

func newCounts() Counts {
	return Counts{ByRule: map[string]int{}, ByType: map[string]int{}, ByRelationship: map[string]int{}}
}

// Violation is one broken rule.
type Violation struct {
	Rule   string `json:"rule"`
	ID     string `json:"id,omitempty"`
	Detail string `json:"detail"`
}

// keptViolations are told in full; the rest is only counted.
const keptViolations = 1000

// WorkCounts are the messages of one work.
type WorkCounts struct {
	Received int `json:"received"`
	Distinct int `json:"distinct"`
}

type workCount struct {
	received int
	hashes   map[uint64]struct{}
}

func (c *workCount) forget(hash uint64) {
	c.received--
	delete(c.hashes, hash)
}

// arrived counts a message; true when the broker gave one again that was
// worked on before.
func (w *Worker) arrived(m *checked) (again bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.works[m.work]
	if c == nil {
		c = &workCount{hashes: map[uint64]struct{}{}}
		w.works[m.work] = c
	}
	_, known := c.hashes[m.hash]
	if known && m.delivery.Redelivered {
		w.counts.Redelivered++
		return true
	}
	c.hashes[m.hash] = struct{}{}
	c.received++
	w.counts.Messages++
	w.counts.Bytes += int64(len(m.delivery.Body))
	return false
}

func (w *Worker) distinct(work string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.works[work].hashes)
}

func (w *Worker) violate(rule, id, detail string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addViolation(rule, id, detail)
}

// addViolation is violate with the lock held.
func (w *Worker) addViolation(rule, id, detail string) {
	w.counts.Violations++
	w.counts.ByRule[rule]++
	if len(w.found) < keptViolations {
		w.found = append(w.found, Violation{rule, id, detail})
	}
}

func (w *Worker) refuse(rule, id, detail string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts.Refused++
	w.addViolation(rule, id, detail)
	return rule + ": " + detail
}

// Counts are the counts so far.
func (w *Worker) Counts() Counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.counts
	c.ByRule, c.ByType, c.ByRelationship = maps.Clone(c.ByRule), maps.Clone(c.ByType), maps.Clone(c.ByRelationship)
	return c
}

// Violations are the broken rules, the first thousand in full.
func (w *Worker) Violations() []Violation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Violation{}, w.found...)
}

// Works counts the messages of each work; "" are those without one.
func (w *Worker) Works() map[string]WorkCounts {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]WorkCounts{}
	for id, c := range w.works {
		out[id] = WorkCounts{Received: c.received, Distinct: len(c.hashes)}
	}
	return out
}

// Received is how often an object came.
func (w *Worker) Received(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	e, _ := w.store.get(id)
	return int(e.received)
}

// Has reports whether the platform holds an id.
func (w *Worker) Has(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.store.get(id)
	return ok
}

// Missing are the ids of a set that did not come; a threat actor counts as come
// when it came as an intrusion set.
func (w *Worker) Missing(want map[string]struct{}) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	missing := []string{}
	for id := range want {
		e, _ := w.store.get(id)
		if rest, ok := strings.CutPrefix(id, "threat-actor--"); ok && e.received == 0 {
			e, _ = w.store.get("intrusion-set--" + rest)
		}
		if e.received == 0 {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	return missing
}

// kindOf answers the platform's question for an id: the STIX type that it has.
func (w *Worker) kindOf(id string) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.store.get(id); !ok {
		return "", false
	}
	stixType, _, _ := strings.Cut(id, "--")
	return stixType, true
}
