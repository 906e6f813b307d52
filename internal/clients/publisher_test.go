package clients

import (
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/internal/delivery"
)

// TestBrokerStateForPeople: a connection that was lost while nothing is to be sent
// is not said to be reconnecting, as nothing tries to.
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
		p.sending.Store(true)
		says("reconnecting")
		p.onState(delivery.StateConnected)
		says("connected")
	})
}

type unwatched struct{}

func (unwatched) Changed(delivery.State)    {}
func (unwatched) Sent(time.Duration, error) {}
