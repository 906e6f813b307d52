package mapstage

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// drawRawCopy draws a copy of one report as a careless source writes it: times in
// several forms or unreadable, nulls and empty values, an id in capitals, a level
// in any place that can mark. Some lack the name, without which they cannot be sent.
func drawRawCopy(t *rapid.T) string {
	pick := func(key string, values ...string) string { return rapid.SampledFrom(values).Draw(t, key) }
	id := report(1)
	if rapid.Bool().Draw(t, "capitals") {
		id = "report--" + strings.ToUpper(strings.TrimPrefix(id, "report--"))
	}
	name := pick("name", `"name":"same",`, `"name":"same",`, `"name":"same",`, `"name":"same",`, "")
	said := []string{`"type":"report","id":"` + id + `",` + name + `"created":"2024-01-01T00:00:00.000Z","published":"2024-01-01T00:00:00.000Z"`, sref("created_by_ref", ident(5))}
	for _, property := range [][]string{
		{"modified", `"2024-01-02T00:00:00.000Z"`, `"2024-01-03T01:00:00+01:00"`, `1704412800`, `"2024-01-05 00:00:00"`, `"yesterday"`, `null`, `"2042-01-01T00:00:00Z"`},
		{"description", `"one"`, `"<p>two &amp; <b>three</b></p>"`, `""`, `null`, `7`},
		{"confidence", `"High"`, `3`, `"75 %"`, `"purple"`, `null`},
		{"lang", `"en"`, `"de"`},
		{"revoked", `true`, `"no"`, `"maybe"`},
		{"report_types", `"threat-report"`, `["malware",null,""]`, `[]`},
		{"external_references", `"https://e.example/"`, `[{"source_name":"x","external_id":"1"},{"source_name":"x","external_id":"1"}]`, `{}`},
		{"labels", `["TLP:RED"]`, `["tlp:green"]`, `[null]`, `"Distribution: RED"`},
		{"x_tlp", `"AMBER+STRICT"`, `"red"`, `null`},
		{"object_marking_refs", `"TLP:GREEN"`, `["marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"]`, `[]`},
		{"object_refs", `"` + ident(5) + `"`, `["` + ident(5) + `","` + strings.ToUpper(ident(5)[:10]) + ident(5)[10:] + `","nonsense",null]`},
	} {
		if v := pick(property[0], append(property[1:], "")...); v != "" {
			said = append(said, `"`+property[0]+`":`+v)
		}
	}
	return "{" + strings.Join(said, ",") + "}"
}

// TestPropertyHostileCopies maps such copies with the real mapper, wherever they
// meet: the platform has what the merging rule makes of them, no marking is weaker
// than any copy's, and sending the same again sends nothing.
func TestPropertyHostileCopies(t *testing.T) {
	w := newSetWorld(t, mapping.Settings{})
	author := sobj(ident(5), `"name":"Author"`, `"identity_class":"organization"`, `"created":"2024-01-01T00:00:00.000Z","modified":"2024-01-01T00:00:00.000Z"`)
	rapid.Check(t, func(t *rapid.T) {
		place := rapid.SampledFrom([]string{"record", "bundle", "waiting", "published", "runs"}).Draw(t, "place")
		size := 1
		if place == "record" || place == "bundle" {
			size = 100
		}
		w.renew(t, Options{MaxObjects: size, ResendAfter: time.Hour})
		var copies []string
		for range rapid.IntRange(2, 4).Draw(t, "copies") {
			copies = append(copies, drawRawCopy(t))
		}
		var want *stix.Object
		rank, lacking := 0, false
		for _, c := range copies {
			res := w.mapper.Map(mapping.Source{Dataset: "profiles", ID: "1", Fetched: w.now()}, []byte(`{"objects":[`+c+`]}`))
			for _, d := range res.Dead {
				rank, lacking = max(rank, d.Rank), true
			}
			for _, o := range res.Objects {
				if o.ID() != report(1) {
					continue
				}
				if rank = max(rank, o.SourceRank()); want == nil {
					want = o
				} else {
					want = stix.Merge(want, o)
				}
			}
		}
		run := w.startRun(spool.ReasonSchedule)
		if place != "waiting" {
			w.record(run, author)
		}
		if place == "record" {
			w.record(run, copies...)
		} else {
			for i, c := range copies {
				if place == "runs" && i > 0 {
					w.endFetch(run)
					w.work()
					w.deliver(-1)
					run = w.startRun(spool.ReasonSchedule)
				}
				w.record(run, c)
				w.once()
			}
		}
		if place == "waiting" {
			w.record(run, author)
		}
		w.endFetch(run)
		w.work()
		w.deliver(-1)
		got := w.upserted(report(1))
		if want == nil {
			return // none of them can go out, or what they make together
		}
		if got == nil {
			t.Fatalf("%s:\n  %s\nsent %v, want %v", place, strings.Join(copies, "\n  "), got, want)
		}
		if place != "runs" && got.SourceRank() < rank {
			t.Errorf("%s: marked with rank %d, a copy has %d", place, got.SourceRank(), rank)
		}
		for _, o := range []*stix.Object{got, want} {
			o.Delete("external_references") // whose entries upserted does not join
		}
		if g, f := comparable(got), comparable(want); place != "runs" && !lacking && g != f {
			t.Errorf("copies met in one %s:\n  %s\ngot  %s\nwant %s", place, strings.Join(copies, "\n  "), g, f)
		}
		for range 2 {
			w.wholeRun(spool.ReasonSchedule, append([]string{author}, copies...))
		}
		before := len(w.sent)
		if again := w.wholeRun(spool.ReasonSchedule, append([]string{author}, copies...)); len(w.sent) > before {
			t.Errorf("%s:\n  %s\nthe same again sent %v", place, strings.Join(copies, "\n  "), w.ids(again))
		}
	})
}
