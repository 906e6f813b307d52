package pipeline

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

// pager is a server of dated objects that pages as the API might.
type pager struct {
	objects   []threatmatch.PageObject // ascending
	size      int
	exclusive bool
	shuffle   *rand.Rand
	trunc     time.Duration // resolution to which it cuts the bound; zero: exact
	rough     bool          // it cuts the objects' timestamps too
	asked     []string
}

func (p *pager) page(after string) threatmatch.Page {
	p.asked = append(p.asked, after)
	bound, err := time.Parse(time.RFC3339Nano, after)
	if err != nil {
		panic(err)
	}
	if p.trunc > 0 {
		bound = bound.Truncate(p.trunc)
	}
	var out threatmatch.Page
	for _, o := range p.objects {
		at, _ := modifiedAt(o.Modified)
		if p.rough {
			at = at.Truncate(p.trunc)
		}
		if at.Before(bound) || p.exclusive && at.Equal(bound) {
			continue
		}
		if len(out.Objects) == p.size {
			out.More = true
			break
		}
		out.Objects = append(out.Objects, o)
	}
	if p.shuffle != nil {
		p.shuffle.Shuffle(len(out.Objects), func(i, j int) {
			out.Objects[i], out.Objects[j] = out.Objects[j], out.Objects[i]
		})
	}
	raw := make([]string, len(out.Objects))
	for i, o := range out.Objects {
		raw[i] = string(o.Raw)
	}
	out.Bytes = fmt.Appendf(nil, `{"objects":[%s],"more":%v}`, strings.Join(raw, ","), out.More)
	return out
}

func (p *pager) add(n int, at time.Time, form string) {
	for range n {
		id := fmt.Sprintf("indicator--%05d", len(p.objects))
		o := threatmatch.PageObject{ID: id, Modified: at.Format(form)}
		o.Raw = fmt.Appendf(nil, `{"id":%q,"modified":%q}`, o.ID, o.Modified)
		p.objects = append(p.objects, o)
	}
}

// walk pages to the end. It returns how often each id came, and the gaps.
func walk(t interface{ Fatalf(string, ...any) }, p *pager, from, now time.Time) (map[string]int, []pageGap) {
	got := map[string]int{}
	var gaps []pageGap
	c := newPageCursor("1", "indicator", from)
	for range 100000 {
		before := c.After
		page := p.page(c.asked())
		turn := c.turn(page, now)
		for _, id := range bodyIDs(t, turn.freshBody(page)) {
			got[id]++
		}
		if turn.Gap != nil {
			gaps = append(gaps, *turn.Gap)
		}
		if c.After.Before(before) && !c.Rough {
			t.Fatalf("the question moved back from %v to %v", before, c.After)
		}
		if turn.Done {
			return got, gaps
		}
		text, err := json.Marshal(c) // as a restart would see it
		c = pageCursor{}
		if err != nil || json.Unmarshal(text, &c) != nil {
			t.Fatalf("cursor %s does not survive", text)
		}
	}
	t.Fatalf("no end after %d questions, the last: %v", len(p.asked), p.asked[len(p.asked)-5:])
	return nil, nil
}

func bodyIDs(t interface{ Fatalf(string, ...any) }, body []byte) []string {
	if body == nil {
		return nil
	}
	var b struct{ Objects []struct{ ID string } }
	if err := json.Unmarshal(body, &b); err != nil {
		t.Fatalf("body %s: %v", body, err)
	}
	var ids []string
	for _, o := range b.Objects {
		ids = append(ids, o.ID)
	}
	return ids
}

const millis, micros, secs = "2006-01-02T15:04:05.000Z", "2006-01-02T15:04:05.000000Z", "2006-01-02T15:04:05Z"

var pageEpoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestTies is the table of page size × block size × comparison: nothing may be
// lost where the API can give it, that is while a block fits a page.
func TestTies(t *testing.T) {
	for _, size := range []int{1, 2, 10, 100} {
		for _, block := range []int{1, 2, 5, 9, 10, 11, 50, 99, 100, 101, 250} {
			for _, exclusive := range []bool{false, true} {
				for _, form := range []string{millis, micros, secs} {
					for _, shuffled := range []bool{false, true} {
						p := &pager{size: size, exclusive: exclusive}
						if shuffled {
							p.shuffle = rand.New(rand.NewPCG(1, 2))
						}
						p.add(7, pageEpoch, form)
						p.add(block, pageEpoch.Add(3*time.Second), form)
						p.add(7, pageEpoch.Add(5*time.Second), form)
						got, gaps := walk(t, p, pageEpoch.Add(-time.Hour), pageEpoch.Add(time.Hour))
						lost := len(p.objects) - len(got)
						// What fits a page is never lost. Of a larger block all
						// but a page's worth cannot be had, and that is said.
						canLose := max(0, 7-size)*2 + max(0, block-size)
						if lost > canLose || lost > 0 && len(gaps) == 0 {
							t.Errorf("page %d, block %d, exclusive %v, %s, shuffled %v: lost %d of %d, gaps %v",
								size, block, exclusive, form, shuffled, lost, len(p.objects), gaps)
						}
						for id, n := range got {
							if n > 1 {
								t.Errorf("page %d, block %d, exclusive %v: %s came %d times", size, block, exclusive, id, n)
							}
						}
						if most := 60 + 4*len(p.objects); len(p.asked) > most {
							t.Errorf("page %d, block %d, exclusive %v: %d requests", size, block, exclusive, len(p.asked))
						}
					}
				}
			}
		}
	}
}

func TestNoGapWithoutTies(t *testing.T) {
	for _, exclusive := range []bool{false, true} {
		p := &pager{size: 100, exclusive: exclusive}
		for i := range 3000 {
			p.add(1, pageEpoch.Add(time.Duration(i)*time.Second), millis)
		}
		got, gaps := walk(t, p, pageEpoch.Add(-time.Hour), pageEpoch.Add(time.Hour))
		if len(got) != 3000 || len(gaps) != 0 || len(p.asked) > 31 {
			t.Errorf("exclusive %v: %d objects, gaps %v, %d requests", exclusive, len(got), gaps, len(p.asked))
		}
	}
}

// TestFineTimestamps has more objects within a millisecond than a page holds.
func TestFineTimestamps(t *testing.T) {
	for _, exclusive := range []bool{false, true} {
		p := &pager{size: 10, exclusive: exclusive}
		for i := range 200 {
			p.add(1, pageEpoch.Add(time.Duration(i)*3*time.Microsecond), micros)
		}
		got, _ := walk(t, p, pageEpoch.Add(-time.Hour), pageEpoch.Add(time.Hour))
		if len(got) != 200 {
			t.Errorf("exclusive %v: %d of 200", exclusive, len(got))
		}
	}
}

// TestPagingEndsAndLosesNothing draws servers at random.
func TestPagingEndsAndLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &pager{
			size:      rapid.IntRange(1, 20).Draw(t, "size"),
			exclusive: rapid.Bool().Draw(t, "exclusive"),
			trunc:     rapid.SampledFrom([]time.Duration{0, 0, time.Millisecond, time.Second}).Draw(t, "trunc"),
		}
		p.rough = p.trunc > 0 && rapid.Bool().Draw(t, "rough")
		if rapid.Bool().Draw(t, "shuffle") {
			p.shuffle = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		}
		form := rapid.SampledFrom([]string{millis, micros, secs}).Draw(t, "form")
		at, largest := pageEpoch, 0
		for range rapid.IntRange(0, 12).Draw(t, "blocks") {
			at = at.Add(time.Duration(rapid.SampledFrom([]int{1, 1000, 2000000, 3000000000}).Draw(t, "step")) * time.Microsecond)
			p.add(rapid.IntRange(1, 30).Draw(t, "block"), at, form)
		}
		at = time.Time{}
		window := max(p.trunc, time.Millisecond)
		if form == secs {
			window = time.Second
		}
		for i := range p.objects { // the most objects that one question cannot tell apart
			first, _ := modifiedAt(p.objects[i].Modified)
			n := 0
			for _, o := range p.objects[i:] {
				if m, _ := modifiedAt(o.Modified); m.Sub(first.Truncate(window)) < 2*window {
					n++
				}
			}
			largest = max(largest, n)
		}
		got, gaps := walk(t, p, pageEpoch.Add(-time.Hour), pageEpoch.Add(240*time.Hour))
		if len(got) < len(p.objects) && (largest < p.size || len(gaps) == 0) {
			t.Fatalf("%d of %d objects, largest block %d, page %d, gaps %v", len(got), len(p.objects), largest, p.size, gaps)
		}
	})
}

