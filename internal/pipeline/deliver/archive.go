package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

// archiveOnly finishes a bundle that only goes to the archive. Objects that cannot
// be read become dead letters.
func (d *Stage) archiveOnly(ctx context.Context) error {
	b := d.bundle
	applicant := ""
	if reg, ok := d.Platform.Registered(); ok {
		applicant = reg.Applicant
	}
	unreadable, err := d.archive(ctx, applicant)
	if err != nil {
		return err
	}
	for _, o := range unreadable {
		if o.key.index < b.Confirmed {
			continue // by a process that died afterwards
		}
		if err := d.commit(ctx, o.key.index); err != nil {
			return err
		}
		d.stop = o
		if err := d.skip(); err != nil {
			return err
		}
	}
	if err := d.commit(ctx, b.Objects); err != nil {
		return err
	}
	return d.Spool.EndBundle(d.epoch, b.Run, b.Seq, d.current.Work, map[string]int64{"deliver.messages": int64(b.Objects - len(b.Skipped))})
}

// archiveCopy also stores the bundle in the archive. A failure is only logged,
// because the queue has the messages.
func (d *Stage) archiveCopy(ctx context.Context, applicant string) error {
	if d.Archive == nil {
		return nil
	}
	if ctx.Err() != nil { // do not start a write that would be cut short; the next start does it
		return context.Cause(ctx)
	}
	if _, err := d.archive(ctx, applicant); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d.Metrics.errors.Inc()
		d.Status.Error(stageName, err)
		d.Log.Error("a bundle could not be archived; the queue has it", "stage", stageName, "run", d.bundle.Run, "bundle", d.bundle.Seq, "error", err)
	}
	return nil
}

// archive stores the bundle in the archive, but for the objects that it returns.
func (d *Stage) archive(ctx context.Context, applicant string) (unreadable []obstacle, err error) {
	defer pipeline.Waiting(ctx)()
	b := d.bundle
	in := &bundleReader{spool: d.Spool, run: b.Run, seq: b.Seq}
	err = d.Archive.Write(ctx, delivery.DirectoryBundle{
		ID: d.bundleID(), ApplicantID: applicant, Update: d.opt.Update, CommittedAt: archiveTime(b.Created, b.Seq),
	}, func(yield func([]byte, error) bool) {
		for {
			key := bundleKey{in.run, in.seq, in.at}
			o, err := in.next()
			switch {
			case errors.Is(err, io.EOF):
				return
			case errors.Is(err, spool.ErrCorrupt):
				unreadable = append(unreadable, obstacle{key, "corrupt", err.Error()})
				in.at++
			case !yield(o.JSON, err) || err != nil:
				return
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("archive bundle %d of run %d: %w", b.Seq, b.Run, err)
	}
	return unreadable, nil
}

// archiveTime tells bundles of one commit apart by their microseconds.
func archiveTime(created time.Time, seq uint64) time.Time {
	return created.Truncate(time.Millisecond).Add(time.Duration(seq%1000) * time.Microsecond)
}
