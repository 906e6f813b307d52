package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

// largeSource returns items that become three records each.
type largeSource struct{ *pipelinetest.Source }

const largeItem = 11_000 // objects

func (s *largeSource) Item(ctx context.Context, dataset, id string) (threatmatch.Body, error) {
	body, err := s.Source.Item(ctx, dataset, id)
	if err != nil {
		return body, err
	}
	objects := make([]string, largeItem)
	for i := range objects {
		objects[i] = fmt.Sprintf(`{"id":"%s--%s-%d"}`, dataset, id, i)
	}
	return threatmatch.Body{Bytes: []byte(`{"objects":[` + strings.Join(objects, ",") + `]}`)}, nil
}

// pieceSpool fails the n-th commit that adds a record, once: before it, or after.
type pieceSpool struct {
	Spool
	late    bool
	n, fail int
	err     error
	most    int // bytes of the records of one commit
	wake    pipeline.Wake
	spooled bool // the last one was
	silent  int  // records that map was not told of before the next
}

func (s *pieceSpool) SettleTasks(epoch uint64, now time.Time, outcomes []spool.Outcome) error {
	size := 0
	for _, o := range outcomes {
		if o.Record != nil {
			size += len(o.Record.Body)
		}
	}
	s.most = max(s.most, size)
	if size == 0 {
		return s.Spool.SettleTasks(epoch, now, outcomes)
	}
	if s.spooled {
		select {
		case <-s.wake:
		default:
			s.silent++
		}
	}
	s.spooled = false
	if s.n++; s.n == s.fail && !s.late {
		return s.err
	}
	err := s.Spool.SettleTasks(epoch, now, outcomes)
	if s.n == s.fail && s.late {
		return s.err // nobody is left to wake map; the next start does
	}
	s.spooled = err == nil
	return err
}

// TestItemInPieces: a large item becomes several records. Whatever stops that in
// between, all of it is in the spool in the end, and its task ends with the last
// record.
func TestItemInPieces(t *testing.T) {
	broken, after := errors.New("killed"), errors.New("killed after the commit")
	for _, err := range []error{broken, after, fmt.Errorf("settle tasks: %w", spool.ErrFull)} {
		for fail := range 4 {
			t.Run(fmt.Sprintf("%v/%d", err, fail), func(t *testing.T) {
				pipelinetest.InBubble(t, func(t *testing.T) {
					src := &largeSource{pipelinetest.NewSource(1)}
					r := newRig(t, src.Source, rigOptions{fetch: Options{Datasets: []spool.Dataset{spool.Alerts}}})
					r.fetch.Source = src
					r.fetch.Wakes.Map = pipeline.NewWake() // nobody but this test listens
					w := &pieceSpool{Spool: r.Spool, fail: fail, err: err, late: err == after, wake: r.fetch.Wakes.Map}
					r.fetch.Spool = w
					r.Know()
					asked, again := 1, max(0, fail-1) // what was committed before the kill comes again
					if err == after {
						again = fail % 3 // with the last piece its task was gone
					}
					if fail > 0 && (err == broken || err == after) {
						stop := r.Start()
						time.Sleep(time.Minute)
						if got := stop(); !errors.Is(got, err) {
							t.Fatalf("got %v, want the error of the commit", got)
						}
						stage, nerr := New(r.fetch.Deps, r.fetch.opt)
						if nerr != nil {
							t.Fatal(nerr)
						}
						r.fetch, r.Fetch = stage, stage
						if fail < 3 || err == broken {
							asked = 2
						}
					}
					stop := r.Start()
					time.Sleep(time.Hour)
					if err := stop(); err != nil {
						t.Error(err)
					}
					if n := src.Count("item alerts/1"); n != asked {
						t.Errorf("asked for the item %d times, want %d", n, asked)
					}
					if n := r.LastRun().Counters["fetch.items"]; n != 1 {
						t.Errorf("counts %d items, want 1", n)
					}
					want := 3
					if asked == 2 {
						want += again
					}
					if n := r.Records("alerts/1"); n != want {
						t.Errorf("the item became %d records, want %d", n, want)
					}
					if most := len(`{"objects":[]}`) + 5000*30; w.most > most {
						t.Errorf("one commit brought %d bytes, want at most %d", w.most, most)
					}
					if w.silent > 0 {
						t.Errorf("map was not woken for %d records", w.silent)
					}
					r.CheckSpool()
				})
			})
		}
	}
}

// betweenSpool calls between, once, after the first commit of a piece, and lasts
// counts the commits of an item's last piece.
type betweenSpool struct {
	Spool
	between func()
	lasts   int
}

func (s *betweenSpool) SettleTasks(epoch uint64, now time.Time, outcomes []spool.Outcome) error {
	err := s.Spool.SettleTasks(epoch, now, outcomes)
	for _, o := range outcomes {
		if err == nil && o.Record != nil && o.Keep == nil {
			s.lasts++
		}
		if err == nil && o.Record != nil && o.Keep != nil && s.between != nil {
			between := s.between
			s.between = nil
			between()
		}
	}
	return err
}