func TestOddPages(t *testing.T) {
	now := pageEpoch.Add(time.Hour)
	object := func(id, modified string) threatmatch.PageObject {
		return threatmatch.PageObject{ID: id, Modified: modified, Raw: fmt.Appendf(nil, `{"id":%q}`, id)}
	}
	t.Run("more without objects", func(t *testing.T) {
		c := newPageCursor("1", "indicator", pageEpoch.Add(-24*365*time.Hour))
		var gap *pageGap
		turns := 0
		for done := false; !done; turns++ {
			turn := c.turn(threatmatch.Page{More: true}, now)
			done, gap = turn.Done, turn.Gap
		}
		if gap != nil || turns > 400 {
			t.Errorf("%d turns, gap %v", turns, gap)
		}
	})
	t.Run("a filtered stretch is stepped over", func(t *testing.T) {
		c := newPageCursor("1", "indicator", pageEpoch.Add(-24*30*time.Hour))
		late := pageEpoch.Add(-time.Hour)
		found := false
		for range 60 {
			page := threatmatch.Page{More: true}
			if c.After.After(late.Add(-4 * time.Hour)) {
				page = threatmatch.Page{Objects: []threatmatch.PageObject{object("a", late.Format(millis))}}
			}
			turn := c.turn(page, now)
			found = found || len(turn.Fresh) > 0
			if len(turn.Fresh) > 0 && turn.Gap == nil {
				t.Error("nothing was said")
			}
			if turn.Done {
				break
			}
		}
		if !found {
			t.Error("the object behind was lost")
		}
	})
	t.Run("more that is always true", func(t *testing.T) {
		p := &pager{size: 10}
		p.add(25, pageEpoch, millis)
		for i := range p.objects {
			p.objects[i].Modified = pageEpoch.Add(time.Duration(i) * time.Second).Format(millis)
		}
		c := newPageCursor("1", "indicator", pageEpoch.Add(-time.Hour))
		got := 0
		for range 60 {
			page := p.page(c.asked())
			page.More = true
			turn := c.turn(page, now)
			got += len(turn.Fresh)
			if turn.Gap != nil {
				t.Errorf("a gap where there is none: %v", turn.Gap)
			}
			if turn.Done {
				if got != 25 {
					t.Errorf("%d of 25", got)
				}
				return
			}
		}
		t.Error("no end")
	})
	t.Run("elements without id or date", func(t *testing.T) {
		c := newPageCursor("1", "indicator", pageEpoch)
		page := threatmatch.Page{More: true, Objects: []threatmatch.PageObject{
			{Raw: []byte(`{"error":"x"}`)}, {Raw: []byte(`7`)}, object("a", ""), object("b", "soon"),
		}}
		if turn := c.turn(page, now); len(turn.Fresh) != 4 || turn.Done {
			t.Errorf("got %+v", turn)
		}
		for range 100 {
			turn := c.turn(page, now)
			if turn.Done {
				return
			}
			if c.Last.After(pageEpoch) {
				t.Fatalf("cursor moved by nonsense: %+v", c)
			}
		}
		t.Error("no end")
	})
	t.Run("errors that differ each time", func(t *testing.T) {
		c := newPageCursor("1", "indicator", pageEpoch)
		for i := range 100 {
			turn := c.turn(threatmatch.Page{More: true, Objects: []threatmatch.PageObject{{Raw: fmt.Appendf(nil, `{"error":%d}`, i)}}}, now)
			if len(turn.Fresh) != 1 {
				t.Fatal("an element vanished")
			}
			if turn.Done {
				return
			}
		}
		t.Error("no end")
	})
	t.Run("a date in the far future does not move the cursor", func(t *testing.T) {
		c := newPageCursor("1", "indicator", pageEpoch)
		near := pageEpoch.Add(time.Minute)
		c.turn(threatmatch.Page{More: true, Objects: []threatmatch.PageObject{
			object("far", "2099-01-01T00:00:00.000Z"), object("near", near.Format(millis))}}, now)
		if !c.Last.Equal(near) {
			t.Errorf("last is %v", c.Last)
		}
		if turn := c.turn(threatmatch.Page{More: true, Objects: []threatmatch.PageObject{
			object("far", "2099-01-01T00:00:00.000Z"), object("next", near.Add(time.Minute).Format(millis))}}, now); len(turn.Fresh) != 1 {
			t.Errorf("came again: %+v", turn.Fresh)
		}
	})
	t.Run("a new version within the paging is taken", func(t *testing.T) {
		c := newPageCursor("1", "indicator", pageEpoch)
		c.turn(threatmatch.Page{More: true, Objects: []threatmatch.PageObject{object("a", "2026-03-01T12:01:00.000Z")}}, now)
		turn := c.turn(threatmatch.Page{Objects: []threatmatch.PageObject{
			object("a", "2026-03-01T12:01:00.000Z"), object("a", "2026-03-01T12:02:00.000Z")}}, now)
		if len(turn.Fresh) != 1 || turn.Fresh[0].Modified != "2026-03-01T12:02:00.000Z" {
			t.Errorf("got %+v", turn.Fresh)
		}
	})
}

