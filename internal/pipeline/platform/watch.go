package platform

import (
	"context"
	"errors"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/logging"
	"threatmatch-connector/internal/opencti"
)

// watch looks for a second writer of the connector's entry on OpenCTI. The echo of
// a ping is always our own, so the entry is read between two pings: shortly after
// one, when the index has it, and right before the next. If it changed in between,
// twice in a row, someone else writes it.
type watch struct {
	base    time.Time // when the entry last changed, read after our last ping; zero: not read
	changes int       // how often in a row it had changed before the next ping
	same    int       // how often in a row it had not
	told    bool      // reported, until the other writer has been silent for a while
	mute    bool      // the user may not read the entry
}

const (
	enough = 2  // this many changes in a row are no coincidence, such as a late index
	silent = 30 // this many looks without a change mean that the other writer is gone
)

var errSecondWriter = errors.New("a second connector runs under this id, or OpenCTI was restored from a backup: " +
	"stop the other one, or give it a connector.id of its own")

// readBase reads the entry after one of our pings.
func (p *Platform) readBase(ctx context.Context) {
	if p.lock(ctx) != nil {
		return
	}
	defer p.unlock()
	if p.pinged {
		p.watch.base = p.stored(ctx).Updated
	}
}

// findWriter reads the entry before a ping. The caller holds the lock.
func (p *Platform) findWriter(ctx context.Context) {
	base := p.watch.base
	if base.IsZero() {
		return
	}
	now := p.stored(ctx)
	switch {
	case now.Updated.IsZero(), now.Reset.After(p.notes.Stamp): // unknown, or the ping will handle the reset
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

// stored reads the entry. It returns the zero value if that fails or is refused,
// because reading must not delay a ping.
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
