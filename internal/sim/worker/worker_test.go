package worker

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"threatmatch-connector/internal/sim/opencti"
)

// good are objects that the platform takes, in order.
func good() []map[string]any {
	return []map[string]any{
		object("identity", author, map[string]any{"identity_class": "organization"}),
		object("malware", malware, map[string]any{"created_by_ref": author, "object_marking_refs": []any{amber}, "is_family": true}),
		object("indicator", indicator, map[string]any{"created_by_ref": author, "object_marking_refs": []any{amber},
			"pattern": "[ipv4-addr:value = '1.2.3.4']", "pattern_type": "stix", "valid_from": "2026-11-01T12:00:00.000Z", "x_opencti_main_observable_type": "IPv4-Addr"}),
		object("relationship", relation, map[string]any{"name": absent, "created_by_ref": author, "object_marking_refs": []any{amber},
			"relationship_type": "indicates", "source_ref": indicator, "target_ref": malware}),
		object("report", "report--00000000-0000-4000-8000-000000000005", map[string]any{"created_by_ref": author, "object_marking_refs": []any{amber},
			"published": "2026-11-01T12:00:00.000Z", "object_refs": []any{indicator, relation, malware}}),
	}
}

func TestGoodMessages(t *testing.T) {
	r := newRig(t, "newest", Options{Policy: true})
	for _, o := range good() {
		r.send(o)
	}
	r.settled(5)
	c := r.worker.Counts()
	if c.Violations != 0 || c.Distinct != 5 || c.ByType["relationship"] != 1 || c.ByRelationship["indicates"] != 1 {
		t.Errorf("%+v %v", c, r.worker.Violations())
	}
	if w, _ := r.platform.Work(r.work); w.Processed != 5 || w.Expected != 5 || w.Status != "complete" || len(w.Errors) != 0 {
		t.Errorf("work %+v", w)
	}
	if got := r.worker.Works()[r.work]; got != (WorkCounts{5, 5}) {
		t.Errorf("work counts %+v", got)
	}
	want := map[string]struct{}{malware: {}, "threat-actor--00000000-0000-4000-8000-000000000009": {}}
	if missing := r.worker.Missing(want); len(missing) != 1 || !strings.HasPrefix(missing[0], "threat-actor") {
		t.Errorf("missing %v", missing)
	}
	r.send(object("intrusion-set", "intrusion-set--00000000-0000-4000-8000-000000000009", map[string]any{"created_by_ref": author, "object_marking_refs": []any{amber}}))
	r.send(good()[1])
	r.settled(7)
	if missing := r.worker.Missing(want); len(missing) != 0 || r.worker.Received(malware) != 2 || !r.worker.Has(amber) {
		t.Errorf("missing %v", missing)
	}
	if c := r.worker.Counts(); c.Again != 1 || c.Repeats != 1 {
		t.Errorf("again %d, repeats %d", c.Again, c.Repeats)
	}
}

