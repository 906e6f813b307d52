package worker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"threatmatch-connector/internal/sim/opencti"
)

// FuzzMessage gives the worker arbitrary bodies and arbitrary objects in whole
// bodies: each is stored, refused or counted as lost.
func FuzzMessage(f *testing.F) {
	for _, o := range good() {
		text, _ := json.Marshal(o) // plain values only
		f.Add(text, true)
	}
	f.Add([]byte(`{"bundle_type":"QUEUE_BUNDLE","content":"e30="}`), false)
	f.Add([]byte(`{"type":"malware","id":"malware--00000000-0000-4000-8000-000000000002","a_refs":[[null,{}],7],"b_ref":{},"external_references":[3]}`), true)
	p, err := opencti.New(opencti.Options{AMQPURL: "amqp://guest:guest@127.0.0.1:1/"})
	if err != nil {
		f.Fatal(err)
	}
	w := New(Options{AMQPURL: "amqp://guest:guest@127.0.0.1:1/", Platform: p, Policy: true})
	f.Fuzz(func(t *testing.T, text []byte, wrap bool) {
		body := text
		if wrap {
			bundle := fmt.Appendf(nil, `{"type":"bundle","id":%q,"spec_version":"2.1","x_opencti_seq":1,"objects":[%s]}`, bundleID, text)
			body = []byte(`{"bundle_type":"QUEUE_BUNDLE","applicant_id":"u","action_sequence":1,"entities_types":[],"update":false,"draft_id":null,"content":` +
				strconv.Quote(base64.StdEncoding.EncodeToString(bundle)) + `}`)
		}
		before := w.Counts()
		ok := w.message(t.Context(), opencti.Queue{Connector: "c", UserID: "u"}, amqp.Delivery{Body: body, DeliveryMode: amqp.Persistent, ContentEncoding: "utf-8"}, func([]byte) error { return nil })
		after := w.Counts()
		done := (after.Objects - before.Objects) + (after.Refused - before.Refused) + (after.Lost - before.Lost)
		if done != 1 || ok != (after.Lost == before.Lost) {
			t.Errorf("%s: stored %d, refused %d, lost %d", body, after.Objects-before.Objects, after.Refused-before.Refused, after.Lost-before.Lost)
		}
	})
}
