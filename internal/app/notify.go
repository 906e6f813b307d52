package app

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notify tells the service manager (systemd: Type=notify, WatchdogSec) that the stages have begun, that they still
// tick, and that the stop has begun. It reports nothing about ThreatMatch, the platform or the broker: an outage
// there is no reason for a restart. The returned function ends it. Without a service manager it does nothing.
func (a *app) notify(ctx context.Context) func() {
	a.tell(daemon.SdNotifyReady)
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		a.Log.Warn("no watchdog", "error", err)
	}
	var tick <-chan time.Time
	if every > 0 {
		tick = time.Tick(every / 3)
	}
	stopping := ctx.Done()
	return beside(context.WithoutCancel(ctx), func(ctx context.Context) {
		for {
			select {
			case <-ctx.Done():
				return
			case <-stopping:
				a.tell(daemon.SdNotifyStopping)
				stopping = nil // the drain still ticks
			case <-tick:
				if len(a.control().NotAlive()) == 0 {
					a.tell(daemon.SdNotifyWatchdog)
				}
			}
		}
	})
}

func (a *app) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		a.Log.Warn("the service manager cannot be notified", "state", state, "error", err)
	}
}
