package opencti

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"threatmatch-connector/internal/brokertest"
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

const connectorID = "9850490a-4273-429b-95f8-47dacda88fbf"

// platform is a stand-in with a broker, a clock of its own and a client.
type platform struct {
	*Server
	t     *testing.T
	vhost *brokertest.VHost
	http  *http.Client
	now   time.Time
	token string
}

func newPlatform(t *testing.T, o Options) *platform {
	t.Helper()
	p := &platform{t: t, vhost: brokertest.Shared(t).VHost(t), now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), token: ConnectorToken}
	p.http = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	if o.AMQPURL == "" {
		o.AMQPURL = p.vhost.URL()
	}
	o.Clock = func() time.Time { return p.now }
	var err error
	if p.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

type reply struct {
	Status int
	Data   map[string]any
	Errors []struct {
		Message, Name string
		Extensions    struct{ Code string }
	}
}

func (r reply) code() string {
	if len(r.Errors) == 0 {
		return ""
	}
	return r.Errors[0].Extensions.Code
}

func (p *platform) ask(query string, vars map[string]any) reply {
	p.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": vars})
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), "POST", p.URL()+"/graphql", bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+p.token)
	resp, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	out := reply{Status: resp.StatusCode}
	if err := json.Unmarshal(text, &out); err != nil {
		p.t.Fatalf("%v: %s", err, text)
	}
	return out
}

// must asks and expects no error; it returns the value of the one root field.
func (p *platform) must(query string, vars map[string]any) map[string]any {
	p.t.Helper()
	r := p.ask(query, vars)
	if len(r.Errors) > 0 || r.Status != 200 {
		p.t.Fatalf("%s: %d %+v", query, r.Status, r.Errors)
	}
	for _, v := range r.Data {
		o, _ := v.(map[string]any)
		return o
	}
	return nil
}

func (p *platform) register() map[string]any {
	p.t.Helper()
	return p.must(`mutation R($input: RegisterConnectorInput) { registerConnector(input: $input) {
		id connector_state connector_state_timestamp connector_user_id
		config { connection { host vhost use_ssl port user pass } listen push push_routing push_exchange } } }`,
		map[string]any{"input": map[string]any{"id": connectorID, "name": "ThreatMatch", "type": "EXTERNAL_IMPORT",
			"scope": []string{"threatmatch"}, "auto": false, "only_contextual": false, "playbook_compatible": false}})
}

func (p *platform) ping(state string) map[string]any {
	p.t.Helper()
	return p.must(`mutation P($id: ID!, $state: String, $connectorInfo: ConnectorInfoInput) {
		pingConnector(id: $id, state: $state, connectorInfo: $connectorInfo) { id connector_state connector_state_timestamp connector_info { buffering } } }`,
		map[string]any{"id": connectorID, "state": state, "connectorInfo": map[string]any{
			"run_and_terminate": false, "buffering": true, "queue_threshold": 500.0, "queue_messages_size": 0.0}})
}

func (p *platform) add() string {
	p.t.Helper()
	p.now = p.now.Add(time.Second)
	id, _ := p.must(`mutation { workAdd(connectorId: "`+connectorID+`", friendlyName: "run") { id } }`, nil)["id"].(string)
	return id
}

func (p *platform) edit(work, what string) {
	p.t.Helper()
	p.must(`mutation E($id: ID!) { workEdit(id: $id) { `+what+` } }`, map[string]any{"id": work})
}
