package deliver

import (
	"context"
	"fmt"
	"slices"
	"time"

	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// deadPage is how many dead letters are read at a time.
const deadPage = 50

// deadIDs holds objects that became dead letters, each with the time when the
// platform was last found not to have another version of it.
type deadIDs map[string]time.Time

// deadAgain is how long that finding is valid.
const deadAgain = 10 * time.Minute

// loadDead finds, once per process, the objects that became dead letters
// and have not been sent since. Objects that refer to them come later in the spool,
// and OpenCTI would refuse those.
func (d *Stage) loadDead() error {
	if d.dead != nil {
		return nil
	}
	dead := deadIDs{}
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

// addUnsent adds the objects of deliver's dead letters that have not been sent
// since. That includes a retried one whose letter is healed while objects that
// refer to it are still queued in front of it.
func (d *Stage) addUnsent(dead deadIDs, letters []spool.DeadLetter) error {
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
		sent, err := d.sent(known, id)
		if err != nil {
			return err
		}
		if !sent {
			dead[id] = time.Time{}
		}
	}
	return nil
}

// sent reports whether an object is known in ids and not still to come: it belongs
// to this run, to an older one, or to a later one that went first.
func (d *Stage) sent(ids map[string]spool.ID, id string) (bool, error) {
	e, known := ids[id]
	if !known || e.Run <= d.bundle.Run {
		return known, nil
	}
	open, err := d.Spool.OpenRuns()
	if err != nil {
		return false, fmt.Errorf("look whether what was skipped was sent since: %w", err)
	}
	return !slices.ContainsFunc(open, func(r spool.Run) bool { return r.ID == e.Run }), nil
}

// deadRef returns the object's first reference to a dead letter that OpenCTI does
// not have from elsewhere, or "".
func (d *Stage) deadRef(ctx context.Context, o spool.BundleObject) (string, error) {
	if len(d.dead) == 0 {
		return "", nil
	}
	obj, err := stix.Decode(o.JSON)
	if err != nil {
		return "", nil // OpenCTI will judge it
	}
	for _, r := range obj.Refs() {
		if _, dead := d.dead[r.ID]; !dead || r.ID == o.STIX {
			continue
		}
		if err := d.askDead(ctx, r.ID); err != nil {
			return "", err
		}
		if _, dead := d.dead[r.ID]; dead {
			return r.ID, nil
		}
	}
	return "", nil
}

// askDead checks whether another version of the object reached OpenCTI, through a
// run of ours or someone else.
func (d *Stage) askDead(ctx context.Context, id string) error {
	if d.Now().Sub(d.dead[id]) < deadAgain {
		return nil
	}
	known, err := d.Spool.LookupIDs([]string{id})
	if err != nil {
		return fmt.Errorf("look up %s: %w", id, err)
	}
	sent, err := d.sent(known, id)
	if err != nil {
		return err
	}
	if sent {
		delete(d.dead, id)
		return nil
	}
	onPlatform, err := d.Works.Known(ctx, []string{id})
	if err != nil && !opencti.IsForbidden(err) {
		return fmt.Errorf("ask OpenCTI for %s: %w", id, err)
	}
	if _, ok := onPlatform[id]; ok {
		delete(d.dead, id)
		return nil
	}
	d.dead[id] = d.Now()
	return nil
}

// noteDead records the message at the cursor, which is about to be skipped, unless
// an earlier version of the object was delivered.
func (d *Stage) noteDead() error {
	b := d.bundle
	objects, err := d.Spool.BundleObjects(b.Run, b.Seq, b.Confirmed, 1)
	if err != nil || len(objects) == 0 {
		return nil // an unreadable object has no id
	}
	id := objects[0].STIX
	known, err := d.Spool.LookupIDs([]string{id})
	if err != nil {
		return fmt.Errorf("look up %s: %w", id, err)
	}
	if len(known[id].Earlier) == 0 {
		d.dead[id] = time.Time{}
	}
	return nil
}
