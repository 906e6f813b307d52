package fetch

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"threatmatch-connector/spool"
)

const (
	// roomPoll is how often a stage that is paused for lack of room looks again.
	roomPoll = time.Second
	// roomLeft is kept free below the file's cap for map and deliver.
	roomLeft = 256 << 20
)

// withinRoom limits the tasks to what the spool has room for. Above the limit that
// is none, until less than four fifths are in use. If nothing else can make room,
// it is one task at a time, down to what the other stages need.
func (f *Stage) withinRoom(tasks []spool.Task) ([]spool.Task, time.Duration, error) {
	room := f.Spool.Room()
	switch {
	case room.Live > room.Max || room.Short:
		f.squeeze(true)
	case room.Live < room.Max/5*4:
		f.squeeze(false)
	}
	if !f.squeezed {
		f.Status.Set(stageName, f.failing.working(), f.detail(), f.notReady())
		return tasks, time.Minute, nil
	}
	f.Wakes.Map.Signal() // map may release what waits
	stats, err := f.Spool.Stats()
	if err != nil {
		return nil, 0, err
	}
	f.Status.Set(stageName, "paused", f.detail()+", waits for room in the spool", cmp.Or(diskShort(room), onlyHeld(stats), f.notReady()))
	if room.Short {
		// Every commit checks whether the disk has room again, and there may be no
		// other commit.
		return nil, roomPoll, f.uncommitted(f.Spool.SettleTasks(f.epoch, f.Now(), nil))
	}
	still, err := f.nobodyMoves(stats)
	if err != nil {
		return nil, 0, err
	}
	if still && len(f.flying) == 0 && room.Live < room.Cap-roomLeft {
		return tasks[:1], roomPoll, nil
	}
	return nil, roomPoll, nil
}

// squeeze notes whether fetch waits for room, and logs a change.
func (f *Stage) squeeze(on bool) {
	if on == f.squeezed {
		return
	}
	f.squeezed = on
	if on {
		room := f.Spool.Room()
		f.Log.Info("fetch waits for room in the spool", "stage", stageName, "used", room.Live, "max", room.Max)
	} else {
		f.Log.Info("fetch goes on, the spool has room", "stage", stageName)
	}
}

// nobodyMoves reports whether map and deliver have nothing to work on: whatever
// fills the spool waits for objects not fetched yet, is held, or is sent after this
// run.
func (f *Stage) nobodyMoves(s spool.Stats) (bool, error) {
	if s.Records > 0 {
		return false, nil
	}
	if s.Bundles == 0 {
		return true, nil
	}
	b, err := f.Spool.NextBundle()
	if errors.Is(err, spool.ErrNotFound) || errors.Is(err, spool.ErrCorrupt) {
		return false, nil // it went meanwhile, or deliver will report what is wrong with it
	}
	return err == nil && b.Run > f.run.ID, err
}

// diskShort describes the problem if the disk has no room for the spool.
func diskShort(r spool.Room) string {
	if !r.Short {
		return ""
	}
	return fmt.Sprintf("the disk is full: %d MiB are left to the spool, on the disk and in its file, and fetching needs %d MiB: "+
		"free disk space, give it a larger volume, or run spool compact on the stopped connector", r.Left>>20, r.Want>>20)
}

// onlyHeld describes the problem if nothing that is left in the spool can move by
// itself.
func onlyHeld(s spool.Stats) string {
	if s.Records+s.Waiting+s.Bundles > 0 || s.Held+s.Dead+s.Healed == 0 {
		return ""
	}
	return "the spool is full of held objects and dead letters: use spool export and spool drop, or raise spool.max_size"
}

// pause reports that the stage has responses but no room for them.
func (f *Stage) pause(why string) time.Duration {
	f.squeeze(true)
	f.Status.Set(stageName, "paused", f.detail()+", "+why, why)
	return roomPoll
}
