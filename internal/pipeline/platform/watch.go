package platform

import (
	"context"
	"errors"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/logging"
	"threatmatch-connector/internal/opencti"
)

// watch looks for a second writer of the connector's entry on OpenCTI. The echo
// of a ping is always one's own, so the entry is read between two pings: a
// little after one, when the index has it, and right before the next. If it
// changed in between, twice in a row, somebody else writes it.
type watch struct {
	base    time.Time // the entry's time of change after our last ping; zero: not read
	changes int       // how often in a row it was another one before the next ping
	same    int       // how often in a row it was not
	told    bool      // until the other writer was silent for a while
	mute    bool      // the user may not read the entry
}

const (
	enough = 2  // changes in a row are no coincidence, such as a late index
	silent = 30 // looks without a change mean that the other writer is gone
)

var errSecondWriter = errors.New("a second connector runs under this id, or OpenCTI was restored from a backup: " +
	"stop the other one, or give it a connector.id of its own")

// readBase reads the entry after a ping of ours.
func (p *Platform) readBase(ctx context.Context) {
	if p.lock(ctx) != nil {
		return
	}
	defer p.unlock()
	if p.pinged {
		p.watch.base = p.stored(ctx).Updated
	}
}

// findWriter reads the entry before a ping. The caller holds the token.
func (p *Platform) findWriter(ctx context.Context) {
	base := p.watch.base
	if base.IsZero() {
		return
	}
	now := p.stored(ctx)
	switch {
	case now.Updated.IsZero(), now.Reset.After(p.notes.Stamp): // unknown; the ping handles the reset
		return
	case now.Updated.Equal(base):
		p.watch.changes = 0
		p.watch.same++
		p.watch.told = p.watch.told && p.watch.same < silent
		return
	}
	p.watch.same = 0
	if p.watch.changes++; p.watch.changes < enough || p.watch.told {
		return
	}
	p.watch.told = true
	p.Log.Error("somebody else writes this connector's entry on OpenCTI", "stage", stageName, "hint", errSecondWriter.Error())
	p.Status.Error(stageName, errSecondWriter)
}

// stored reads the entry; the zero value where that fails or is refused, which
// must not delay a ping.
func (p *Platform) stored(ctx context.Context) opencti.Stored {
	if p.watch.mute {
		return opencti.Stored{}
	}
	s, err := p.Client.Stored(ctx)
	if opencti.IsForbidden(err) {
		p.watch.mute = true
		p.Log.Log(ctx, logging.LevelNotice, "the connector's user may not read connectors (capability MODULES): a second connector under this id would go unnoticed",
			"stage", stageName, "hint", fault.HintOf(err))
	}
	return s
}
