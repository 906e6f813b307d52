package mapping

import (
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"threatmatch-connector/internal/stix"
)

// markedObject is an object with markings in any form, and the level they require.
type markedObject struct {
	object map[string]any
	rank   int      // of the strictest level that is said, 5 for what cannot be read, 0 for none
	others []string // markings that are no level, whose definition is in the answer
	sector string   // named by the object's own text
	before []string // members that come before others of the same name
}

// The response's own marking definitions, and what each requires.
var drawnDefinitions = []struct {
	rank int
	keep bool
	rest string
}{
	{5, false, `"definition_type":"tlp","definition":{"tlp":"red"}`},
	{4, false, `"name":"TLP:AMBER+STRICT","extensions":{"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d":{"tlp_2_0":"amber+strict"}}`},
	{2, false, `"extensions":{"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d":{"tlp_2_0":"green"}}`},
	{5, false, `"extensions":{"extension-definition--3a65884d-005a-4290-8335-cb2d778a83ce":{"identifier":"isa:guide"}}`},
	{0, true, `"definition_type":"statement","definition":{"statement":"Bank eyes only"}`},
	{0, true, `"name":"PAP:AMBER","definition_type":"pap","definition":{"pap":"amber"}`},
	{0, true, `"definition_type":"PAP","definition":{"pap":"red"}`},
	{0, true, `"definition_type":"Statement","definition":{"statement":"Members only"}`},
	{3, true, `"definition_type":"statement","definition":{"statement":"TLP:AMBER, for members"}`},
	{5, false, `"definition_type":"tlp","definition":{"tlp":"mauve"}`},
}

func definitionID(i int) string {
	return fmt.Sprintf("marking-definition--0000000a-0000-4000-8000-%012d", i)
}

// spell writes an id in one of the ways in which sources do.
func spell(t *rapid.T, id string) string {
	return rapid.SampledFrom([]func(string) string{
		func(s string) string { return s },
		strings.ToUpper,
		func(s string) string { return " " + s + "\n" },
		func(s string) string { return veil(t, s) },
	}).Draw(t, "spelling")(id)
}

// veil writes a text with other characters that a reader takes for the same.
func veil(t *rapid.T, text string) string {
	unseen := rapid.SampledFrom([]string{"\u200b", "\u00ad", "\u2060", "\ufe0f", "\u0301", "\u0336", "\x00", "\b", "\u3164"}).Draw(t, "unseen")
	return rapid.SampledFrom([]func(string) string{
		func(s string) string { return s },
		strings.NewReplacer("T", "Т", "P", "Ρ", "R", "ʀ", "E", "Е", "A", "А", "p", "р", "a", "а", "e", "е", "-", "‐").Replace,
		func(s string) string { return strings.Join(strings.Split(s, ""), unseen) },
		func(s string) string {
			letters := []rune(s)
			at := rapid.IntRange(0, len(letters)).Draw(t, "at")
			return string(letters[:at]) + unseen + string(letters[at:])
		},
		func(s string) string {
			return strings.Map(func(r rune) rune {
				if r > ' ' && r < 0x7f {
					return r + 0xfee0 // full width
				}
				return r
			}, s)
		},
		func(s string) string {
			letters := []rune(s)
			at := rapid.IntRange(0, len(letters)-1).Draw(t, "at")
			return fmt.Sprintf("%s&#%d;%s", string(letters[:at]), letters[at], string(letters[at+1:]))
		},
	}).Draw(t, "veil")(text)
}

// spread writes a text with blanks or points between its letters, from its end, or in entities of entities.
func spread(t *rapid.T, text string) string {
	return rapid.SampledFrom([]func(string) string{
		func(s string) string { return veil(t, s) },
		func(s string) string { return strings.Join(strings.Split(s, ""), " ") },
		strings.NewReplacer("TLP", "T.L.P.", "tlp", "t-l-p").Replace,
		func(s string) string {
			signs := []rune(s)
			slices.Reverse(signs)
			return "\u202e" + string(signs) + "\u202c"
		},
		strings.NewReplacer("T", "&amp;#84;", "R", "&amp;#x52;", "e", "&amp;amp;#101;", "A", "&amp;#65;").Replace, // entities of entities
	}).Draw(t, "spread")(text)
}

func (m *markedObject) MarshalJSON() ([]byte, error) {
	raw, err := json.Marshal(m.object)
	for _, member := range m.before {
		raw = append([]byte("{"+member+","), raw[1:]...)
	}
	return raw, err
}

