package pipeline

import (
	"cmp"
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

// pager is a server of dated objects that pages as the API might. It takes
// questions only in the forms that the reference client sends.
type pager struct {
	objects   []threatmatch.PageObject // ascending
	times     []time.Time              // of the objects
	size      int
	exclusive bool
	shuffle   *rand.Rand
	trunc     time.Duration  // resolution to which it cuts the bound; zero: exact
	rough     bool           // it cuts the objects' timestamps too
	local     *time.Location // in which it reads texts without zone; nil: UTC
	layouts   []string       // of texts without zone that it takes
	asked     []string
}

// bound reads a question.
func (p *pager) bound(after string) time.Time {
	if at, err := time.Parse(millis, after); err == nil && at.Format(millis) == after {
		return at
	}
	for i, o := range p.objects {
		if o.Modified == after {
			return p.times[i]
		}
	}
	for _, layout := range p.layouts {
		if at, err := time.ParseInLocation(layout, after, cmp.Or(p.local, time.UTC)); err == nil && at.Format(layout) == after {
			return at
		}
	}
	panic("asked in a form that the reference client never sends: " + after)
}

func (p *pager) page(after string) threatmatch.Page {
	p.asked = append(p.asked, after)
	bound := p.bound(after)
	if p.trunc > 0 {
		bound = bound.Truncate(p.trunc)
	}
	var out threatmatch.Page
	for i, o := range p.objects {
		at := p.times[i]
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
		p.addAs(at.Truncate(resolution(form)), write(at.In(cmp.Or(p.local, time.UTC)), form))
	}
}

func (p *pager) addAs(at time.Time, modified string) {
	id := fmt.Sprintf("indicator--%05d", len(p.objects))
	o := threatmatch.PageObject{ID: id, Modified: modified}
	o.Raw = fmt.Appendf(nil, `{"id":%q,"modified":%q}`, o.ID, o.Modified)
	p.objects, p.times = append(p.objects, o), append(p.times, at)
}

// epochForm and millisForm are forms that package time has no layout for.
const epochForm, millisForm = "epoch", "epoch milliseconds"

func write(at time.Time, form string) string {
	switch form {
	case epochForm:
		return fmt.Sprint(at.Unix())
	case millisForm:
		return fmt.Sprint(at.UnixMilli())
	}
	return at.Format(form)
}

// resolution is what a form can tell apart.
func resolution(form string) time.Duration {
	switch {
	case form == millisForm || strings.Contains(form, ".000Z") || strings.HasSuffix(form, ".000"):
		return time.Millisecond
	case strings.Contains(form, ".000000"):
		return time.Microsecond
	case form == epochForm || strings.Contains(form, ":05"):
		return time.Second
	}
	return time.Minute
}

// walk pages to the end. It returns how often each id came, and the gaps.
func walk(t interface{ Fatalf(string, ...any) }, p *pager, from, now time.Time) (map[string]int, []pageGap) {
	return walkOn(t, p, newPageCursor("1", "indicator", from), now)
}

// walkOn is walk from a cursor.
func walkOn(t interface{ Fatalf(string, ...any) }, p *pager, c pageCursor, now time.Time) (map[string]int, []pageGap) {
	got := map[string]int{}
	var gaps []pageGap
	for range 100000 {
		before, form := c.After, c.Form
		page := p.page(c.asked())
		turn := c.turn(page, now)
		for _, id := range bodyIDs(t, turn.freshBody(page)) {
			got[id]++
		}
		if turn.Gap != nil {
			gaps = append(gaps, *turn.Gap)
		}
		if turn.Failed != "" {
			t.Fatalf("failed: %s", turn.Failed)
		}
		if c.After.Before(before) && c.Stepped == 0 && c.Layout == "" && form == pageForm {
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

// zoneless is how a server in another zone than UTC writes times.
const zoneless = "2006-01-02 15:04:05"

var tieForms = []string{millis, micros, secs, zoneless, zoneless + ".000000", epochForm, millisForm, "2006-01-02T15:04:05-0700", time.RFC1123Z}

// tied is a server with a block of equal times between two small ones.
func tied(size, block int, exclusive, shuffled bool, form string) *pager {
	p := &pager{size: size, exclusive: exclusive, local: time.UTC}
	if shuffled {
		p.shuffle = rand.New(rand.NewPCG(1, 2))
	}
	if strings.HasPrefix(form, zoneless) {
		p.local, p.layouts = time.FixedZone("", 3600), []string{form}
	}
	p.add(7, pageEpoch, form)
	p.add(block, pageEpoch.Add(3*time.Second), form)
	p.add(7, pageEpoch.Add(5*time.Second), form)
	return p
}

// check fails unless all came that the API can give. What fits a page is never
// lost. Of a larger block all but a page's worth cannot be had, and that is said.
func (p *pager) check(t *testing.T, block int, got map[string]int, gaps []pageGap, about string) {
	t.Helper()
	lost := len(p.objects) - len(got)
	canLose := max(0, 7-p.size)*2 + max(0, block-p.size)
	if lost > canLose || lost > 0 && len(gaps) == 0 {
		t.Errorf("%s: lost %d of %d, gaps %v", about, lost, len(p.objects), gaps)
	}
	if most := 80 + 4*len(p.objects); len(p.asked) > most {
		t.Errorf("%s: %d requests, want at most %d", about, len(p.asked), most)
	}
}

// TestTies is the table of page size × block size × comparison × form: nothing
// may be lost where the API can give it, that is while a block fits a page.
func TestTies(t *testing.T) {
	for _, size := range []int{1, 2, 10, 100} {
		for _, block := range []int{1, 2, 5, 9, 10, 11, 50, 99, 100, 101, 250} {
			for _, exclusive := range []bool{false, true} {
				for _, form := range tieForms {
					for _, shuffled := range []bool{false, true} {
						about := fmt.Sprintf("page %d, block %d, exclusive %v, %s, shuffled %v", size, block, exclusive, form, shuffled)
						p := tied(size, block, exclusive, shuffled, form)
						got, gaps := walk(t, p, pageEpoch.Add(-time.Hour), pageEpoch.Add(time.Hour))
						p.check(t, block, got, gaps, about)
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

// oldCursor is where the version before stood after the first page: it read
// texts without zone as UTC, and took no other form but RFC 3339.
func oldCursor(t *testing.T, p *pager, from time.Time) pageCursor {
	t.Helper()
	c := newPageCursor("1", "indicator", from)
	page := p.page(c.asked())
	for _, o := range page.Objects {
		at, err := time.Parse(time.RFC3339Nano, strings.Replace(o.Modified, " ", "T", 1))
		if err != nil {
			at, err = time.Parse("2006-01-02T15:04:05.999999999", strings.Replace(o.Modified, " ", "T", 1))
		}
		if err == nil {
			c.Last = later(c.Last, at)
		}
		c.Seen = append(c.Seen, pageKey{Key: objectKey(o), At: at.UnixNano()})
	}
	c.After = later(c.After, c.Last.Truncate(time.Millisecond).Add(-time.Millisecond))
	c.Again = c.After.Before(c.Last) && c.After.After(from)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	task := spool.Task{TaskKey: spool.TaskKey{Dataset: spool.IOCs, Source: "1/indicator"}}
	task.Cursor = []byte(strings.Replace(string(text), `,"form":2`, "", 1))
	return cursorOf(task, &fetchRun{Run: spool.Run{Datasets: map[spool.Dataset]spool.DatasetRun{spool.IOCs: {From: from}}}})
}

// TestTiesFromAnOldCursor goes on from the cursor of an earlier version.
func TestTiesFromAnOldCursor(t *testing.T) {
	for _, size := range []int{2, 10, 100} {
		for _, block := range []int{1, 5, 10, 11, 50, 101} {
			for _, exclusive := range []bool{false, true} {
				for _, form := range tieForms {
					about := fmt.Sprintf("page %d, block %d, exclusive %v, %s", size, block, exclusive, form)
					p := tied(size, block, exclusive, false, form)
					for i := range 20 { // an hour further on, where a wrong zone would go on
						p.add(1, pageEpoch.Add(time.Hour+time.Duration(i)*time.Minute), form)
					}
					c := oldCursor(t, p, pageEpoch.Add(-time.Minute))
					taken := map[string]int{}
					for _, o := range p.page(threatmatch.ModifiedAfter(pageEpoch.Add(-time.Minute))).Objects {
						taken[o.ID]++
					}
					got, gaps := walkOn(t, p, c, pageEpoch.Add(3*time.Hour))
					for id, n := range taken {
						got[id] += n
					}
					p.check(t, block, got, gaps, about)
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
			p := &pager{size: 10, exclusive: exclusive}
			for i := range 60 {
				at := pageEpoch.Add(time.Duration(i-60) * time.Minute)
				switch name {
				case "day":
					at = time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC)
				case "month":
					at = time.Date(2021, time.Month(1+i), 1, 0, 0, 0, 0, time.UTC)
				case "year":
					at = time.Date(1971+i, 1, 1, 0, 0, 0, 0, time.UTC)
				}
				p.addAs(at, form(at))
			}
			now := p.times[59].Add(time.Hour)
			got, gaps := walk(t, p, time.Unix(0, 0).Add(-time.Hour), now)
			if len(got) != 60 || len(gaps) != 0 || len(p.asked) > 14 {
				t.Errorf("%s, exclusive %v: got %d objects in %d requests, gaps %v; want 60", name, exclusive, len(got), len(p.asked), gaps)
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
			first, n := p.times[i], 0
			for _, m := range p.times[i:] {
				if m.Sub(first.Truncate(window)) < 2*window {
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
			p.times[i] = pageEpoch.Add(time.Duration(i) * time.Second)
			p.objects[i].Modified = p.times[i].Format(millis)
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
		for _, page.More = range []bool{true, false} {
			turn := c.turn(page, now)
			if want := `no time of the page can be read, such as  modified ""`; turn.Failed != want || turn.Done {
				t.Errorf("more %v: got %+v, want it failed: %s", page.More, turn, want)
			}
			if page.More && len(turn.Fresh) != 4 {
				t.Errorf("got %d elements, want 4", len(turn.Fresh))
			}
			if c.asked() != "2026-03-01T12:00:00.000Z" {
				t.Errorf("cursor moved by nonsense to %s", c.asked())
			}
		}
	})
	t.Run("one undated object takes the page's last time", func(t *testing.T) {
		c := newPageCursor("1", "indicator", pageEpoch)
		turn := c.turn(threatmatch.Page{More: true, Objects: []threatmatch.PageObject{
			object("a", "soon"), object("b", pageEpoch.Add(time.Minute).Format(millis))}}, now)
		if turn.Failed != "" || len(turn.Fresh) != 2 || c.asked() != "2026-03-01T12:00:59.999Z" || len(turn.Unread) != 1 || turn.Unread[0] != `a modified "soon"` {
			t.Errorf("got %+v, next %s", turn, c.asked())
		}
	})
	t.Run("a page that shows nothing of what was taken fails the dataset", func(t *testing.T) {
		c := newPageCursor("1", "indicator", pageEpoch)
		c.turn(threatmatch.Page{More: true, Objects: []threatmatch.PageObject{object("a", "2026-03-01T12:01:00.000Z"), object("b", "2026-03-01T12:05:00.000Z")}}, now)
		other := threatmatch.Page{Objects: []threatmatch.PageObject{object("c", "2026-03-01T12:30:00.000Z")}}
		var asked []string
		for range 4 {
			asked = append(asked, c.asked())
			turn := c.turn(other, now)
			if len(turn.Fresh) != 0 || turn.Done {
				t.Fatalf("got %+v", turn)
			}
			if turn.Failed != "" {
				break
			}
		}
		if want := []string{"2026-03-01T12:04:59.999Z", "2026-03-01T12:04:59.000Z", "2026-03-01T12:00:00.000Z"}; !slices.Equal(asked, want) {
			t.Errorf("asked %v, want %v", asked, want)
		}
		if c.asked() != "2026-03-01T12:00:00.000Z" || c.Again {
			t.Errorf("the next run asks %s, want the window's start", c.asked())
		}
	})
	t.Run("what stood last is gone, and the rest is not", func(t *testing.T) {
		c := newPageCursor("1", "indicator", pageEpoch)
		first := threatmatch.Page{More: true, Objects: []threatmatch.PageObject{object("a", "2026-03-01T12:01:00.000Z"), object("b", "2026-03-01T12:05:00.000Z")}}
		c.turn(first, now)
		moved := threatmatch.Page{Objects: []threatmatch.PageObject{object("b", "2026-03-01T12:30:00.000Z")}}
		c.turn(moved, now)
		c.turn(moved, now)
		if turn := c.turn(threatmatch.Page{More: true, Objects: first.Objects[:1]}, now); turn.Failed != "" || c.asked() != "2026-03-01T12:00:59.999Z" {
			t.Errorf("got %+v, next %s", turn, c.asked())
		}
		turn := c.turn(threatmatch.Page{Objects: []threatmatch.PageObject{first.Objects[0], moved.Objects[0]}}, now)
		if !turn.Done || len(turn.Fresh) != 1 || turn.Failed != "" {
			t.Errorf("got %+v", turn)
		}
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
		"2026-03-01T12:00:00.123999Z":         "2026-03-01T12:00:00.123Z",
		"2026-03-01 14:00:00.123456789+02:00": "2026-03-01T12:00:00.123Z",
	} {
		at, _ := modifiedAt(text)
		if got := (&pageCursor{After: at.Time}).asked(); got != want {
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
		task := spool.Task{TaskKey: spool.TaskKey{Dataset: spool.IOCs, Source: "1/indicator"}, TaskState: spool.TaskState{Cursor: cursor}}
		c := cursorOf(task, &fetchRun{Run: spool.Run{Datasets: map[spool.Dataset]spool.DatasetRun{spool.IOCs: {From: pageEpoch}}}})
		if c.After.Year() < 1970 || c.After.Year() > 2200 || c.Last.Year() > 2200 {
			return // nothing that we ever store
		}
		before, stepped, form := c.After, c.Stepped, c.Form
		page := threatmatch.Page{More: more, Objects: []threatmatch.PageObject{{ID: id, Modified: modified, Raw: []byte("{}")}}}
		turn := c.turn(page, pageEpoch.Add(time.Hour))
		if c.After.Before(before) && stepped == c.Stepped && c.Layout == "" && turn.Failed == "" && form == pageForm {
			t.Errorf("moved back from %v to %v", before, c.After)
		}
		if !more && !turn.Done && stepped == c.Stepped && turn.Failed == "" && form == pageForm {
			t.Error("no end at the last page")
		}
		if _, err := json.Marshal(c); err != nil {
			t.Errorf("cursor cannot be stored: %v", err)
		}
	})
}
