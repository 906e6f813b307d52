package deliver

import (
	"fmt"

	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// deadPage is how many dead letters are read at a time.
const deadPage = 50

// loadDead finds, once per process and epoch, the objects that became dead
// letters and were not sent since. What refers to them is behind them in the
// spool, and OpenCTI would refuse it.
func (d *Stage) loadDead() error {
	if d.dead != nil {
		return nil
	}
	dead := map[string]bool{}
	for after := uint64(0); ; {
		letters, err := d.Spool.DeadLetters(after, deadPage)
		if err != nil {
			return fmt.Errorf("read what was skipped: %w", err)
		}
		if len(letters) == 0 {
			break
		}
		if err := d.addUnsent(dead, letters); err != nil {
			return err
		}
		after = letters[len(letters)-1].Key
	}
	d.dead = dead
	return nil
}

// addUnsent adds the objects of deliver's letters that ids does not know, or
// only from a run that is still to come: a retried one, say, whose letter is
// healed while what refers to it still waits in front of it.
func (d *Stage) addUnsent(dead map[string]bool, letters []spool.DeadLetter) error {
	var ids []string
	for _, l := range letters {
		if l.Stage == spool.StageDeliver && l.Err == nil && l.STIX != "" {
			ids = append(ids, l.STIX)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	known, err := d.Spool.LookupIDs(ids)
	if err != nil {
		return fmt.Errorf("look up what was skipped: %w", err)
	}
	for _, id := range ids {
		if e, ok := known[id]; !ok || e.Run > d.bundle.Run {
			dead[id] = true
		}
	}
	return nil
}

// deadRef returns the first reference of the object to one that is a dead letter, or "".
func (d *Stage) deadRef(o spool.BundleObject) string {
	if len(d.dead) == 0 {
		return ""
	}
	obj, err := stix.Decode(o.JSON)
	if err != nil {
		return "" // for OpenCTI to judge
	}
	for _, r := range obj.Refs() {
		if r.ID != o.STIX && d.dead[r.ID] {
			return r.ID
		}
	}
	return ""
}

// noteDead remembers the message at the cursor, which is about to be skipped.
func (d *Stage) noteDead() {
	b := d.bundle
	objects, err := d.Spool.BundleObjects(b.Run, b.Seq, b.Confirmed, 1)
	if err == nil && len(objects) > 0 { // an unreadable one has no name
		d.dead[objects[0].STIX] = true
	}
}
