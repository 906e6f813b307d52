package paging

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/internal/threatmatch"
)

// walk pages to the end. It returns how often each id arrived, and the gaps.
func walk(t interface{ Fatalf(string, ...any) }, p *pipelinetest.Pager, from, now time.Time) (map[string]int, []Gap) {
	return walkOn(t, p, New("1", "indicator", from), now)
}

// walkOn is walk from a cursor.
func walkOn(t interface{ Fatalf(string, ...any) }, p *pipelinetest.Pager, c Cursor, now time.Time) (map[string]int, []Gap) {
	got := map[string]int{}
	var gaps []Gap
	for range 100000 {
		before, form := c.After, c.Form
		asked := c.Query()
		page := p.Page(asked)
		turn := c.Take(page, now)
		if turn.Fresh.Count == 0 && !turn.Done && c.Query() == asked {
			t.Fatalf("asked %s again, which brought nothing new", asked)
		}
		if pieces := turn.Fresh.Pieces(page); pieces != nil {
			body, _ := pieces.Next()
			for _, id := range bodyIDs(t, body) {
				got[id]++
			}
		}
		if turn.Gap != nil {
			gaps = append(gaps, *turn.Gap)
		}
		if turn.Failed != "" {
			t.Fatalf("failed: %s", turn.Failed)
		}
		if c.After.Before(before) && c.Stepped == 0 && c.Layout == "" && form == cursorForm {
			t.Fatalf("the question moved back from %v to %v", before, c.After)
		}
		if turn.Done {
			return got, gaps
		}
		text, err := json.Marshal(c) // as a restart would see it
		c = Cursor{}
		if err != nil || json.Unmarshal(text, &c) != nil {
			t.Fatalf("cursor %s does not survive", text)
		}
	}
	t.Fatalf("no end after %d questions, the last: %v", len(p.Asked), p.Asked[len(p.Asked)-5:])
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

// zoneless is how a server in a time zone other than UTC writes times.
const zoneless = "2006-01-02 15:04:05"

var tieForms = []string{pipelinetest.Millis, pipelinetest.Micros, pipelinetest.Secs, zoneless, zoneless + ".000000", pipelinetest.EpochForm, pipelinetest.MillisForm, "2006-01-02T15:04:05-0700", time.RFC1123Z}

// tied is a server with a block of equal times between two small blocks.
func tied(size, block int, exclusive, shuffled bool, form string) *pipelinetest.Pager {
	p := &pipelinetest.Pager{Size: size, Exclusive: exclusive, Local: time.UTC}
	if shuffled {
		p.Shuffle = rand.New(rand.NewPCG(1, 2))
	}
	if strings.HasPrefix(form, zoneless) {
		p.Local, p.Layouts = time.FixedZone("", 3600), []string{form}
		if exclusive {
			p.Local = time.FixedZone("", -5*3600)
		}
	}
	p.Add(7, pipelinetest.PageEpoch, form)
	p.Add(block, pipelinetest.PageEpoch.Add(3*time.Second), form)
	p.Add(7, pipelinetest.PageEpoch.Add(5*time.Second), form)
	return p
}

// checkPaging fails unless everything that the API can return arrived. What fits on
// a page is never lost. Of a larger block only a page's worth can be had, and the
// rest is reported.
func checkPaging(t *testing.T, p *pipelinetest.Pager, block int, got map[string]int, gaps []Gap, about string) {
	t.Helper()
	lost := len(p.Objects) - len(got)
	canLose := max(0, 7-p.Size)*2 + max(0, block-p.Size)
	if lost > canLose || lost > 0 && len(gaps) == 0 {
		t.Errorf("%s: lost %d of %d, gaps %v", about, lost, len(p.Objects), gaps)
	}
	if most := 80 + 4*len(p.Objects); len(p.Asked) > most {
		t.Errorf("%s: %d requests, want at most %d", about, len(p.Asked), most)
	}
}

// TestTies is the table of page size × block size × comparison × form: nothing may
// be lost that the API can return, that is, while a block fits on a page.
func TestTies(t *testing.T) {
	for _, size := range []int{1, 2, 10, 100} {
		for _, block := range []int{1, 2, 5, 9, 10, 11, 50, 99, 100, 101, 250} {
			for _, exclusive := range []bool{false, true} {
				for _, form := range tieForms {
					for _, shuffled := range []bool{false, true} {
						about := fmt.Sprintf("page %d, block %d, exclusive %v, %s, shuffled %v", size, block, exclusive, form, shuffled)
						p := tied(size, block, exclusive, shuffled, form)
						got, gaps := walk(t, p, pipelinetest.PageEpoch.Add(-time.Hour), pipelinetest.PageEpoch.Add(time.Hour))
						checkPaging(t, p, block, got, gaps, about)
						for id, n := range got {
							if n > 1 {
								t.Errorf("%s: %s came %d times", about, id, n)
							}
						}
					}
				}
			}
		}
	}
}

// oldCursor is where the previous version was after the first page: it read texts
// without a zone as UTC, and accepted only RFC 3339.
func oldCursor(t *testing.T, p *pipelinetest.Pager, from time.Time) Cursor {
	t.Helper()
	c := New("1", "indicator", from)
	page := p.Page(c.Query())
	for o := range page.Objects {
		at, err := time.Parse(time.RFC3339Nano, strings.Replace(o.Modified, " ", "T", 1))
		if err != nil {
			at, err = time.Parse("2006-01-02T15:04:05.999999999", strings.Replace(o.Modified, " ", "T", 1))
		}
		if err == nil {
			c.Last = later(c.Last, at)
		}
		c.Seen = append(c.Seen, seenObject{Key: sumOf(o).text(), At: at.UnixNano()})
	}
	c.After = later(c.After, c.Last.Truncate(time.Millisecond).Add(-time.Millisecond))
	c.Again = c.After.Before(c.Last) && c.After.After(from)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return Resume([]byte(strings.Replace(string(text), `,"form":2`, "", 1)), "1", "indicator", from)
}

// TestTiesFromAnOldCursor continues from the cursor of an earlier version.
func TestTiesFromAnOldCursor(t *testing.T) {
	for _, size := range []int{2, 10, 100} {
		for _, block := range []int{1, 5, 10, 11, 50, 101} {
			for _, exclusive := range []bool{false, true} {
				for _, form := range tieForms {
					about := fmt.Sprintf("page %d, block %d, exclusive %v, %s", size, block, exclusive, form)
					p := tied(size, block, exclusive, false, form)
					for i := range 20 { // an hour further on, where a wrong zone would go on
						p.Add(1, pipelinetest.PageEpoch.Add(time.Hour+time.Duration(i)*time.Minute), form)
					}
					c := oldCursor(t, p, pipelinetest.PageEpoch.Add(-time.Minute))
					taken := map[string]int{}
					for o := range p.Page(threatmatch.ModifiedAfter(pipelinetest.PageEpoch.Add(-time.Minute))).Objects {
						taken[o.ID]++
					}
					got, gaps := walkOn(t, p, c, pipelinetest.PageEpoch.Add(3*time.Hour))
					if form == pipelinetest.Millis && p.Asked[2] == p.Asked[0] {
						t.Errorf("%s: begins anew, though its place is confirmed", about)
					}
					for id, n := range taken {
						got[id] += n
					}
					checkPaging(t, p, block, got, gaps, about)
				}
			}
		}
	}
}

// TestSixtyInEveryForm: 60 objects in pages of ten arrive in each form of times.
func TestSixtyInEveryForm(t *testing.T) {
	carbon := func(at time.Time) string {
		return fmt.Sprintf(`{"date":"%s","timezone_type":3,"timezone":"Europe/Berlin"}`, at.Add(time.Hour).Format("2006-01-02 15:04:05.000000"))
	}
	layout := func(l string) func(time.Time) string { return func(at time.Time) string { return at.Format(l) } }
	for name, form := range map[string]func(time.Time) string{
		"RFC 3339": layout(time.RFC3339), "nine digits": layout("2006-01-02T15:04:05.000000000Z07:00"), "one digit": layout("2006-01-02T15:04:05.0Z07:00"),
		"DATE_ISO8601": layout("2006-01-02T15:04:05-0700"), "hours of offset": layout("2006-01-02T15:04:05-07"), "blank": layout("2006-01-02 15:04:05Z"),
		"lower case": layout("2006-01-02t15:04:05z"), "no seconds": layout("2006-01-02T15:04Z"), "no seconds, no zone": layout("2006-01-02 15:04"),
		"no zone": layout("2006-01-02T15:04:05"), "UTC": layout("2006-01-02 15:04:05 UTC"), "comma": layout("2006-01-02T15:04:05,000Z"),
		"epoch":        func(at time.Time) string { return fmt.Sprint(at.Unix()) },
		"milliseconds": func(at time.Time) string { return fmt.Sprint(at.UnixMilli()) },
		"RFC 2822":     layout(time.RFC1123Z), "Carbon": carbon,
		"day": layout("2006-01-02"), "month": layout("2006-01"), "year": layout("2006"),
	} {
		for _, exclusive := range []bool{false, true} {
			p := &pipelinetest.Pager{Size: 10, Exclusive: exclusive}
			for i := range 60 {
				at := pipelinetest.PageEpoch.Add(time.Duration(i-60) * time.Minute)
				switch name {
				case "day":
					at = time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC)
				case "month":
					at = time.Date(2021, time.Month(1+i), 1, 0, 0, 0, 0, time.UTC)
				case "year":
					at = time.Date(1971+i, 1, 1, 0, 0, 0, 0, time.UTC)
				}
				p.AddAs(at, form(at))
			}
			now := p.Times[59].Add(time.Hour)
			got, gaps := walk(t, p, time.Unix(0, 0).Add(-time.Hour), now)
			if len(got) != 60 || len(gaps) != 0 || len(p.Asked) > 14 {
				t.Errorf("%s, exclusive %v: got %d objects in %d requests, gaps %v; want 60", name, exclusive, len(got), len(p.Asked), gaps)
			}
		}
	}
}