// TestWrongObjects sends one broken object at a time.
func TestWrongObjects(t *testing.T) {
	const fresh = "malware--00000000-0000-4000-8000-00000000000a"
	m := func(changes map[string]any) map[string]any { return object("malware", fresh, changes) }
	rel := func(changes map[string]any) map[string]any {
		o := good()[3]
		o["id"] = "relationship--00000000-0000-4000-8000-00000000000b"
		for k, v := range changes {
			o[k] = v
		}
		return o
	}
	ind := func(changes map[string]any) map[string]any {
		o := good()[2]
		o["id"] = "indicator--00000000-0000-4000-8000-00000000000c"
		for k, v := range changes {
			o[k] = v
		}
		return o
	}
	const unknown = "tool--00000000-0000-4000-8000-0000000000ff"
	rows := []struct {
		rule    string
		refused bool
		o       any
	}{
		{"object", true, "text"},
		{"object", true, m(map[string]any{"error": "no"})},
		{"type of value", true, m(map[string]any{"id": "malware--7"})},
		{"type of value", true, m(map[string]any{"id": strings.ToUpper(fresh)})},
		{"id", false, m(map[string]any{"type": "tool"})},
		{"type", true, object("x-foo", "x-foo--00000000-0000-4000-8000-00000000000a", nil)},
		{"type", true, object("language-content", "language-content--00000000-0000-4000-8000-00000000000a", nil)},
		{"required", true, m(map[string]any{"name": " "})},
		{"required", true, object("report", "report--00000000-0000-4000-8000-00000000000a", nil)},
		{"required", true, ind(map[string]any{"pattern_type": nil})},
		{"required", true, object("note", "note--00000000-0000-4000-8000-00000000000a", nil)},
		{"required", true, object("sighting", "sighting--00000000-0000-4000-8000-00000000000a", map[string]any{"sighting_of_ref": malware})},
		{"required", true, object("marking-definition", "marking-definition--00000000-0000-4000-8000-00000000000a", map[string]any{"name": absent, "definition_type": "tlp"})},
		{"null", false, m(map[string]any{"description": nil})},
		{"null", false, m(map[string]any{"extensions": map[string]any{"a": []any{map[string]any{"b": nil}}}})},
		{"creator", true, m(map[string]any{"created_by_ref": malware})},
		{"missing reference", true, m(map[string]any{"created_by_ref": "nobody"})},
		{"reference", false, m(map[string]any{"object_marking_refs": []any{author}})},
		{"reference", false, m(map[string]any{"sample_refs": []any{"x-foo--00000000-0000-4000-8000-00000000000a"}})},
		{"reference", false, m(map[string]any{"sample_refs": []any{fresh}})},
		{"missing reference", true, m(map[string]any{"sample_refs": "text"})},
		{"reference", false, m(map[string]any{"object_marking_refs": []any{amber, amber}})},
		{"missing reference", true, m(map[string]any{"sample_refs": []any{unknown}})},
		{"missing reference", true, rel(map[string]any{"target_ref": unknown})},
		{"relationship", true, rel(map[string]any{"relationship_type": "associated_content"})},
		{"relationship", true, rel(map[string]any{"source_ref": malware, "target_ref": indicator})},
		{"time", true, rel(map[string]any{"start_time": "2026-11-02T00:00:00.000Z", "stop_time": "2026-11-01T00:00:00.000Z"})},
		{"type of value", true, m(map[string]any{"first_seen": "yesterday"})},
		{"time", true, ind(map[string]any{"valid_until": "2020-01-01T00:00:00.000Z"})},
		{"pattern", true, ind(map[string]any{"pattern": "[ipv4-addr:value = '1.2.3.4'"})},
		{"pattern", true, ind(map[string]any{"pattern": "ipv4-addr:value = '1.2.3.4'"})},
		{"observable type", true, ind(map[string]any{"x_opencti_main_observable_type": "ipv4-addr"})},
		{"range", true, ind(map[string]any{"x_opencti_score": 101})},
		{"type of value", true, m(map[string]any{"confidence": "high"})},
		{"empty list", false, m(map[string]any{"labels": []any{}})},
		{"object_refs", false, m(map[string]any{"object_refs": []any{malware}})},
		{"spec_version", false, m(map[string]any{"spec_version": absent})},
		{"nb_deps", false, m(map[string]any{"nb_deps": absent})},
		{"duplicate", false, m(map[string]any{"external_references": []any{map[string]any{"source_name": "a", "external_id": "1"}, map[string]any{"source_name": "a", "external_id": "1"}}})},
		{"duplicate", false, m(map[string]any{"kill_chain_phases": []any{map[string]any{"kill_chain_name": "a", "phase_name": "1"}, map[string]any{"kill_chain_name": "a", "phase_name": "1"}}})},
		{"size", false, m(map[string]any{"description": strings.Repeat("x", 5000)})},
		{"author", false, m(map[string]any{"object_marking_refs": []any{amber}})},
		{"marking", false, m(map[string]any{"created_by_ref": author})},
	}
	r := newRig(t, "newest", Options{Policy: true, MaxObject: 4000, RetryDelay: time.Millisecond})
	for _, o := range good() {
		r.send(o)
	}
	r.settled(5)
	for i, row := range rows {
		before := r.worker.Counts()
		workBefore, _ := r.platform.Work(r.work)
		r.send(row.o)
		r.settled(6 + i)
		after := r.worker.Counts()
		if after.ByRule[row.rule] != before.ByRule[row.rule]+1 {
			found := r.worker.Violations()
			t.Errorf("row %d, %s: %v", i, row.rule, found[min(len(found), before.Violations):])
		}
		if refused := after.Refused > before.Refused; refused != row.refused {
			t.Errorf("row %d, %s: refused %v", i, row.rule, refused)
		}
		if w, _ := r.platform.Work(r.work); row.refused != (len(w.Errors) > len(workBefore.Errors)) {
			t.Errorf("row %d, %s: errors of the work %v", i, row.rule, w.Errors)
		}
	}
	r.send(m(map[string]any{"created_by_ref": author, "object_marking_refs": []any{amber}, "modified": "2020-01-01T00:00:00.000Z"}))
	r.settled(6 + len(rows))
	if r.worker.Counts().ByRule["older copy"] != 1 {
		t.Errorf("an older copy after a newer one was not seen")
	}
}