// TestBetweenPieces: after a reset between two pieces of an item, none of the old
// run's comes any more, and the next run brings all of them; a stop or a pause there
// loses none and does not request the item again.
func TestBetweenPieces(t *testing.T) {
	for _, tt := range []struct {
		name    string
		do      func(r *rig, stop func())
		asked   int
		records int // that map takes over all
	}{
		{"nothing", func(*rig, func()) {}, 1, 3},
		{"reset", func(r *rig, _ func()) {
			if _, _, err := r.Spool.Reset(time.Now()); err != nil {
				r.T.Error(err)
			}
			r.Know()
		}, 2, 3},
		{"stop", func(_ *rig, stop func()) { stop(); time.Sleep(time.Second) }, 1, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pipelinetest.InBubble(t, func(t *testing.T) {
				src := &largeSource{pipelinetest.NewSource(1)}
				r := newRig(t, src.Source, rigOptions{fetch: Options{Datasets: []spool.Dataset{spool.Alerts}}})
				r.fetch.Source = src
				s := &betweenSpool{Spool: r.Spool}
				r.fetch.Spool = s
				r.Know()
				between := make(chan struct{}, 1)
				s.between = func() { tt.do(r, func() { between <- struct{}{} }) }
				stop := r.Start()
				if tt.name == "stop" {
					<-between
					if err := stop(); err != nil {
						t.Fatal(err)
					}
					stage, err := New(r.fetch.Deps, r.fetch.opt)
					if err != nil {
						t.Fatal(err)
					}
					r.fetch, r.Fetch = stage, stage
					stop = r.Start()
				}
				time.Sleep(time.Hour)
				if err := stop(); err != nil {
					t.Error(err)
				}
				if n := src.Count("item alerts/1"); n != tt.asked {
					t.Errorf("asked for the item %d times, want %d", n, tt.asked)
				}
				if n := r.Records("alerts/1"); n != tt.records || s.lasts != 1 {
					t.Errorf("%d records and %d ends of the item, want %d and 1", n, s.lasts, tt.records)
				}
				if n := r.Arrived(); n != largeItem {
					t.Errorf("%d objects arrived, want %d", n, largeItem)
				}
				if run := r.LastRun(); run.DoneAt.IsZero() || run.Counters["fetch.items"] != 1 {
					t.Errorf("the last run is not done, or did not fetch the item: %+v", run)
				}
				r.CheckSpool()
			})
		})
	}
}

// TestCutBetweenPieces: nothing of a large item whose body ends early, after
// thousands of good objects, becomes a record. It is requested again.
func TestCutBetweenPieces(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		var objects [largeItem]string
		for i := range objects {
			objects[i] = fmt.Sprintf(`{"id":"%d","x":"%s"}`, i, strings.Repeat("x", 400))
		}
		whole := `{"objects":[` + strings.Join(objects[:], ",") + `]}`
		asked := 0
		client, err := threatmatch.New(threatmatch.Options{
			BaseURL: "http://threatmatch.test", ClientID: "id", ClientSecret: "secret", RequestsPerSecond: 10, MaxBody: 64 << 20, Dir: t.TempDir(),
			Now: time.Now, Rand: func() float64 { return 0.5 },
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				var body io.Reader = strings.NewReader(`{"access_token":"t","token_type":"Bearer","expires_at":86400}`)
				switch {
				case r.URL.Path == "/api/alerts/all":
					body = strings.NewReader(`{"list":["1"]}`)
				case r.URL.Path == "/api/taxii/groups":
					body = strings.NewReader(`[{"id":"1","name":"All content"}]`)
				case strings.HasPrefix(r.URL.Path, "/api/stix/"):
					if asked++; asked == 1 {
						body = io.MultiReader(strings.NewReader(whole[:len(whole)*10/11]), iotest.ErrReader(io.ErrUnexpectedEOF))
					} else {
						body = strings.NewReader(whole)
					}
				}
				return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(body), Request: r}, nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		r := newRig(t, client, rigOptions{fetch: Options{Datasets: []spool.Dataset{spool.Alerts}}})
		r.once()
		if n := r.Records("alerts/1"); asked != 2 || n != 3 || r.Arrived() != largeItem {
			t.Errorf("asked %d times for %d records with %d objects, want 2, 3 and %d", asked, n, r.Arrived(), largeItem)
		}
		r.CheckSpool()
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestAnswersAreGivenBack: a response is kept until it is committed or a reset has
// made it void, and is then released once.
func TestAnswersAreGivenBack(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{{nil, 1}, {spool.ErrFull, 0}, {spool.ErrEpoch, 0}} {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			pipelinetest.InBubble(t, func(t *testing.T) {
				r := newRig(t, pipelinetest.NewSource(1), rigOptions{})
				r.fetch.Spool = &pieceSpool{Spool: r.Spool, fail: 1, err: tt.err}
				if tt.err == nil {
					r.fetch.Spool = r.Spool
				}
				given := 0
				record := &spool.NewRecord{Dataset: spool.Alerts, Source: "1", Fetched: time.Now(), Body: []byte(`{"objects":[]}`)}
				meta, err := r.Spool.Meta()
				if err != nil {
					t.Fatal(err)
				}
				r.fetch.epoch = meta.Epoch
				r.fetch.ready = []verdict{{
					Outcome: spool.Outcome{Task: spool.TaskKey{Dataset: spool.Alerts, Kind: spool.TaskItem, Source: "1"}, Record: record},
					release: func() { given++ },
				}}
				if err := r.fetch.commit(); err != nil {
					t.Fatal(err)
				}
				if given != tt.want {
					t.Errorf("given back %d times, want %d", given, tt.want)
				}
			})
		})
	}
}