// TestSpanEnds: what was modified at one time comes, with what else is on its pages.
func TestSpanEnds(t *testing.T) {
	p := &pipelinetest.Pager{Size: 4}
	for i := range 20 {
		p.Add(1, pipelinetest.PageEpoch.Add(time.Duration(i/3)*time.Second), pipelinetest.Millis)
	}
	got, _ := walkOn(t, p, NewSpan("1", "indicator", pipelinetest.PageEpoch.Add(time.Second)), pipelinetest.PageEpoch.Add(time.Hour))
	if got["indicator--00003"]+got["indicator--00004"]+got["indicator--00005"] != 3 || len(got) > 10 {
		t.Errorf("got %v, want the three of the time and their neighbours", got)
	}
}

func TestNoGapWithoutTies(t *testing.T) {
	for _, exclusive := range []bool{false, true} {
		p := &pipelinetest.Pager{Size: 100, Exclusive: exclusive}
		for i := range 3000 {
			p.Add(1, pipelinetest.PageEpoch.Add(time.Duration(i)*time.Second), pipelinetest.Millis)
		}
		got, gaps := walk(t, p, pipelinetest.PageEpoch.Add(-time.Hour), pipelinetest.PageEpoch.Add(time.Hour))
		if len(got) != 3000 || len(gaps) != 0 || len(p.Asked) > 31 {
			t.Errorf("exclusive %v: %d objects, gaps %v, %d requests", exclusive, len(got), gaps, len(p.Asked))
		}
	}
}

