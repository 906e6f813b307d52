package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"strings"
	"time"
)

// importObject stores the message's object, or says why the platform refuses it.
func (w *Worker) importObject(ctx context.Context, m *checked) (failure string) {
	var o map[string]any
	if err := json.Unmarshal(m.object, &o); err != nil {
		return w.refuse("object", "", "not an object: "+err.Error())
	}
	id, _ := o["id"].(string)
	if reason := w.deny(o); reason != "" {
		return reason
	}
	if len(m.object) > w.opt.MaxObject {
		w.violate("size", id, fmt.Sprintf("%d bytes", len(m.object)))
	}
	for _, v := range w.rules(o) {
		if v.refused {
			return w.refuse(v.rule, id, v.detail)
		}
		w.violate(v.rule, id, v.detail)
	}
	if missing := w.waitForReferences(ctx, o); missing != "" {
		if ctx.Err() != nil {
			return ""
		}
		return w.refuse("missing reference", id, "MISSING_REFERENCE_ERROR: "+missing)
	}
	if rule, reason := w.illegal(o); reason != "" {
		return w.refuse(rule, id, reason)
	}
	w.keep(id, o, m)
	if w.opt.OnObject != nil {
		w.opt.OnObject(Object{ID: id, Work: m.work, JSON: m.object})
	}
	return ""
}

// deny refuses an object on purpose, where Behaviour says so.
func (w *Worker) deny(o map[string]any) (reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, _ := o["type"].(string)
	if kind, ok := o["relationship_type"].(string); ok && w.behave.Refuse[t+" "+kind] != "" {
		t += " " + kind
	}
	reason = w.behave.Refuse[t]
	if most := w.behave.RefuseMost; reason == "" || most > 0 && w.denied[t] >= most {
		return ""
	}
	w.denied[t]++
	w.counts.Refused++
	return reason
}

// Try imports one object as a message of the queue would bring it, and says why
// the platform refuses it, "" when it does not. It needs no broker.
func (w *Worker) Try(ctx context.Context, object []byte) (refusal string) {
	return w.importObject(ctx, &checked{w: w, object: object})
}

// waitForReferences gives references a few tries to come, as a worker does
// while another one imports them.
func (w *Worker) waitForReferences(ctx context.Context, o map[string]any) (missing string) {
	for try := 0; ; try++ {
		if missing = w.unknownReference(o); missing == "" || try == w.opt.MissingRetries {
			return missing
		}
		w.mu.Lock()
		w.counts.Retries++
		w.mu.Unlock()
		// Alone, nothing comes while we wait.
		if w.opt.Parallel > 1 && !sleep(ctx, w.opt.RetryDelay) {
			return missing
		}
	}
}

func (w *Worker) unknownReference(o map[string]any) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	check := &objectCheck{o: o, facts: w.facts}
	for name, value := range check.sentReferences() {
		for _, ref := range value {
			if e, _ := w.store.get(ref); w.store.kindName(e) == "" {
				return name + " " + ref
			}
		}
	}
	return ""
}

// illegal says why the platform refuses an object whose references are known,
// and by which rule.
func (w *Worker) illegal(o map[string]any) (rule, reason string) {
	text := func(key string) string { v, _ := o[key].(string); return v }
	w.mu.Lock()
	defer w.mu.Unlock()
	kind := func(id string) string {
		e, _ := w.store.get(id)
		return w.store.kindName(e)
	}
	check := &objectCheck{o: o, facts: w.facts}
	author, _ := check.sent("createdBy").(string)
	if name := kind(author); name != "" && !strings.HasPrefix(name, "identity") {
		return "creator", "FUNCTIONAL_ERROR: CreatedBy relation must be an Identity entity, not " + name
	}
	if o["type"] != "relationship" {
		return "", ""
	}
	from, to, relation := kind(text("source_ref")), kind(text("target_ref")), text("relationship_type")
	if from == "" || to == "" || w.facts.relations.Accepts(w.facts.version, from, relation, to) {
		return "", ""
	}
	return "relationship", fmt.Sprintf("FUNCTIONAL_ERROR: The relationship type %s is not allowed between %s and %s", relation, from, to)
}

func (w *Worker) keep(id string, o map[string]any, m *checked) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k, _ := w.store.parse(id) // checked before
	e := w.store.entries[k]
	hash := maphash.Bytes(w.store.seed, m.object)
	modified := millis(o["modified"])
	if e.received > 0 {
		w.counts.Again++
		if e.hash == hash {
			w.counts.Repeats++
		}
		if w.opt.Policy && modified < e.modified {
			w.addViolation("older copy", id, fmt.Sprintf("modified %v, a newer one came before", o["modified"]))
		}
	} else {
		w.counts.Distinct++
		t, _ := o["type"].(string)
		w.counts.ByType[t]++
		if t == "relationship" {
			r, _ := o["relationship_type"].(string)
			w.counts.ByRelationship[r]++
		}
	}
	e.received++
	e.hash, e.modified = hash, max(modified, e.modified)
	if check := (&objectCheck{o: o, facts: w.facts}); check.sent("stix_id") != nil {
		e.kind = w.store.kinds.of(kindOf(o)) // else nothing can refer to it by its id
	}
	w.store.entries[k] = e
	w.counts.Objects++
}

func millis(v any) int64 {
	text, _ := v.(string)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0
	}
	return t.UnixMilli()
}
