package clients

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/opencti"
)

// TestBrokerStateForPeople: a lost connection is not called reconnecting while nothing is to be sent, since nothing
// tries to reconnect.
func TestBrokerStateForPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Publisher{watcher: unwatched{}, clock: time.Now}
		says := func(want string) {
			t.Helper()
			if got := p.State(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		says("not connected, as nothing was to be sent yet")
		p.tried.Store(true)
		p.onState(delivery.StateConnected)
		says("connected")
		p.onState(delivery.StateReconnecting)
		time.Sleep(time.Hour)
		p.onState(delivery.StateReconnecting)
		says("not connected (lost at 2000-01-01 00:00:00Z); connects with the next message")
		p.failed.Store(true)
		says("not connected (lost at 2000-01-01 00:00:00Z); trying again")
		p.sending.Store(true)
		says("reconnecting")
		p.onState(delivery.StateConnected)
		says("connected")
	})
}

type unwatched struct{}

func (unwatched) Changed(delivery.State)    {}
func (unwatched) Sent(time.Duration, error) {}

// TestTLSIsNotLeftOut: a setting that names a file for TLS asks for TLS; a broker without TLS behind an OpenCTI with
// https is warned of once.
func TestTLSIsNotLeftOut(t *testing.T) {
	load := func(more ...string) *config.Config {
		t.Helper()
		cfg, _, err := config.Load(config.Options{Dir: t.TempDir(), Now: time.Now(), Environ: append([]string{
			"OPENCTI_URL=https://opencti", "OPENCTI_TOKEN=token", "THREATMATCH_URL=https://threatmatch", "THREATMATCH_CLIENT_ID=id",
			"THREATMATCH_CLIENT_SECRET=secret", "CONNECTOR_ID=11111111-2222-4333-8444-555555555555",
		}, more...)})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	const pem = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----"
	for name, tt := range map[string]struct {
		env  []string
		want bool
	}{
		"nothing":     {nil, false},
		"on":          {[]string{"MQ_USE_SSL=true"}, true},
		"authority":   {[]string{"MQ_USE_SSL_CA=" + pem}, true},
		"passphrase":  {[]string{"MQ_USE_SSL_PASSPHRASE=x"}, true},
		"off":         {[]string{"MQ_USE_SSL=false"}, false},
		"only a port": {[]string{"MQ_PORT=5671"}, false},
	} {
		if got := BrokerTLS(load(tt.env...).MQ).Required; got != tt.want {
			t.Errorf("%s: TLS required %v, want %v", name, got, tt.want)
		}
	}
	var out bytes.Buffer
	p, err := NewPublisher(load(), slog.New(slog.NewTextHandler(&out, nil)), time.Now, unwatched{})
	if err != nil {
		t.Fatal(err)
	}
	p.SetBroker(opencti.Broker{Host: "mq", Port: 5671, UseTLS: true, User: "u", Password: "hidden"})
	if out.Len() > 0 {
		t.Errorf("a broker with TLS: %s", &out)
	}
	for range 2 {
		p.SetBroker(opencti.Broker{Host: "mq", Port: 5672, User: "u", Password: "hidden"})
	}
	if got := out.String(); strings.Count(got, "in clear") != 1 || strings.Contains(got, "hidden") {
		t.Errorf("got %q, want one warning without the password", got)
	}
}
