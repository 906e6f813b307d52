package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/pipeline"
)

// archiveOnly finishes a bundle that only goes to the archive.
func (d *Stage) archiveOnly(ctx context.Context) error {
	b, run := d.bundle, d.current
	applicant := ""
	if reg, ok := d.Platform.Registered(); ok {
		applicant = reg.Applicant
	}
	if err := d.archive(ctx, applicant); err != nil {
		return err
	}
	if err := d.commit(ctx, b.Objects); err != nil {
		return err
	}
	return d.Spool.EndBundle(d.epoch, b.Run, b.Seq, run.Work, map[string]int64{"deliver.messages": int64(b.Objects)})
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
	if err := d.archive(ctx, applicant); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d.Metrics.errors.Inc()
		d.Status.Error(stageName, err)
		d.Log.Error("a bundle could not be archived; the queue has it", "stage", stageName, "run", d.bundle.Run, "bundle", d.bundle.Seq, "error", err)
	}
	return nil
}

func (d *Stage) archive(ctx context.Context, applicant string) error {
	defer pipeline.Waiting(ctx)()
	b := d.bundle
	err := d.Archive.Write(ctx, delivery.DirectoryBundle{
		ID: d.bundleID(), ApplicantID: applicant, Update: d.opt.Update, CommittedAt: archiveTime(b.Created, b.Seq),
	}, d.objects())
	if err != nil {
		return fmt.Errorf("archive bundle %d of run %d: %w", b.Seq, b.Run, err)
	}
	return nil
}

// archiveTime tells bundles of one commit apart by their microseconds.
func archiveTime(created time.Time, seq uint64) time.Time {
	return created.Truncate(time.Millisecond).Add(time.Duration(seq%1000) * time.Microsecond)
}

func (d *Stage) objects() iter.Seq2[[]byte, error] {
	in := &bundleReader{spool: d.Spool, run: d.bundle.Run, seq: d.bundle.Seq}
	return func(yield func([]byte, error) bool) {
		for {
			o, err := in.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(o.JSON, err) || err != nil {
				return
			}
		}
	}
}
