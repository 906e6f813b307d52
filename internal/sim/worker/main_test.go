package worker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/sim/opencti"
)

func TestMain(m *testing.M) {
	code := m.Run()
	brokertest.Close()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

const (
	connectorID = "9850490a-4273-429b-95f8-47dacda88fbf"
	userID      = "88ec0c6a-13ce-5e39-b486-354fe4a7084f"
	amber       = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
	author      = "identity--00000000-0000-4000-8000-000000000001"
	malware     = "malware--00000000-0000-4000-8000-000000000002"
	indicator   = "indicator--00000000-0000-4000-8000-000000000003"
	relation    = "relationship--00000000-0000-4000-8000-000000000004"
	bundleID    = "bundle--11111111-1111-4111-8111-111111111111"
)

// rig is a platform with a connector, its queue, and a worker.
type rig struct {
	t        *testing.T
	platform *opencti.Server
	worker   *Worker
	vhost    *brokertest.VHost
	work     string
	seq      int
}

func newRig(t *testing.T, version string, o Options) *rig {
	t.Helper()
	r := &rig{t: t, vhost: brokertest.Shared(t).VHost(t)}
	var err error
	if r.platform, err = opencti.New(opencti.Options{AMQPURL: r.vhost.URL(), Version: version}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.platform.Close)
	if err := r.platform.Connect(connectorID, "ThreatMatch"); err != nil {
		t.Fatal(err)
	}
	o.AMQPURL, o.Platform, o.Look = r.vhost.URL(), r.platform, 10*time.Millisecond
	r.worker = New(o)
	r.worker.Start()
	t.Cleanup(r.worker.Close)
	r.open()
	return r
}

// open starts a work.
func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.work, err = r.platform.OpenWork(connectorID, "run"); err != nil {
		r.t.Fatal(err)
	}
}

// object is a well-formed object with changes: a nil value takes a key away.
func object(stixType, id string, changes map[string]any) map[string]any {
	o := map[string]any{
		"type": stixType, "id": id, "spec_version": "2.1", "name": "Name", "nb_deps": 1,
		"created": "2026-11-01T12:00:00.000Z", "modified": "2026-11-01T12:00:00.000Z",
	}
	for k, v := range changes {
		if v == absent {
			delete(o, k)
		} else {
			o[k] = v
		}
	}
	return o
}

const absent = "\x00absent"

func (r *rig) envelope(o any) map[string]any {
	r.seq++
	content, err := json.Marshal(map[string]any{"type": "bundle", "id": bundleID, "spec_version": "2.1", "x_opencti_seq": 1, "objects": []any{o}})
	if err != nil {
		r.t.Fatal(err)
	}
	return map[string]any{
		"bundle_type": "QUEUE_BUNDLE", "applicant_id": userID, "action_sequence": r.seq, "entities_types": []any{},
		"content": base64.StdEncoding.EncodeToString(content), "update": false, "draft_id": nil, "no_split": false, "work_id": r.work,
	}
}

// send announces and publishes one message.
func (r *rig) send(o any) {
	r.t.Helper()
	r.platform.Expect(r.work, 1)
	body, err := json.Marshal(r.envelope(o))
	if err != nil {
		r.t.Fatal(err)
	}
	r.publish(amqp.Publishing{DeliveryMode: amqp.Persistent, ContentEncoding: "utf-8", Body: body})
}

func (r *rig) publish(p amqp.Publishing) {
	r.t.Helper()
	r.vhost.Channel(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		c, err := ch.PublishWithDeferredConfirm("amqp.worker.exchange", "push_routing_"+connectorID, true, false, p)
		if err != nil {
			return err
		}
		_, err = c.WaitContext(r.t.Context())
		return err
	})
}

// until waits for something that the worker is about to do.
func (r *rig) until(what string, f func(Counts) bool) {
	r.t.Helper()
	for range 1000 {
		if f(r.worker.Counts()) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.t.Fatalf("%s did not happen: %+v %v", what, r.worker.Counts(), r.worker.Violations())
}

// settled waits until n messages were worked on or lost.
func (r *rig) settled(n int) {
	r.t.Helper()
	r.until("settling", func(c Counts) bool {
		return c.Objects+c.Refused+c.Lost+c.DroppedDead+c.Dropped+c.Redelivered >= n && r.vhost.Depth("push_"+connectorID) == 0
	})
}

// content is a bundle's text around a good object, as the envelope carries it.
func content(format string) string {
	o, _ := json.Marshal(object("identity", author, nil)) // plain values only
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, format, o))
}