func TestAskedForm(t *testing.T) {
	for text, want := range map[string]string{
		"2026-03-01T12:00:00Z":                "2026-03-01T12:00:00.000Z",
		"2026-03-01T12:00:00.12Z":             "2026-03-01T12:00:00.120Z",
		"2026-03-01T12:00:00.123456Z":         "2026-03-01T12:00:00.123456Z",
		"2026-03-01 14:00:00.123456789+02:00": "2026-03-01T12:00:00.123456789Z",
		"2026-03-01 12:00:00":                 "2026-03-01T12:00:00.000Z",
	} {
		at, _ := modifiedAt(text)
		if got := (&pageCursor{After: at}).asked(); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	for _, bad := range []string{"", "soon", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"} {
		if at, _ := modifiedAt(bad); !at.IsZero() {
			t.Errorf("%q was read as %v", bad, at)
		}
	}
	if !slices.Equal([]int64{1e6, 1e6, 1e3, 1}, units("12:00:00Z", "12:00:00.123Z", "12:00:00.1234Z", "12:00:00.1234567+02:00")) {
		t.Error("wrong resolution")
	}
}

func units(times ...string) []int64 {
	var out []int64
	for _, s := range times {
		_, u := modifiedAt("2026-03-01T" + s)
		out = append(out, u)
	}
	return out
}

// FuzzPage takes any stored cursor and any page: nothing may panic, and the
// question may not move back but for the one second.
func FuzzPage(f *testing.F) {
	f.Add([]byte(`{"group":"1","type":"indicator","after":"2026-03-01T12:00:00Z","last":"2026-03-01T12:00:00Z","unit":1000}`), "a", "2026-03-01T12:00:00.123456Z", true)
	f.Add([]byte(`{"type":"x","after":"2026-03-01T12:00:00Z","seen":[{"k":"","t":-1}],"again":true,"unit":-5}`), "", "", true)
	f.Add([]byte(`null`), "b", "2026-03-01 12:00:00", false)
	f.Fuzz(func(t *testing.T, cursor []byte, id, modified string, more bool) {
		task := spool.Task{TaskKey: spool.TaskKey{Dataset: spool.IOCs, Source: "1/indicator"}, TaskState: spool.TaskState{Cursor: cursor}}
		c := cursorOf(task, &fetchRun{Run: spool.Run{Datasets: map[spool.Dataset]spool.DatasetRun{spool.IOCs: {From: pageEpoch}}}})
		if c.After.Year() < 1970 || c.After.Year() > 2200 || c.Last.Year() > 2200 {
			return // nothing that we ever store
		}
		before, rough := c.After, c.Rough
		page := threatmatch.Page{More: more, Objects: []threatmatch.PageObject{{ID: id, Modified: modified, Raw: []byte("{}")}}}
		turn := c.turn(page, pageEpoch.Add(time.Hour))
		if c.After.Before(before) && rough == c.Rough {
			t.Errorf("moved back from %v to %v", before, c.After)
		}
		if !more && !turn.Done && rough == c.Rough {
			t.Error("no end at the last page")
		}
		if _, err := json.Marshal(c); err != nil {
			t.Errorf("cursor cannot be stored: %v", err)
		}
	})
}
