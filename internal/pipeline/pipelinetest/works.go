package pipelinetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/opencti"
)

func (f *OpenCTI) find(id string) *Work {
	for _, w := range f.works {
		if w.ID == id && !w.Deleted {
			return w
		}
	}
	return nil
}

func (f *OpenCTI) AddWork(ctx context.Context, name string, multipart bool) (string, error) {
	id := ""
	err := f.call(ctx, "add", func() error {
		if !f.known {
			return opencti.ErrUnknownConnector
		}
		if f.multipart && multipart == f.Affected {
			f.wrong("work added with multipart %v on %s", multipart, f.Name)
		}
		for _, w := range f.works {
			if !w.Deleted && !w.Closed && !w.Complete && w.Name != name && len(w.seen) > 0 && !w.left(f) {
				f.wrong("work %q opened while %q is open", name, w.Name)
			}
		}
		id = fmt.Sprintf("work_%d", len(f.works)+1)
		f.works = append(f.works, &Work{
			Work: opencti.Work{ID: id, Name: name, Opened: time.Now()}, Alive: true,
			multipart: f.multipart && multipart, seen: map[string]int{},
		})
		return nil
	})
	return id, err
}

// left reports a work that is rightly not closed: on an affected platform, after a
// message came twice.
func (w *Work) left(f *OpenCTI) bool { return f.Affected }

func (f *OpenCTI) Work(ctx context.Context, id string) (opencti.Work, error) {
	var info opencti.Work
	err := f.call(ctx, "work", func() error {
		if f.NoModules {
			info = opencti.Work{ID: id, Unread: true}
			return nil
		}
		w := f.find(id)
		if w == nil {
			return opencti.ErrWorkGone
		}
		info = w.Work
		return nil
	})
	return info, err
}

// WorkErrors reads a work and what workers refused of it.
func (f *OpenCTI) WorkErrors(ctx context.Context, id string) (info opencti.Work, refused []opencti.WorkError, err error) {
	err = f.call(ctx, "errors", func() error {
		if f.NoModules {
			info = opencti.Work{ID: id, Unread: true}
			return nil
		}
		w := f.find(id)
		if w == nil {
			return opencti.ErrWorkGone
		}
		info, refused = w.Work, slices.Clone(w.errors)
		return nil
	})
	return info, refused, err
}

func (f *OpenCTI) WorksByName(ctx context.Context, name string) ([]opencti.Work, error) {
	var found []opencti.Work
	err := f.call(ctx, "search", func() error {
		if f.NoModules {
			return nil
		}
		for _, w := range f.works {
			if !w.Deleted && !w.Complete && w.Name == name {
				found = append(found, w.Work)
			}
		}
		return nil
	})
	return found, err
}

func (f *OpenCTI) WorkAlive(ctx context.Context, id string) (bool, error) {
	alive := false
	err := f.call(ctx, "alive", func() error {
		w := f.find(id)
		alive = f.NoModules || w != nil && w.Alive
		return nil
	})
	return alive, err
}

func (f *OpenCTI) AddExpectations(ctx context.Context, id string, n int64) error {
	return f.call(ctx, "expect", func() error {
		if w := f.find(id); w != nil {
			w.Expected += n
		}
		return nil
	})
}

// report is called by workers for each message, and by us for one that never comes.
func (f *OpenCTI) report(w *Work) {
	w.Processed++
	done := w.Processed == w.Expected
	if !f.exact {
		done = w.Processed >= w.Expected && (!w.multipart || w.Closed)
	}
	w.Complete = w.Complete || done
}

func (f *OpenCTI) ReportExpectation(ctx context.Context, id, reason, source string) error {
	return f.call(ctx, "report", func() error {
		w := f.find(id)
		if w == nil {
			return opencti.ErrWorkGone
		}
		w.Reports = append(w.Reports, reason+": "+source)
		f.report(w)
		return nil
	})
}

func (f *OpenCTI) Processed(ctx context.Context, id, message string, inError bool) error {
	return f.call(ctx, "processed", func() error {
		w := f.find(id)
		if w == nil {
			return opencti.ErrWorkGone
		}
		w.Closed, w.Message, w.InError = true, message, inError
		switch {
		case w.Expected == 0:
			w.Complete = true
		case f.exact && w.Processed == w.Expected, !f.exact && w.Processed >= w.Expected:
			w.Complete = true
			if f.Affected {
				w.Alive = false // what is still queued will be dropped
			}
		}
		return nil
	})
}

func (f *OpenCTI) DeleteWork(ctx context.Context, id string) error {
	return f.call(ctx, "delete", func() error {
		if w := f.find(id); w != nil {
			w.Deleted, w.Alive = true, false
		}
		return nil
	})
}

// DeleteWorks deletes all works, as a user can.
func (f *OpenCTI) DeleteWorks() {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for _, w := range f.works {
		w.Deleted, w.Alive = true, false
	}
}

// arrived checks and counts a message that reached the queue.
func (f *OpenCTI) arrived(e delivery.Envelope) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	var w *Work
	for _, x := range f.works {
		if x.ID == e.WorkID {
			w = x
		}
	}
	if w == nil {
		f.wrong("message under the unknown work %q", e.WorkID)
		return
	}
	w.seen[fmt.Sprintf("%s/%d", e.BundleID, e.Sequence)]++
	if w.Deleted {
		return // just deleted by someone
	}
	if w.Closed {
		f.wrong("message %d under the processed work %q", e.Sequence, w.Name)
	}
	if int64(len(w.seen)) > w.Expected-int64(len(w.Reports)) {
		f.wrong("message %d of work %q before its expectation: %d expected", e.Sequence, w.Name, w.Expected)
	}
}

// Consume processes a message as a worker would, or refuses it with a reason. It
// reports whether the work exists.
func (f *OpenCTI) Consume(e delivery.Envelope, refusal string) bool {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	w := f.find(e.WorkID)
	if w == nil || !w.Alive {
		return false
	}
	if refusal != "" && len(w.errors) < opencti.MaxWorkErrors {
		w.errors = append(w.errors, opencti.WorkError{At: time.Now(), Message: refusal, Source: string(e.Object)})
	}
	f.report(w)
	return true
}

func (f *OpenCTI) Count(name string) int {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	n := 0
	for _, c := range f.Calls {
		if c == name {
			n++
		}
	}
	return n
}
