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

// deadAgain is how long it counts that OpenCTI does not have a dead object from
// elsewhere.
const deadAgain = 10 * time.Minute

// loadDead finds, once per process, the objects that became dead letters and have
// not been sent since, even if a retry has healed the letter: objects that refer to
// them come before that, and OpenCTI would refuse those.
func (d *Stage) loadDead() error {
	if d.dead != nil {
		return nil
	}
	dead := map[string]time.Time{}
	for after := uint64(0); ; {
		letters, err := d.Spool.DeadLetters(after, deadPage)
		if err != nil {
			return fmt.Errorf("read what was skipped: %w", err)
		}
		if len(letters) == 0 {
			break
		}
		var ids []string
		for _, l := range letters {
			if l.Stage == spool.StageDeliver && l.Err == nil && l.STIX != "" {
				ids = append(ids, l.STIX)
			}
		}
		if ids, err = d.unsent(ids...); err != nil {
			return err
		}
		for _, id := range ids {
			dead[id] = time.Time{}
		}
		after = letters[len(letters)-1].Key
	}
	d.dead = dead
	return nil
}

// unsent returns those of the ids that are unknown or still to come: in a later run
// that has not gone first.
func (d *Stage) unsent(ids ...string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	known, err := d.Spool.LookupIDs(ids)
	if err != nil {
		return nil, fmt.Errorf("look up what was skipped: %w", err)
	}
	open, err := d.Spool.OpenRuns()
	if err != nil {
		return nil, fmt.Errorf("look whether what was skipped was sent since: %w", err)
	}
	return slices.DeleteFunc(ids, func(id string) bool {
		e, ok := known[id]
		return ok && (e.Run <= d.bundle.Run || !slices.ContainsFunc(open, func(r spool.Run) bool { return r.ID == e.Run }))
	}), nil
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
	left, err := d.unsent(id)
	if err != nil {
		return err
	}
	if len(left) == 0 {
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