// TestWrongMessages sends one broken envelope at a time.
func TestWrongMessages(t *testing.T) {
	plain := amqp.Publishing{DeliveryMode: amqp.Persistent, ContentEncoding: "utf-8"}
	rows := []struct {
		rule   string
		lost   bool
		change func(env map[string]any, p *amqp.Publishing)
	}{
		{"properties", false, func(_ map[string]any, p *amqp.Publishing) { p.DeliveryMode = amqp.Transient }},
		{"properties", false, func(_ map[string]any, p *amqp.Publishing) { p.ContentEncoding = "" }},
		{"properties", false, func(_ map[string]any, p *amqp.Publishing) { p.Priority = 3 }},
		{"envelope", false, func(env map[string]any, _ *amqp.Publishing) { env["bundle_type"] = "BUNDLE" }},
		{"envelope", false, func(env map[string]any, _ *amqp.Publishing) { env["applicant_id"] = "someone" }},
		{"envelope", false, func(env map[string]any, _ *amqp.Publishing) { delete(env, "action_sequence") }},
		{"envelope", false, func(env map[string]any, _ *amqp.Publishing) { env["entities_types"] = nil }},
		{"envelope", false, func(env map[string]any, _ *amqp.Publishing) { delete(env, "update") }},
		{"envelope", false, func(env map[string]any, _ *amqp.Publishing) { env["draft_id"] = "d" }},
		{"envelope", false, func(env map[string]any, _ *amqp.Publishing) { env["type"] = "bundle" }},
		{"work", false, func(env map[string]any, _ *amqp.Publishing) { delete(env, "work_id") }},
		{"bundle", false, func(env map[string]any, _ *amqp.Publishing) {
			env["content"] = content(`{"type":"bundle","id":"x","spec_version":"2.1","x_opencti_seq":1,"objects":[%s]}`)
		}},
		{"bundle", false, func(env map[string]any, _ *amqp.Publishing) {
			env["content"] = content(`{"type":"bundle","id":"` + bundleID + `","spec_version":"2.1","objects":[%s]}`)
		}},
		{"bundle", false, func(env map[string]any, _ *amqp.Publishing) {
			env["content"] = content(`{"type":"bundle","id":"` + bundleID + `","spec_version":"2.1","x_opencti_seq":1,"objects":[%s,%[1]s]}`)
		}},
		{"undecodable", true, func(env map[string]any, _ *amqp.Publishing) {
			env["content"] = content(`{"type":"bundle","objects":[]}`)
		}},
		{"undecodable", true, func(env map[string]any, _ *amqp.Publishing) { env["content"] = "e30" }},
		{"undecodable", true, func(env map[string]any, _ *amqp.Publishing) { env["content"] = "_-==" }},
		{"undecodable", true, func(env map[string]any, _ *amqp.Publishing) { env["content"] = "bm90IEpTT04=" }},
		{"undecodable", true, func(env map[string]any, _ *amqp.Publishing) { env["content"] = 7 }},
	}
	r := newRig(t, "newest", Options{})
	for i, row := range rows {
		before := r.worker.Counts()
		r.platform.Expect(r.work, 1)
		env, p := r.envelope(good()[0]), plain
		row.change(env, &p)
		p.Body, _ = json.Marshal(env)
		r.publish(p)
		r.settled(i + 1)
		after := r.worker.Counts()
		if after.ByRule[row.rule] != before.ByRule[row.rule]+1 || (after.Lost > before.Lost) != row.lost {
			t.Errorf("row %d, %s: %+v", i, row.rule, r.worker.Violations()[before.Violations:])
		}
	}
	// A message that nobody announced.
	r.open()
	body, _ := json.Marshal(r.envelope(good()[0]))
	r.publish(amqp.Publishing{DeliveryMode: amqp.Persistent, ContentEncoding: "utf-8", Body: body})
	r.settled(len(rows) + 1)
	if r.worker.Counts().ByRule["unannounced"] != 1 {
		t.Errorf("an unannounced message was not seen: %v", r.worker.Counts().ByRule)
	}
}

