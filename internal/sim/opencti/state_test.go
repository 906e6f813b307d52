package opencti

import (
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"threatmatch-connector/internal/sim/faults"
)

func TestRegisterDeclares(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		p := newPlatform(t, Options{QueuePrefix: "pre", QueueType: kind})
		got := p.register()
		config := got["config"].(map[string]any)
		conn := config["connection"].(map[string]any)
		if conn["vhost"] != p.vhost.Name || conn["pass"] != p.vhost.Password || conn["port"] != float64(p.vhost.Node.Port) {
			t.Errorf("connection %v", conn)
		}
		if got["connector_state"] != nil || config["push"] != "pre_push_"+connectorID || config["push_exchange"] != "pre_amqp.worker.exchange" {
			t.Errorf("register: %v", got)
		}
		p.vhost.Channel(func(ch *amqp.Channel) error {
			return ch.PublishWithContext(t.Context(), config["push_exchange"].(string), config["push_routing"].(string), true, false, amqp.Publishing{Body: []byte("x")})
		})
		for range 200 {
			if p.vhost.Depth(config["push"].(string)) == 1 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		details := p.must(`{ connector(id: "`+connectorID+`") { connector_queue_details { messages_number messages_size } } }`, nil)["connector_queue_details"].(map[string]any)
		if details["messages_number"] != 1.0 || details["messages_size"] != 2000.0 {
			t.Errorf("queue %v", details)
		}
		p.vhost.DeleteQueue(config["push"].(string))
		p.ping("null")
		if n := p.vhost.Depth(config["push"].(string)); n != 0 {
			t.Errorf("after the queue was deleted and a ping: %d messages", n)
		}
	}
}

func TestStateAndReset(t *testing.T) {
	p := newPlatform(t, Options{})
	first := p.register()["connector_state_timestamp"]
	const a, b = `{"last_run": "2026-11-01T10:00:00+00:00"}`, `{"last_run": "2026-11-01T11:00:00+00:00"}`
	if got := p.ping(a); got["connector_state"] != a || got["connector_info"].(map[string]any)["buffering"] != true {
		t.Errorf("ping: %v", got)
	}
	if got := p.register(); got["connector_state"] != a {
		t.Errorf("register keeps the state: %v", got)
	}
	if err := p.Reset(connectorID); err != nil {
		t.Fatal(err)
	}
	if got := p.register(); got["connector_state"] != "" {
		t.Errorf("register after a reset: %v", got)
	}
	if got := p.ping(a); got["connector_state"] != "" || got["connector_state_timestamp"] == first {
		t.Errorf("the first ping after a reset is ignored: %v", got)
	}
	if got := p.ping(b); got["connector_state"] != b || p.ConnectorState(connectorID) != b {
		t.Errorf("the second is not: %v", got)
	}
	p.StaleEcho(1)
	if got := p.ping(a); got["connector_state"] != b || p.ConnectorState(connectorID) != a {
		t.Errorf("stale echo: %v, stored %v", got, p.ConnectorState(connectorID))
	}
	p.EmptyEcho(1)
	if got := p.ping(b); got["connector_state"] != "" || p.ConnectorState(connectorID) != b {
		t.Errorf("empty echo: %v, stored %v", got, p.ConnectorState(connectorID))
	}
	p.ping("not JSON")
	c, _ := p.Connector(connectorID)
	if v := p.Stats().Violations; len(v) != 1 || v[0].Rule != "state" || len(c.Pings) != 6 || c.Registered != 3 {
		t.Errorf("violations %v, %d pings, registered %d", v, len(c.Pings), c.Registered)
	}
}

func TestResetPurges(t *testing.T) {
	p := newPlatform(t, Options{})
	config := p.register()["config"].(map[string]any)
	p.vhost.Channel(func(ch *amqp.Channel) error {
		return ch.PublishWithContext(t.Context(), config["push_exchange"].(string), config["push_routing"].(string), true, false, amqp.Publishing{Body: []byte("x")})
	})
	for range 200 {
		if p.vhost.Depth(config["push"].(string)) == 1 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.token = AdminToken
	p.must(`mutation { resetStateConnector(id: "`+connectorID+`") { id } }`, nil)
	if n := p.vhost.Depth(config["push"].(string)); n != 0 {
		t.Errorf("%d messages after a reset", n)
	}
	p.must(`mutation { deleteConnector(id: "`+connectorID+`") }`, nil)
	if v := p.Stats().Violations; len(v) != 1 || v[0].Rule != "destructive" {
		t.Errorf("violations %v", v)
	}
	if got := p.ask(`mutation { pingConnector(id: "`+connectorID+`") { id } }`, nil); got.code() != "FUNCTIONAL_ERROR" {
		t.Errorf("ping of a deleted connector: %v", got)
	}
}

func TestBrokerDown(t *testing.T) {
	p := newPlatform(t, Options{AMQPURL: "amqp://guest:guest@127.0.0.1:1/"})
	got := p.ask(`mutation { registerConnector(input: {id: "x", name: "TM", type: EXTERNAL_IMPORT}) { id } }`, nil)
	if got.code() != "INTERNAL_SERVER_ERROR" {
		t.Errorf("register without a broker: %v", got)
	}
	if err := p.SetBroker(p.vhost.URL()); err != nil {
		t.Fatal(err)
	}
	p.register()
}

func TestFaultsByRoute(t *testing.T) {
	p := newPlatform(t, Options{})
	p.register()
	lost := faults.Must("database")
	lost.Route, lost.Times = "workEdit.addExpectations", 1
	p.SetFault(lost)
	id := p.add()
	if got := p.ask(`mutation { workEdit(id: "`+id+`") { addExpectations(expectations: 2) } }`, nil); got.code() != "DATABASE_ERROR" {
		t.Errorf("fault: %v", got)
	}
	p.edit(id, "addExpectations(expectations: 3)")
	if w, _ := p.Work(id); w.Expected != 3 {
		t.Errorf("expected %d", w.Expected)
	}
	s := p.Stats()
	if s.Mutations["workEdit.addExpectations"] != 1 || s.Requests["workEdit.addExpectations"] != 2 || s.Mutations["workAdd"] != 1 {
		t.Errorf("stats %+v", s)
	}
	lost = faults.Must("lost")
	lost.Route = "workEdit.addExpectations"
	p.SetFault(lost)
	if _, err := p.http.Post(p.URL()+"/graphql", "application/json", strings.NewReader(`{"query":"mutation { workEdit(id: \"x\") { addExpectations(expectations: 1) } }"}`)); err == nil {
		t.Error("a lost answer arrived")
	}
	if !strings.HasPrefix(id, "work_"+connectorID+"_2026-11-01T12:00:01.000Z") {
		t.Errorf("work id %s", id)
	}
}