// TestFineTimestamps has more objects within a millisecond than a page holds.
func TestFineTimestamps(t *testing.T) {
	for _, exclusive := range []bool{false, true} {
		p := &pipelinetest.Pager{Size: 10, Exclusive: exclusive}
		for i := range 200 {
			p.Add(1, pipelinetest.PageEpoch.Add(time.Duration(i)*3*time.Microsecond), pipelinetest.Micros)
		}
		got, gaps := walk(t, p, pipelinetest.PageEpoch.Add(-time.Hour), pipelinetest.PageEpoch.Add(time.Hour))
		if len(got) != 200 || len(gaps) > 0 || len(p.Asked) > 30 {
			t.Errorf("exclusive %v: %d of 200 in %d requests, gaps %v", exclusive, len(got), len(p.Asked), gaps)
		}
	}
}

// TestFinerThanTheServerCompares: the texts tell more apart than the server does,
// and a page cannot hold what it takes for equal. That is a gap, not a failure of
// every run.
func TestFinerThanTheServerCompares(t *testing.T) {
	p := &pipelinetest.Pager{Size: 2, Exclusive: true, Trunc: time.Millisecond, Rough: true}
	for _, micros := range []time.Duration{1, 1003, 2003, 2004, 2004, 9004} {
		p.Add(1, pipelinetest.PageEpoch.Add(micros*time.Microsecond), pipelinetest.Micros)
	}
	got, gaps := walk(t, p, pipelinetest.PageEpoch.Add(-time.Hour), pipelinetest.PageEpoch.Add(time.Hour))
	if len(got) != 5 || len(gaps) == 0 {
		t.Errorf("got %d objects of 6, gaps %v; want all but one, and a gap", len(got), gaps)
	}
}