func (m *markedObject) say(rank int) { m.rank = max(m.rank, rank) }

// drawMark adds one marking in any form.
func (m *markedObject) drawMark(t *rapid.T) {
	levels := []struct {
		rank  int
		words []string
	}{
		{1, []string{"clear", "White"}}, {2, []string{"green"}}, {3, []string{"amber", "AMBER"}},
		{4, []string{"amber+strict", "AMBER STRICT", "Amber-Strict"}}, {5, []string{"red", "RED"}},
	}
	level := rapid.SampledFrom(levels).Draw(t, "level")
	word := rapid.SampledFrom(level.words).Draw(t, "word")
	standard, _ := stix.FindTLP(word)
	add := func(key string, v any) {
		list, isList := m.object[key].([]any)
		if text, ok := m.object[key].(string); ok && !isList {
			list = []any{text}
		}
		m.object[key] = append(list, v)
	}
	form := rapid.SampledFrom([]string{"id", "own id", "text", "entry", "part", "own part", "label", "id label", "extension", "property",
		"id property", "text deeper", "title", "repeated", "nonsense", "bad label", "bad part", "bad property"}).Draw(t, "form")
	own := rapid.IntRange(0, len(drawnDefinitions)-1).Draw(t, "definition")
	ownSaid := func() {
		m.say(drawnDefinitions[own].rank)
		if drawnDefinitions[own].keep {
			m.others = append(m.others, definitionID(own))
		}
	}
	switch form {
	case "id":
		add("object_marking_refs", spell(t, standard.ID))
		m.say(level.rank)
	case "own id":
		add("object_marking_refs", spell(t, definitionID(own)))
		ownSaid()
	case "text":
		if m.object["object_marking_refs"] == nil {
			m.object["object_marking_refs"] = spell(t, standard.ID)
			m.say(level.rank)
		}
	case "entry":
		add("object_marking_refs", rapid.SampledFrom([]any{spread(t, "TLP:"+word), veil(t, word), map[string]any{"id": standard.ID}}).Draw(t, "entry"))
		m.say(level.rank)
	case "part":
		add("granular_markings", map[string]any{"marking_ref": spell(t, standard.ID), "selectors": []string{"name"}})
		m.say(level.rank)
	case "own part":
		add("granular_markings", map[string]any{"marking_ref": spell(t, definitionID(own)), "selectors": []string{"name"}})
		ownSaid()
	case "label":
		pattern := rapid.SampledFrom([]string{"tlp:%s", `threatmatch:tlp="%s"`, "[TLP:%s]", "TLP: %s (recipients only)", "classification:TLP:%s",
			"TLP-%s"}).Draw(t, "pattern")
		add(rapid.SampledFrom([]string{"labels", "x_opencti_labels"}).Draw(t, "key"), spread(t, fmt.Sprintf(pattern, word)))
		m.say(level.rank)
	case "id label":
		add("labels", spell(t, standard.ID))
		m.say(level.rank)
	case "id property":
		key := fmt.Sprintf("x_%d", len(m.object))
		m.object[key] = map[string]any{"object_marking_refs": rapid.SampledFrom([]any{standard.ID, []any{spell(t, standard.ID)}}).Draw(t, "value")}
		m.say(level.rank)
	case "text deeper":
		key := fmt.Sprintf("x_%d", len(m.object))
		text := any(rapid.SampledFrom([]string{"TLP:", "[tlp] ", "ＴＬＰ："}).Draw(t, "named") + word)
		text = veil(t, text.(string))
		for range rapid.IntRange(0, 3).Draw(t, "depth") {
			text = rapid.SampledFrom([]any{[]any{"a", text}, map[string]any{"b": text}}).Draw(t, "inside")
		}
		m.object[key] = text
		m.say(level.rank)
	case "extension":
		if m.object["extensions"] == nil {
			m.object["extensions"] = map[string]any{"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d": map[string]any{"tlp_2_0": word}}
			m.say(level.rank)
		}
	case "property":
		key := rapid.SampledFrom([]string{"x_tlp_%d", "threatTLP%d", "tlpLevel%d", "TLPLevel%d", "x_%d_" + veil(t, "TLP")}).Draw(t, "key")
		m.object[fmt.Sprintf(key, len(m.object))] = rapid.SampledFrom([]any{veil(t, word), spread(t, "TLP:"+word),
			map[string]any{"colour": veil(t, word), "caveat": "x"}}).Draw(t, "value")
		m.say(level.rank)
	case "title":
		pattern := rapid.SampledFrom([]string{"[TLP:%s] a name", "TLP: %s - a name", "a name (TLP:%s)", "a name - TLP:%s", "a name. TLP:%s.",
			"Traffic Light Protocol: %s. A name"}).Draw(t, "pattern")
		key := rapid.SampledFrom([]string{"name", "description"}).Draw(t, "key")
		if old := m.object[key]; old == nil || old == "some name" {
			m.object[key] = veil(t, fmt.Sprintf(pattern, word))
			m.say(atLeastAmber(standard).Rank)
		}
	case "repeated":
		m.before = append(m.before, rapid.SampledFrom([]string{
			`"object_marking_refs":["` + standard.ID + `"]`, `"labels":["TLP:` + word + `"]`, `"x_y":"y","x_tlp":"` + word + `"`,
			`"granular_markings":[{"marking_ref":"` + standard.ID + `"}]`}).Draw(t, "earlier"))
		m.say(level.rank)
	case "bad property":
		key := rapid.SampledFrom([]string{"objectMarkingRefs", "x_marking", "Object_Marking_Refs", "markingDefinitions"}).Draw(t, "key")
		m.object[key] = rapid.SampledFrom([]any{7, "eyes only", []any{"secret"}, map[string]any{"a": "b"}}).Draw(t, "bad")
		m.say(5)
	case "nonsense":
		add("object_marking_refs", rapid.SampledFrom([]any{7, true, "eyes only", "marking-definition--1", "identity--" + level.words[0]}).Draw(t, "bad"))
		m.say(5)
	case "bad label":
		add("labels", rapid.SampledFrom([]string{"tlp:unclear", "TLP:EX:CHR", `misp:tlp="purple"`}).Draw(t, "bad"))
		m.say(5)
	case "bad part":
		add("granular_markings", rapid.SampledFrom([]any{"red", map[string]any{"selectors": []string{"name"}}}).Draw(t, "bad"))
		m.say(5)
	}
}

