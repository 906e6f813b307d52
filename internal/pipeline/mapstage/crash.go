package mapstage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"threatmatch-connector/spool"
)

// crashStarts is how many starts in a row must find the same record marked before it
// counts as what kills the process. From the second start on the record is tried
// alone. It gets three such tries, because a kill from outside may come just then.
const crashStarts = 5

// Recover prepares the stage after an unclean stop. The supervisor calls it before
// fetch and deliver start. From then on, records that were in the spool are mapped
// one per commit, and each is marked first. A record that two starts in a row found
// marked is tried here, alone; if it keeps killing the process, it becomes a dead
// letter.
func (m *Stage) Recover(ctx context.Context) error {
	meta, err := m.Spool.Meta()
	if err != nil {
		return err
	}
	m.epoch, m.maxMessage = meta.Epoch, meta.Limit.With(m.opt.MaxMessageSize, m.Now())
	mark, marked, err := m.Spool.Crash()
	if err != nil {
		return err
	}
	if !meta.Unclean {
		if marked {
			return m.Spool.MarkCrash(nil)
		}
		return nil
	}
	m.careful = m.Now()
	if !marked {
		return nil
	}
	run, rec, err := m.markedRecord(mark)
	if err != nil {
		return err
	}
	if rec == nil { // it was mapped meanwhile
		return m.Spool.MarkCrash(nil)
	}
	mark.Starts++
	m.mark = &mark
	if err := m.Spool.MarkCrash(&mark); err != nil {
		return err
	}
	switch {
	case mark.Starts < 2:
		return nil
	case mark.Starts >= crashStarts: // it becomes a dead letter when its turn comes
		m.blamed.records[rec.Seq] = verdict{deadCrash, fmt.Sprintf("the process died %d times while it mapped this record", crashStarts)}
		return nil
	}
	m.Log.Warn("trying the record alone at which the process died", "run", mark.Run, "dataset", rec.Dataset, "source", rec.Source)
	err = m.mapAlone(ctx, run, *rec)
	if errors.Is(err, spool.ErrFull) { // deliver makes room, and has not started yet
		m.forget()
		mark.Starts--
		return m.Spool.MarkCrash(&mark)
	}
	if err != nil {
		return err
	}
	m.mark = nil
	return m.Spool.MarkCrash(nil)
}

// markedRecord finds the record of a mark, nil if it is gone.
func (m *Stage) markedRecord(mark spool.CrashMark) (spool.Run, *spool.Record, error) {
	runs, err := m.Spool.OpenRuns()
	if err != nil {
		return spool.Run{}, nil, err
	}
	for _, run := range runs {
		if run.ID != mark.Run || mark.Seq == 0 {
			continue
		}
		recs, err := m.Spool.Records(run.ID, mark.Seq-1, 1, 1)
		if err != nil {
			return run, nil, err
		}
		if len(recs) > 0 && recs[0].Seq == mark.Seq {
			return run, &recs[0], nil
		}
	}
	return spool.Run{}, nil, nil
}

// mapAlone maps one record in its own commit, and does not wait for room.
func (m *Stage) mapAlone(ctx context.Context, run spool.Run, rec spool.Record) error {
	g, err := m.newGather(run)
	if err != nil {
		return err
	}
	r := m.mapOne(rec, m.guard(rec, nil))
	if r.stop != nil {
		return r.stop
	}
	g.add(r, m.Now(), m.author)
	m.gather, m.alone = g, true
	defer func() { m.alone = false }()
	return m.flush(ctx)
}

// suspect reports whether the record was in the spool when the process died. A
// record from the future counts too: the clock was set back since.
func (m *Stage) suspect(rec spool.Record) bool {
	return !m.careful.IsZero() && (!rec.Fetched.After(m.careful) || rec.Fetched.After(m.Now()))
}

// markRecord marks the record before it is mapped.
func (m *Stage) markRecord(run uint64, seq uint64) error {
	if m.mark == nil || m.mark.Run != run || m.mark.Seq != seq {
		m.mark = &spool.CrashMark{Run: run, Seq: seq}
	}
	return m.Spool.MarkCrash(m.mark)
}

// relax ends the careful mode: no record is left from before the crash.
func (m *Stage) relax() error {
	if m.careful.IsZero() {
		return nil
	}
	m.careful, m.mark = time.Time{}, nil
	return m.Spool.MarkCrash(nil)
}