// TestRoughAndShuffled: the question that is moved on past a page without anything
// new is the first that shows that the server compares by the second.
func TestRoughAndShuffled(t *testing.T) {
	p := &pipelinetest.Pager{Size: 20, Exclusive: true, Trunc: time.Second, Rough: true, Shuffle: rand.New(rand.NewPCG(0, 0))}
	p.Add(11, pipelinetest.PageEpoch, pipelinetest.Millis)
	p.Add(10, pipelinetest.PageEpoch.Add(2001*time.Millisecond), pipelinetest.Millis)
	got, gaps := walk(t, p, pipelinetest.PageEpoch.Add(-time.Hour), pipelinetest.PageEpoch.Add(time.Hour))
	if len(got) != 21 || len(gaps) != 0 {
		t.Errorf("got %d objects of 21, gaps %v", len(got), gaps)
	}
}

// TestPagingEndsAndLosesNothing draws servers at random.
func TestPagingEndsAndLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &pipelinetest.Pager{
			Size:      rapid.IntRange(1, 20).Draw(t, "size"),
			Exclusive: rapid.Bool().Draw(t, "exclusive"),
			Trunc:     rapid.SampledFrom([]time.Duration{0, 0, time.Millisecond, time.Second}).Draw(t, "trunc"),
		}
		p.Rough = p.Trunc > 0 && rapid.Bool().Draw(t, "rough")
		if rapid.Bool().Draw(t, "shuffle") {
			p.Shuffle = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		}
		form := rapid.SampledFrom([]string{pipelinetest.Millis, pipelinetest.Micros, pipelinetest.Secs}).Draw(t, "form")
		at, largest := pipelinetest.PageEpoch, 0
		for range rapid.IntRange(0, 12).Draw(t, "blocks") {
			at = at.Add(time.Duration(rapid.SampledFrom([]int{1, 1000, 2000000, 3000000000}).Draw(t, "step")) * time.Microsecond)
			p.Add(rapid.IntRange(1, 30).Draw(t, "block"), at, form)
		}
		at = time.Time{}
		window := max(p.Trunc, time.Millisecond)
		if form == pipelinetest.Secs {
			window = time.Second
		}
		for i := range p.Objects { // the most objects that one question cannot tell apart
			first, n := p.Times[i], 0
			for _, m := range p.Times[i:] {
				if m.Sub(first.Truncate(window)) < 2*window {
					n++
				}
			}
			largest = max(largest, n)
		}
		got, gaps := walk(t, p, pipelinetest.PageEpoch.Add(-time.Hour), pipelinetest.PageEpoch.Add(240*time.Hour))
		if len(got) < len(p.Objects) && (largest < p.Size || len(gaps) == 0) {
			t.Fatalf("%d of %d objects, largest block %d, page %d, gaps %v", len(got), len(p.Objects), largest, p.Size, gaps)
		}
	})
}