func drawMarked(t *rapid.T, n int) *markedObject {
	typ := rapid.SampledFrom([]string{"malware", "campaign", "threat-actor", "tool", "ipv4-addr"}).Draw(t, "type")
	m := &markedObject{object: map[string]any{"type": typ, "id": fmt.Sprintf("%s--0000000b-0000-4000-8000-%012d", typ, n),
		"name": "some name", "value": "198.51.100.1"}}
	for range rapid.IntRange(0, 3).Draw(t, "marks") {
		m.drawMark(t)
	}
	if rapid.Bool().Draw(t, "free") {
		m.sector = rapid.SampledFrom([]string{"Contoso desk", "Fabrikam client"}).Draw(t, "sector")
		list, _ := m.object["labels"].([]any)
		m.object["labels"] = append(list, "Sector: "+m.sector, "France")
	}
	return m
}

// TestMarkingNeverWeaker: nothing is shown to more people than the source allows,
// in whatever form it says so: neither an object, nor what is made from its text,
// nor what links it.
func TestMarkingNeverWeaker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, err := New(drawSettings(t))
		if err != nil {
			t.Fatal(err)
		}
		var elements []any
		for i, d := range drawnDefinitions {
			elements = append(elements, json.RawMessage(fmt.Sprintf(`{"type":"marking-definition","id":"%s",%s}`, definitionID(i), d.rest)))
		}
		wanted, sectors := map[string]*markedObject{}, map[string]int{}
		for n := range rapid.IntRange(1, 6).Draw(t, "objects") {
			o := drawMarked(t, n)
			elements = append(elements, o)
			id, _ := o.object["id"].(string)
			wanted[id] = o
			wanted[strings.Replace(id, actorPrefix, setPrefix, 1)] = o
			sectors[o.sector] = max(sectors[o.sector], o.rank)
		}
		body, err := json.Marshal(map[string]any{"objects": elements})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range m.Map(Source{}, body).Objects {
			want := wanted[o.ID()]
			switch {
			case want != nil:
				for _, id := range want.others {
					if !slices.Contains(o.Strings("object_marking_refs"), id) {
						t.Errorf("%s lost the marking %s: %s", o.ID(), id, o.AppendJSON(nil))
					}
				}
			case o.Type() == "relationship":
				want = wanted[o.String("source_ref")]
			case o.Type() == "identity":
				want = &markedObject{rank: sectors[o.String("name")]}
			default:
				continue
			}
			if got := rankOf(o); got < want.rank {
				t.Errorf("rank %d, want %d: %s\nof %s", got, want.rank, o.AppendJSON(nil), body)
			}
			if got, ids := rankOf(o), o.Strings("object_marking_refs"); got == 0 && len(ids) == 0 {
				t.Errorf("no marking: %s", o.AppendJSON(nil))
			}
		}
	})
}

