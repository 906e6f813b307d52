package worker

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"threatmatch-connector/internal/sim/opencti"
)

// envelope is a message's body. Pointers tell absent from null and zero.
type envelope struct {
	BundleType    string          `json:"bundle_type"`
	ApplicantID   string          `json:"applicant_id"`
	Sequence      *int            `json:"action_sequence"`
	EntitiesTypes json.RawMessage `json:"entities_types"`
	Content       string          `json:"content"`
	Update        *bool           `json:"update"`
	DraftID       *string         `json:"draft_id"`
	NoSplit       *bool           `json:"no_split"`
	WorkID        *string         `json:"work_id"`
	// Type is "bundle" where the platform or a worker made the message.
	Type string `json:"type"`
}

type bundle struct {
	Type        string            `json:"type"`
	ID          string            `json:"id"`
	SpecVersion string            `json:"spec_version"`
	Seq         *int              `json:"x_opencti_seq"`
	Objects     []json.RawMessage `json:"objects"`
}

// message checks one message and imports what is in it, or takes a bundle apart and
// puts its parts into the queue. False: a real worker would have lost it.
func (w *Worker) message(ctx context.Context, q opencti.Queue, d amqp.Delivery, requeue func(body []byte) error) bool {
	m := &checked{w: w, queue: q, delivery: d}
	if !m.decode() {
		return false
	}
	unsplit := m.unsplit()
	if again := !unsplit && w.arrived(m); again {
		return true // the broker gave it twice: our acknowledgement was lost
	}
	if m.work != "" && w.opt.Platform.Profile().DropDead && !w.opt.Platform.WorkAlive(m.work) {
		w.mu.Lock()
		w.counts.DroppedDead++
		w.mu.Unlock()
		return true
	}
	if unsplit {
		return w.split(m, requeue)
	}
	if !m.platforms() {
		m.envelopeRules()
	}
	m.workRules()
	failure := w.importObject(ctx, m)
	if ctx.Err() != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.works[m.work].forget(m.hash)
		return true
	}
	if m.work != "" {
		source := string(m.object)
		if len(source) >= maxSource {
			source = "Bundle too large"
		}
		w.opt.Platform.Report(m.work, failure, source)
	}
	return true
}

// maxSource is how large an object is that a worker reports with an error.
const maxSource = 50_000

// checked is one message on its way through the checks.
type checked struct {
	w        *Worker
	queue    opencti.Queue
	delivery amqp.Delivery
	env      envelope
	bundle   bundle
	content  []byte
	object   []byte
	work     string
	hash     uint64
}

// decode reads body, base64 and bundle. What fails here is lost in a real worker.
func (m *checked) decode() bool {
	lost := func(format string, args ...any) bool {
		m.w.violate("undecodable", "", fmt.Sprintf(format, args...))
		m.w.mu.Lock()
		m.w.counts.Lost++
		m.w.mu.Unlock()
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(m.delivery.Body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m.env); err != nil {
		if strings.HasPrefix(err.Error(), "json: unknown field") {
			m.w.violate("envelope", "", err.Error())
			err = json.Unmarshal(m.delivery.Body, &m.env)
		}
		if err != nil {
			return lost("body: %v", err)
		}
	}
	content, err := base64.StdEncoding.Strict().DecodeString(m.env.Content)
	if err != nil {
		return lost("content: %v", err)
	}
	if err := json.Unmarshal(content, &m.bundle); err != nil {
		return lost("bundle: %v", err)
	}
	if len(m.bundle.Objects) == 0 {
		return lost("bundle without objects")
	}
	m.content, m.object = content, m.bundle.Objects[0]
	if m.env.WorkID != nil {
		m.work = *m.env.WorkID
	}
	m.hash = maphash.Bytes(m.w.store.seed, m.delivery.Body)
	return true
}

// envelopeRules are what surrounds the object.
func (m *checked) envelopeRules() {
	bad := func(wrong bool, rule, format string, args ...any) {
		if wrong {
			m.w.violate(rule, "", fmt.Sprintf(format, args...))
		}
	}
	d, e, b := &m.delivery, &m.env, &m.bundle
	bad(d.DeliveryMode != amqp.Persistent, "properties", "delivery mode %d", d.DeliveryMode)
	bad(d.ContentEncoding != "utf-8", "properties", "content encoding %q", d.ContentEncoding)
	bad(d.Priority != 0 || d.Expiration != "", "properties", "priority %d, expiration %q", d.Priority, d.Expiration)
	bad(e.Type != "", "envelope", "type %q", e.Type)
	bad(e.BundleType != "QUEUE_BUNDLE", "envelope", "bundle_type %q", e.BundleType)
	bad(e.ApplicantID != m.queue.UserID, "envelope", "applicant_id %q, the connector's user is %q", e.ApplicantID, m.queue.UserID)
	bad(e.Sequence == nil || *e.Sequence < 1, "envelope", "action_sequence is missing or below 1")
	bad(string(e.EntitiesTypes) != "[]", "envelope", "entities_types is %s", e.EntitiesTypes)
	bad(e.Update == nil, "envelope", "update is missing")
	bad(e.DraftID != nil, "envelope", "draft_id is set")
	bad(e.NoSplit != nil && *e.NoSplit && len(b.Objects) > 1, "envelope", "several objects with no_split")
	bad(len(b.Objects) != 1, "bundle", "%d objects", len(b.Objects))
	bad(b.Type != "bundle" || b.SpecVersion != "2.1", "bundle", "type %q, spec_version %q", b.Type, b.SpecVersion)
	bad(!strings.HasPrefix(b.ID, "bundle--") || !isUUID(strings.TrimPrefix(b.ID, "bundle--")), "bundle", "id %q", b.ID)
	bad(b.Seq == nil, "bundle", "x_opencti_seq is missing")
}

// workRules are what the message's work must be like.
func (m *checked) workRules() {
	bad := func(wrong bool, rule, format string, args ...any) {
		if wrong {
			m.w.violate(rule, "", fmt.Sprintf(format, args...))
		}
	}
	bad(m.work == "" && !m.w.opt.NoWorks, "work", "no work_id")
	if m.work == "" {
		return
	}
	if work, ok := m.w.opt.Platform.Work(m.work); ok {
		distinct := m.w.distinct(m.work)
		bad(distinct > work.Expected && work.Alive, "unannounced", "%d distinct messages of %s, %d announced", distinct, m.work, work.Expected)
		bad(work.Connector != m.queue.Connector, "work", "%s is not of this connector", m.work)
	} else {
		m.w.mu.Lock()
		m.w.counts.WorkGone++
		m.w.mu.Unlock()
	}
}