// TestPagingEndsWithAnyServer draws servers that give some of a few objects on any page, with whatever times, and always
// say that there are more.
func TestPagingEndsWithAnyServer(t *testing.T) {
	const days = 10
	now := pipelinetest.PageEpoch
	rapid.Check(t, func(t *rapid.T) {
		form := rapid.SampledFrom([]string{pipelinetest.Millis, pipelinetest.Micros, pipelinetest.Secs, "2006-01-02 15:04:05"}).Draw(t, "form")
		object := rapid.Custom(func(t *rapid.T) threatmatch.PageObject {
			id := rapid.IntRange(0, 5).Draw(t, "id")
			at := now.Add(time.Duration(rapid.IntRange(-2*days*86400, 3*86400).Draw(t, "at")/86400*(id+1)/6*86400) * time.Second)
			o := threatmatch.PageObject{ID: fmt.Sprint("indicator--", id), Modified: at.Format(form)}
			if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
				o.Modified = rapid.SampledFrom([]string{"", "soon", "9999-01-01T00:00:00Z", "2199-01-01T00:00:00Z", "1970-01-01T00:00:00Z"}).Draw(t, "text")
			}
			o.Raw = fmt.Appendf(nil, `{"id":%q}`, o.ID)
			return o
		})
		pages := rapid.SliceOfN(rapid.SliceOfN(object, 0, 6), 1, 8).Draw(t, "pages")
		c := New("1", "indicator", now.AddDate(0, 0, -days))
		for n := 0; ; n++ {
			step := c.Take(threatmatch.Page{More: true, Objects: slices.Values(pages[n%len(pages)])}, now)
			if step.Done || step.Failed != "" {
				return
			}
			if n > 500 {
				t.Fatalf("no end after %d pages, at %v: %v", n, c.After, pages)
			}
		}
	})
}

