package spool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"threatmatch-connector/spool/internal/encoding"
)

// filler brings records until there is no room.
type filler struct {
	s    *Spool
	run  Run
	r    *rand.Rand
	n    int
	dir  string
	opts Options

	noise []byte
}

func newFiller(dir string) (*filler, error) {
	f := &filler{r: rand.New(rand.NewPCG(1, 1)), dir: dir}
	f.opts = Options{Dir: dir, ConnectorID: "c", reserve: 2 << 20, NoCompact: true}
	var err error
	if f.s, err = Open(context.Background(), f.opts); err != nil {
		return nil, err
	}
	f.run, err = f.s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule})
	return f, err
}

func (f *filler) bring() error {
	f.n++
	for len(f.noise) < 60_000 {
		f.noise = encoding.PutU64(f.noise, f.r.Uint64())
	}
	copy(f.noise, encoding.Num(f.r.Uint64()))
	body := f.noise
	key := item(Alerts, f.n)
	err := f.s.SettleTasks(1, t0, []Outcome{{Task: list(Alerts), Run: f.run.ID}})
	if err != nil {
		return err
	}
	// the task and its record at once, so that each round is the same
	return f.s.update("settle tasks", use{share: grows}, func(t *txn) error {
		r, err := t.runs().change(f.run.ID)
		if err != nil {
			return err
		}
		return t.records().add(r, NewRecord{Dataset: Alerts, Source: key.Source, Body: body}, encoding.Pack(body))
	})
}

// fill brings records until ErrFull and returns how many there are.
func (f *filler) fill() (int64, error) {
	for range 2000 {
		err := f.bring()
		if errors.Is(err, ErrFull) {
			st, err := f.s.Stats()
			return st.Records, errors.Join(err, f.whole())
		}
		if err != nil {
			return 0, fmt.Errorf("while filling: %w", err)
		}
	}
	return 0, errors.New("the disk is never full")
}

// whole checks that nothing is broken, in memory or in the file.
func (f *filler) whole() error {
	broken, err := f.s.Verify(context.Background())
	if err == nil && len(broken) > 0 {
		err = errors.New(strings.Join(broken, "; "))
	}
	return err
}

// mapSome turns records into a bundle.
func (f *filler) mapSome(n int) error {
	recs, err := f.s.Records(f.run.ID, 0, n, 1<<30)
	if err != nil {
		return err
	}
	c := MapCommit{Run: f.run.ID}
	var b NewBundle
	for _, r := range recs {
		c.Records = append(c.Records, r.Seq)
		b.Objects = append(b.Objects, BundleObject{STIX: stixOf(int(r.Seq)), JSON: r.Body})
	}
	c.Bundles = []NewBundle{b}
	return f.s.CommitMap(1, t0, c)
}

// deliverAll confirms all bundles.
func (f *filler) deliverAll() error {
	for {
		b, err := f.s.NextBundle()
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err = errors.Join(err, f.s.SaveCursor(1, b.Run, b.Seq, b.Objects), f.s.EndBundle(1, b.Run, b.Seq, Work{}, nil)); err != nil {
			return err
		}
	}
}

func (f *filler) expect(what string, ok bool) error {
	if !ok {
		return fmt.Errorf("%s: %+v", what, f.s.Room())
	}
	return nil
}
