package pipelinetest

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/spool"
)

var errKilled = errors.New("killed")

// KillSwitch counts steps and lets nothing happen from a chosen one on, as if the
// process had died there.
type KillSwitch struct {
	Mu    sync.Mutex
	Steps int
	At    int // 0: never
	dead  bool
	who   context.CancelFunc
	turns int                   // of deliver
	from  int                   // disturbances are counted from here
	what  func(slow bool) error // happens at the step `from`, once; nil: nothing, or it happened
}

// Disturb makes something happen at the nth step from now.
func (k *KillSwitch) Disturb(n int, what func(slow bool) error) {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	k.from, k.what = k.Steps+n, what
}

// Disturbed reports whether it happened, and cancels it otherwise.
func (k *KillSwitch) Disturbed() bool {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	did := k.what == nil
	k.what = nil
	return did
}

// Turns returns the number of deliver's steps.
func (k *KillSwitch) Turns() int {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	return k.turns
}

// Step counts a step of a call that takes time, during which other loops run.
func (k *KillSwitch) Step() error { return k.stepOf(true) }

func (k *KillSwitch) stepOf(slow bool) error {
	k.Mu.Lock()
	if what := k.what; what != nil && k.Steps+1 >= k.from {
		k.what = nil
		k.Mu.Unlock()
		if err := what(slow); err != nil {
			return err
		}
		k.Mu.Lock()
	}
	defer k.Mu.Unlock()
	if k.dead {
		return errKilled
	}
	k.Steps++
	if k.At > 0 && k.Steps >= k.At {
		k.dead = true
		k.who()
		return errKilled
	}
	return nil
}

// mortalSpool is a spool with a kill switch before and after each call: a commit
// may succeed without its caller ever knowing.
type mortalSpool struct {
	*spool.Spool
	kill *KillSwitch
	full func(op string) error // makes commits fail
	bad  func(run, seq uint64, i int) bool
}

// BundleObjects fails to read some of the objects.
func (s *mortalSpool) BundleObjects(run, seq uint64, from int, most int64) ([]spool.BundleObject, error) {
	objects, err := s.Spool.BundleObjects(run, seq, from, most)
	for i := range objects {
		if s.bad != nil && s.bad(run, seq, from+i) {
			if i == 0 {
				return nil, &spool.BlockError{Run: run, Seq: seq, From: from, To: from + 1, Err: spool.ErrCorrupt}
			}
			return objects[:i], nil
		}
	}
	return objects, err
}

// OpenRuns is called once per step of deliver, and by others.
func (s *mortalSpool) OpenRuns() ([]spool.Run, error) {
	s.kill.Mu.Lock()
	s.kill.turns++
	s.kill.Mu.Unlock()
	return s.Spool.OpenRuns()
}

func (s *mortalSpool) write(op string, commit func() error) error {
	if err := s.kill.stepOf(false); err != nil {
		return err
	}
	if s.full != nil {
		if err := s.full(op); err != nil {
			return err
		}
	}
	if err := commit(); err != nil {
		return err
	}
	return s.kill.stepOf(false)
}

func (s *mortalSpool) SavePlatform(epoch uint64, notes []byte) error {
	return s.write("platform", func() error { return s.Spool.SavePlatform(epoch, notes) })
}

func (s *mortalSpool) AdoptState(epoch uint64, at map[spool.Dataset]time.Time) (ok bool, err error) {
	err = s.write("adopt", func() error { ok, err = s.Spool.AdoptState(epoch, at); return err })
	return ok, err
}

func (s *mortalSpool) Reset(now time.Time) (cleared map[string]int64, works []spool.Work, err error) {
	err = s.write("reset", func() error { cleared, works, err = s.Spool.Reset(now); return err })
	return cleared, works, err
}

func (s *mortalSpool) SaveMessageLimit(l spool.MessageLimit) error {
	return s.write("limit", func() error { return s.Spool.SaveMessageLimit(l) })
}