func TestOddPages(t *testing.T) {
	now := pipelinetest.PageEpoch.Add(time.Hour)
	object := func(id, modified string) threatmatch.PageObject {
		return threatmatch.PageObject{ID: id, Modified: modified, Raw: fmt.Appendf(nil, `{"id":%q}`, id)}
	}
	t.Run("more without objects", func(t *testing.T) {
		c := New("1", "indicator", pipelinetest.PageEpoch.Add(-24*365*time.Hour))
		var gap *Gap
		turns := 0
		for done := false; !done; turns++ {
			turn := c.Take(threatmatch.Page{More: true}, now)
			done, gap = turn.Done, turn.Gap
		}
		if gap != nil || turns > 400 {
			t.Errorf("%d turns, gap %v", turns, gap)
		}
	})
	t.Run("ever new elements without id are no progress", func(t *testing.T) {
		c := New("1", "indicator", pipelinetest.PageEpoch.Add(-time.Hour))
		for n, done := 0, false; !done; n++ {
			if n > 400 {
				t.Fatal("no end")
			}
			page := []threatmatch.PageObject{object("a", "2026-03-01T11:30:00.000Z"), {Raw: fmt.Appendf(nil, `{"error":%d}`, n)}}
			done = c.Take(threatmatch.Page{More: true, Objects: slices.Values(page)}, now).Done
		}
	})
	t.Run("more different objects than a cursor may remember", func(t *testing.T) {
		for _, more := range []bool{true, false} {
			c := New("1", "indicator", pipelinetest.PageEpoch)
			many := func(yield func(threatmatch.PageObject) bool) {
				for i := range mostSeen + 1 {
					if !yield(threatmatch.PageObject{ID: strconv.Itoa(i), Modified: "2026-03-01T12:01:00.000Z"}) {
						return
					}
				}
			}
			turn := c.Take(threatmatch.Page{More: more, Objects: many}, now)
			if (turn.Failed != "") != more || len(c.Seen) > 0 {
				t.Errorf("more %v: failed %q with %d remembered", more, turn.Failed, len(c.Seen))
			}
		}
	})
	t.Run("without zone, and out of order", func(t *testing.T) {
		c := New("1", "indicator", pipelinetest.PageEpoch.Add(-time.Hour))
		var page []threatmatch.PageObject
		for _, s := range []int{3, 10, 4, 9} {
			page = append(page, object(strconv.Itoa(s), fmt.Sprintf("2026-03-01 12:00:%02d", s)))
		}
		c.Take(threatmatch.Page{More: true, Objects: slices.Values(page)}, now)
		if want := "2026-03-01 12:00:04"; c.Query() != want {
			t.Errorf("asks %s next, want %s: from as far back as the page was out of order", c.Query(), want)
		}
	})
	t.Run("a gap behind a page that was out of order", func(t *testing.T) {
		c := New("1", "indicator", pipelinetest.PageEpoch)
		same := threatmatch.Page{More: true, Objects: slices.Values([]threatmatch.PageObject{object("b", "2026-03-01T12:05:00.000Z"), object("a", "2026-03-01T12:01:00.000Z")})}
		other := threatmatch.Page{Objects: slices.Values([]threatmatch.PageObject{object("c", "2026-03-01T12:30:00.000Z")})}
		var turn Step
		for _, page := range []threatmatch.Page{same, same, other, other} {
			turn = c.Take(page, now)
		}
		if !turn.Done || turn.Fresh.Count != 1 || turn.Gap == nil {
			t.Errorf("got %+v, want the last object, and a gap before it", turn)
		}
	})
	t.Run("an old object again and again, between empty pages", func(t *testing.T) {
		c := New("1", "indicator", pipelinetest.PageEpoch.AddDate(0, 0, -10))
		pages := [][]threatmatch.PageObject{{object("a", "1970-01-01T00:00:00Z"), object("a", "2026-02-26T12:00:00.000Z")}, nil, nil}
		for n := range 200 {
			if turn := c.Take(threatmatch.Page{More: true, Objects: slices.Values(pages[n%3])}, now); turn.Done || turn.Failed != "" {
				return
			}
		}
		t.Errorf("no end, at %v", c.After)
	})
	t.Run("a filtered stretch is stepped over", func(t *testing.T) {
		c := New("1", "indicator", pipelinetest.PageEpoch.Add(-24*30*time.Hour))
		late := pipelinetest.PageEpoch.Add(-time.Hour)
		found := false
		for range 60 {
			page := threatmatch.Page{More: true}
			if c.After.After(late.Add(-4 * time.Hour)) {
				page = threatmatch.Page{Objects: slices.Values([]threatmatch.PageObject{object("a", late.Format(pipelinetest.Millis))})}
			}
			turn := c.Take(page, now)
			found = found || turn.Fresh.Count > 0
			if turn.Fresh.Count > 0 && turn.Gap == nil {
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
		p := &pipelinetest.Pager{Size: 10}
		p.Add(25, pipelinetest.PageEpoch, pipelinetest.Millis)
		for i := range p.Objects {
			p.Times[i] = pipelinetest.PageEpoch.Add(time.Duration(i) * time.Second)
			p.Objects[i].Modified = p.Times[i].Format(pipelinetest.Millis)
		}
		c := New("1", "indicator", pipelinetest.PageEpoch.Add(-time.Hour))
		got := 0
		for range 60 {
			page := p.Page(c.Query())
			page.More = true
			turn := c.Take(page, now)
			got += turn.Fresh.Count
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
		c := New("1", "indicator", pipelinetest.PageEpoch)
		page := threatmatch.Page{More: true, Objects: slices.Values([]threatmatch.PageObject{
			{Raw: []byte(`{"error":"x"}`)}, {Raw: []byte(`7`)}, object("a", ""), object("b", "soon"),
		})}
		for _, page.More = range []bool{true, false} {
			turn := c.Take(page, now)
			want := Step{Failed: "no time of the page can be read: the log shows the first of them", Unread: Unread{4, ` modified ""`}}
			if turn.Failed != want.Failed || turn.Unread != want.Unread || turn.Done {
				t.Errorf("more %v: got %+v, want %+v", page.More, turn, want)
			}
			if page.More && turn.Fresh.Count != 4 {
				t.Errorf("got %d elements, want 4", turn.Fresh.Count)
			}
			if c.Query() != "2026-03-01T12:00:00.000Z" {
				t.Errorf("cursor moved by nonsense to %s", c.Query())
			}
		}
	})
	t.Run("one undated object takes the page's last time", func(t *testing.T) {
		c := New("1", "indicator", pipelinetest.PageEpoch)
		turn := c.Take(threatmatch.Page{More: true, Objects: slices.Values([]threatmatch.PageObject{
			object("a", "soon"), object("b", pipelinetest.PageEpoch.Add(time.Minute).Format(pipelinetest.Millis))})}, now)
		if turn.Failed != "" || turn.Fresh.Count != 2 || c.Query() != "2026-03-01T12:00:59.999Z" || turn.Unread != (Unread{1, `a modified "soon"`}) {
			t.Errorf("got %+v, next %s", turn, c.Query())
		}
	})
	t.Run("a page that shows nothing of what was taken fails the dataset", func(t *testing.T) {
		c := New("1", "indicator", pipelinetest.PageEpoch)
		c.Take(threatmatch.Page{More: true, Objects: slices.Values([]threatmatch.PageObject{object("a", "2026-03-01T12:01:00.000Z"), object("b", "2026-03-01T12:05:00.000Z")})}, now)
		other := threatmatch.Page{Objects: slices.Values([]threatmatch.PageObject{object("c", "2026-03-01T12:30:00.000Z")})}
		var asked []string
		for range 4 {
			asked = append(asked, c.Query())
			turn := c.Take(other, now)
			if turn.Fresh.Count != 0 || turn.Done {
				t.Fatalf("got %+v", turn)
			}
			if turn.Failed != "" {
				break
			}
		}
		if want := []string{"2026-03-01T12:04:59.999Z", "2026-03-01T12:04:59.000Z", "2026-03-01T12:00:00.000Z"}; !slices.Equal(asked, want) {
			t.Errorf("asked %v, want %v", asked, want)
		}
		if c.Query() != "2026-03-01T12:00:00.000Z" || c.Again {
			t.Errorf("the next run asks %s, want the window's start", c.Query())
		}
	})
	t.Run("what is told of a failure has no text from the page", func(t *testing.T) {
		c := New("1", "indicator", pipelinetest.PageEpoch)
		c.ask(question{At: c.After, Text: `{"date":"2026-03-01 12:00:00","timezone_type":3,"timezone":"UTC","x":"of the feed"}`})
		c.Again, c.Rough = true, true
		turn := c.Take(threatmatch.Page{More: true, Objects: slices.Values([]threatmatch.PageObject{object("a", "2026-03-01T12:01:00Z")})}, now)
		if want := "the page after 2026-03-01T12:00:00.000Z shows nothing of what the server returned before around that time"; turn.Failed != want {
			t.Errorf("failed with %q, want %q", turn.Failed, want)
		}
	})
	t.Run("what stood last is gone, and the rest is not", func(t *testing.T) {
		c := New("1", "indicator", pipelinetest.PageEpoch)
		one := []threatmatch.PageObject{object("a", "2026-03-01T12:01:00.000Z"), object("b", "2026-03-01T12:05:00.000Z")}
		first := threatmatch.Page{More: true, Objects: slices.Values(one)}
		c.Take(first, now)
		moved := threatmatch.Page{Objects: slices.Values([]threatmatch.PageObject{object("b", "2026-03-01T12:30:00.000Z")})}
		c.Take(moved, now)
		c.Take(moved, now)
		if turn := c.Take(threatmatch.Page{More: true, Objects: slices.Values(one[:1])}, now); turn.Failed != "" || c.Query() != "2026-03-01T12:00:59.999Z" {
			t.Errorf("got %+v, next %s", turn, c.Query())
		}
		turn := c.Take(threatmatch.Page{Objects: slices.Values([]threatmatch.PageObject{one[0], object("b", "2026-03-01T12:30:00.000Z")})}, now)
		if !turn.Done || turn.Fresh.Count != 1 || turn.Failed != "" {
			t.Errorf("got %+v", turn)
		}
	})
	t.Run("a date in the far future does not move the cursor", func(t *testing.T) {
		c := New("1", "indicator", pipelinetest.PageEpoch)
		near := pipelinetest.PageEpoch.Add(time.Minute)
		c.Take(threatmatch.Page{More: true, Objects: slices.Values([]threatmatch.PageObject{
			object("far", "2099-01-01T00:00:00.000Z"), object("near", near.Format(pipelinetest.Millis))})}, now)
		if !c.Last.Equal(near) {
			t.Errorf("last is %v", c.Last)
		}
		if turn := c.Take(threatmatch.Page{More: true, Objects: slices.Values([]threatmatch.PageObject{
			object("far", "2099-01-01T00:00:00.000Z"), object("next", near.Add(time.Minute).Format(pipelinetest.Millis))})}, now); turn.Fresh.Count != 1 {
			t.Errorf("came again: %+v", turn.Fresh)
		}
	})
	t.Run("a new version within the paging is taken", func(t *testing.T) {
		c := New("1", "indicator", pipelinetest.PageEpoch)
		c.Take(threatmatch.Page{More: true, Objects: slices.Values([]threatmatch.PageObject{object("a", "2026-03-01T12:01:00.000Z")})}, now)
		turn := c.Take(threatmatch.Page{Objects: slices.Values([]threatmatch.PageObject{
			object("a", "2026-03-01T12:01:00.000Z"), object("a", "2026-03-01T12:02:00.000Z")})}, now)
		if turn.Fresh.Count != 1 || !turn.Fresh.Has(1) {
			t.Errorf("got %+v", turn.Fresh)
		}
	})
}

func TestAskedForm(t *testing.T) {
	for text, want := range map[string]string{
		"2026-03-01T12:00:00Z":                "2026-03-01T12:00:00.000Z",
		"2026-03-01T12:00:00.12Z":             "2026-03-01T12:00:00.120Z",
		"2026-03-01T12:00:00.123999Z":         "2026-03-01T12:00:00.123Z",
		"2026-03-01 14:00:00.123456789+02:00": "2026-03-01T12:00:00.123Z",
	} {
		at, _ := modifiedAt(text)
		if got := (&Cursor{After: at.Time}).Query(); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	for _, bad := range []string{"", "soon", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"} {
		if at, ok := modifiedAt(bad); ok {
			t.Errorf("%q was read as %v", bad, at)
		}
	}
}

// FuzzPage takes any stored cursor and any page: nothing may panic, and the
// question may not move back but for the one second.
func FuzzPage(f *testing.F) {
	f.Add([]byte(`{"group":"1","type":"indicator","after":"2026-03-01T12:00:00Z","last":"2026-03-01T12:00:00Z","unit":1000}`), "a", "2026-03-01T12:00:00.123456Z", true)
	f.Add([]byte(`{"type":"x","after":"2026-03-01T12:00:00Z","seen":[{"k":"","t":-1}],"again":true,"unit":-5}`), "", "", true)
	f.Add([]byte(`null`), "b", "2026-03-01 12:00:00", false)
	f.Fuzz(func(t *testing.T, cursor []byte, id, modified string, more bool) {
		c := Resume(cursor, "1", "indicator", pipelinetest.PageEpoch)
		if c.After.Year() < 1970 || c.After.Year() > 2200 || c.Last.Year() > 2200 {
			return // nothing that we ever store
		}
		before, stepped, form := c.After, c.Stepped, c.Form
		page := threatmatch.Page{More: more, Objects: slices.Values([]threatmatch.PageObject{{ID: id, Modified: modified, Raw: []byte("{}")}})}
		turn := c.Take(page, pipelinetest.PageEpoch.Add(time.Hour))
		if c.After.Before(before) && stepped == c.Stepped && c.Layout == "" && turn.Failed == "" && form == cursorForm {
			t.Errorf("moved back from %v to %v", before, c.After)
		}
		if !more && !turn.Done && stepped == c.Stepped && turn.Failed == "" && form == cursorForm {
			t.Error("no end at the last page")
		}
		if _, err := json.Marshal(c); err != nil {
			t.Errorf("cursor cannot be stored: %v", err)
		}
	})
}

// TestManyPagesAreTold: a server that never comes to an end is told of, again at
// each doubling, in a cursor that is stored between pages too.
func TestManyPagesAreTold(t *testing.T) {
	from := time.Date(2026, 3, 1, 4, 5, 6, 789e6, time.UTC)
	c := New("1", "indicator", from)
	var told []int
	var last threatmatch.PageObject
	for i := range 4*manyPages + 3 {
		id := fmt.Sprintf("indicator--00000000-0000-4000-8000-%012d", i)
		at := from.Add(time.Duration(i) * 7 * time.Millisecond).Format("2006-01-02T15:04:05.000Z")
		objects := slices.Values([]threatmatch.PageObject{{ID: id, Modified: at}})
		if len(c.Seen) > 0 { // an exclusive server would not show it
			objects = slices.Values([]threatmatch.PageObject{last, {ID: id, Modified: at}})
		}
		last = threatmatch.PageObject{ID: id, Modified: at}
		step := c.Take(threatmatch.Page{More: true, Objects: objects}, from.AddDate(1, 0, 0))
		if step.Done || step.Failed != "" {
			t.Fatalf("page %d ended the paging: %+v", i, step)
		}
		if step.Many > 0 {
			told = append(told, step.Many)
		}
		if i%1000 == 0 {
			stored, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			c = Resume(stored, "1", "indicator", from)
		}
	}
	if want := []int{manyPages, 2 * manyPages, 4 * manyPages}; !slices.Equal(told, want) {
		t.Errorf("told at %v pages, want %v", told, want)
	}
}