func TestLateReferenceIsRetried(t *testing.T) {
	r := newRig(t, "newest", Options{Parallel: 2, Prefetch: 1, RetryDelay: 500 * time.Millisecond})
	o := good()
	r.send(o[1])
	r.until("a retry", func(c Counts) bool { return c.Retries > 0 })
	r.send(o[0])
	r.settled(2)
	if c := r.worker.Counts(); c.Refused != 0 || c.Objects != 2 {
		t.Errorf("%+v", c)
	}
}

func TestDeadWorks(t *testing.T) {
	for _, version := range opencti.ProfileNames() {
		r := newRig(t, version, Options{})
		r.worker.Behave(Behaviour{Paused: true})
		r.send(good()[0])
		r.platform.DeleteWork(r.work)
		r.worker.Behave(Behaviour{})
		r.settled(1)
		c := r.worker.Counts()
		if drops := r.platform.Profile().DropDead; (c.DroppedDead == 1) != drops || (c.WorkGone == 1) == drops {
			t.Errorf("%s: %+v", version, c)
		}
	}
}

func TestBehaviour(t *testing.T) {
	r := newRig(t, "newest", Options{})
	r.worker.Behave(Behaviour{Paused: true})
	r.until("the pause", func(Counts) bool { return r.worker.Consuming() == 0 })
	r.send(good()[0])
	if n := r.vhost.Depth("push_" + connectorID); n != 1 {
		t.Errorf("paused: %d messages in the queue", n)
	}
	r.worker.Behave(Behaviour{Drop: true})
	r.settled(1)
	if w, _ := r.platform.Work(r.work); w.Processed != 0 || w.Status != "progress" {
		t.Errorf("dropped: %+v", w)
	}
}

// TestConnectionLost shows that the worker comes back by itself and does not
// count what the broker gives twice.
func TestConnectionLost(t *testing.T) {
	r := newRig(t, "newest", Options{Delay: time.Millisecond})
	const total = 60
	for i := range total {
		r.send(object("malware", fmt.Sprintf("malware--00000000-0000-4000-8000-%012d", i), nil))
		if i == total/2 {
			r.vhost.CloseConnections()
		}
	}
	r.until("all to arrive", func(c Counts) bool { return c.Distinct == total })
	if c := r.worker.Counts(); c.Again != 0 || c.Violations != 0 {
		t.Errorf("%+v", c)
	}
}