func (s *mortalSpool) SaveCursor(epoch uint64, run, seq uint64, n int) error {
	return s.write("cursor", func() error { return s.Spool.SaveCursor(epoch, run, seq, n) })
}

func (s *mortalSpool) SkipMessage(epoch uint64, run, seq uint64, i int, d spool.DeadLetter) error {
	return s.write("skip", func() error { return s.Spool.SkipMessage(epoch, run, seq, i, d) })
}

func (s *mortalSpool) EndBundle(epoch uint64, run, seq uint64, w spool.Work, c map[string]int64) error {
	return s.write("bundle", func() error { return s.Spool.EndBundle(epoch, run, seq, w, c) })
}

func (s *mortalSpool) SaveWork(epoch uint64, run uint64, w spool.Work) error {
	return s.write("work", func() error { return s.Spool.SaveWork(epoch, run, w) })
}

func (s *mortalSpool) ForgetRun(epoch uint64, run uint64) error {
	return s.write("forget", func() error { return s.Spool.ForgetRun(epoch, run) })
}

func (s *mortalSpool) FinishRun(epoch uint64, run uint64, now time.Time) error {
	return s.write("run", func() error { return s.Spool.FinishRun(epoch, run, now) })
}

func (s *mortalSpool) Count(epoch uint64, run uint64, c map[string]int64) error {
	return s.write("count", func() error { return s.Spool.Count(epoch, run, c) })
}

func (s *mortalSpool) CommitMap(epoch uint64, now time.Time, c spool.MapCommit) error {
	return s.write("map", func() error { return s.Spool.CommitMap(epoch, now, c) })
}

func (s *mortalSpool) FinishMap(epoch uint64, run uint64, now time.Time) error {
	return s.write("mapped", func() error { return s.Spool.FinishMap(epoch, run, now) })
}

func (s *mortalSpool) SettleTasks(epoch uint64, now time.Time, outcomes []spool.Outcome) error {
	return s.write("settle", func() error { return s.Spool.SettleTasks(epoch, now, outcomes) })
}

func (s *mortalSpool) FinishFetch(epoch uint64, run uint64, now time.Time) error {
	return s.write("fetched", func() error { return s.Spool.FinishFetch(epoch, run, now) })
}

func (s *mortalSpool) FailDataset(epoch uint64, run uint64, d spool.Dataset, status spool.DatasetStatus, detail string) error {
	return s.write("fail", func() error { return s.Spool.FailDataset(epoch, run, d, status, detail) })
}

func (s *mortalSpool) StartRun(epoch uint64, now time.Time, spec spool.RunSpec) (run spool.Run, err error) {
	err = s.write("start", func() error { run, err = s.Spool.StartRun(epoch, now, spec); return err })
	return run, err
}

func (s *mortalSpool) StartQueued(epoch uint64, now time.Time, kept bool, most int) (run spool.Run, ok bool, err error) {
	err = s.write("slice", func() error { run, ok, err = s.Spool.StartQueued(epoch, now, kept, most); return err })
	return run, ok, err
}

// LogLines collects the log.
type LogLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *LogLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

func (l *LogLines) Count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, s := range l.lines {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

func (l *LogLines) Tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[max(0, len(l.lines)-n):], "")
}

// Archive is a directory in memory.
type Archive struct {
	Mu    sync.Mutex
	Files map[time.Time][]string
	Fail  error
	Slow  time.Duration // for each bundle
}

func (a *Archive) Write(ctx context.Context, b delivery.DirectoryBundle, stored iter.Seq2[[]byte, error]) error {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	time.Sleep(a.Slow)
	if a.Fail != nil {
		return a.Fail
	}
	var objects []string
	for o, err := range stored {
		if err != nil {
			return err
		}
		objects = append(objects, string(o))
	}
	if a.Files == nil {
		a.Files = map[time.Time][]string{}
	}
	a.Files[b.CommittedAt] = objects
	return ctx.Err()
}