// rankOf returns the rank of an object's standard TLP, 0 without one.
func rankOf(o *stix.Object) int {
	rank := 0
	for _, id := range o.Strings("object_marking_refs") {
		if t, ok := stix.TLPByID(id); ok {
			rank = max(rank, t.Rank)
		}
	}
	return rank
}

// TestPropertyLongTLP: what a text of any length says about the TLP is what it says when it is read as a whole.
func TestPropertyLongTLP(t *testing.T) {
	fillers := []string{" ", "x", "- ", "word ", "é", "ﷺ", "&nbsp;", "&#0000120;", "e\u0301", "\u0301", "ＡＢ", "㎯", "tlp", "light ", "&", "\U0001f600"}
	pieces := []string{"TLP", "tlp", "ＴＬＰ", "&#84;LP", "t&#00000000000000000000000000000108;p", "ⓉⓁⓅ", "Traffic", " Light", "Protocol", ":", " ", "-", "：", "v2 ",
		"RED", "ＲＥＤ", "&#82;ED", "red", "GREEN", "AMBER", "+", "STRICT", "amber+strict", "white", "purple", "PAP", "pap:", "\"", ")", "\u0301"}
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		for range rapid.IntRange(1, 4).Draw(t, "parts") {
			filler := rapid.SampledFrom(fillers).Draw(t, "filler")
			most := 2 * 4096 / len(filler)
			n := rapid.OneOf(rapid.IntRange(0, 8), rapid.IntRange(most/2-30, most/2+30), rapid.IntRange(0, most)).Draw(t, "times")
			b.WriteString(strings.Repeat(filler, max(n, 0)))
			for _, piece := range rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 8).Draw(t, "pieces") {
				b.WriteString(piece)
			}
		}
		text := b.String()
		whole := strings.ToLower(norm.NFKC.String(html.UnescapeString(text)))
		rank, said := 0, silent
		if tlpWord.MatchString(whole) {
			said = garbled
		}
		// With each sign doubled, matches need not share one.
		for _, found := range tlpLevels.FindAllStringSubmatch(regexp.MustCompile(`[^a-z]`).ReplaceAllString(whole, "$0$0"), -1) {
			for _, word := range oneLevel.FindAllString(found[1], -1) {
				rank, said = max(rank, levelNamed(word).Rank), readable
			}
		}
		looksSo := unveiled(text) == tlpText(text) // else it may say more
		if tlp, got := readTLP(text); tlp.Rank < rank || said != silent && got == silent || said == readable && got != readable ||
			looksSo && (tlp.Rank != rank || got != said) {
			t.Errorf("got rank %d and reading %d, want %d and %d", tlp.Rank, got, rank, said)
		}
		if got := onlyTLP.MatchString(tlpText(text)); got != onlyTLP.MatchString(whole) {
			t.Errorf("says only a level: %v", got)
		}
		if named := levelNamed(strings.Trim(whole, " \t\r\n\"'[](){}")); restricting(text).Rank < atLeastAmber(named).Rank {
			t.Errorf("alone, it says %s", named.Name)
		}
		if pap := papWord.FindStringSubmatch(whole); pap != nil && papNamed(text, true) == nil {
			t.Errorf("its PAP level is %s", pap[1])
		}
	})
}

// TestAdjacentLevels: one sign between two levels is enough.
func TestAdjacentLevels(t *testing.T) {
	for _, s := range []string{"TLP:GREEN TLP:RED", "TLP:GREEN,TLP:RED", "tlp-clear-tlp-amber-tlp-red", "TLP:GREEN RED TLP:CLEAR"} {
		if got, _ := readTLP(s); got.Name != "TLP:RED" {
			t.Errorf("%s reads %s", s, got.Name)
		}
	}
}
