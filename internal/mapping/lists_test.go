package mapping

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// placeNames returns the names of all places as they are written, by place.
func placeNames(g *gazetteer) map[string]*place {
	names := map[string]*place{}
	for _, p := range g.names {
		names[p.name] = p
	}
	for _, list := range []string{spellings, regions} {
		for line := range lines(list) {
			_, rest, _ := strings.Cut(line, " ")
			for name := range strings.SplitSeq(rest, "; ") {
				if p := g.find(name, true); p != nil {
					names[name] = p
				}
			}
		}
	}
	return names
}

// TestLists draws lists of places and sectors, separated in every way: exactly what
// was drawn is found.
func TestLists(t *testing.T) {
	m := newMapper(t, []byte(`{}`))
	names := placeNames(m.places)
	places, sectors := slices.Sorted(maps.Keys(names)), slices.Sorted(lines(sectorNames))
	breaks := rapid.SampledFrom([]string{"; ", ", ", " and ", " & ", "/", " | ", ",", " or "})
	rapid.Check(t, func(t *rapid.T) {
		draw := func(from []string) (text string, drawn []string) {
			for i := range rapid.IntRange(1, 6).Draw(t, "n") {
				if i > 0 {
					text += breaks.Draw(t, "break")
				}
				drawn = append(drawn, rapid.SampledFrom(from).Draw(t, "name"))
				text += drawn[i]
			}
			return text, drawn
		}
		text, drawn := draw(places)
		got, want := map[string]bool{}, map[string]bool{}
		for _, name := range drawn {
			want[names[name].name] = true
		}
		for part := range parts(text) {
			found, left := segment(part, func(name string) (*place, bool) { p := m.places.find(name, true); return p, p != nil }, m.places.bound)
			for _, p := range found {
				got[p.name] = true
			}
			if len(left) > 0 {
				t.Errorf("%q: left over %q", text, left)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%q: places %v, want %v", text, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
		text, drawn = draw(sectors)
		var found []string
		for part := range parts(text) {
			some, left := segment(part, sectorTerms.find, never)
			if found = append(found, some...); len(left) > 0 {
				t.Errorf("%q: left over %q", text, left)
			}
		}
		if !slices.Equal(found, drawn) {
			t.Errorf("%q: sectors %q, want %q", text, found, drawn)
		}
	})
}

// FuzzSegment checks that everything in a list is found or left over.
func FuzzSegment(f *testing.F) {
	m := newMapper(f, []byte(`{}`))
	for _, s := range []string{"France, Germany and Italy", "Korea, Dem. Rep.; x", ",,&|", "and", "a and b or c", strings.Repeat("Korea, north, ", 50)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		for part := range parts(list) {
			found, left := segment(part, func(name string) (string, bool) {
				p := m.places.find(name, true)
				return name, p != nil
			}, m.places.bound)
			var words int
			for _, s := range slices.Concat(found, left) {
				if !strings.Contains(part, s) {
					t.Errorf("%q is not in %q", s, part)
				}
				words += len(fold(s))
			}
			if words > len(fold(part))+len(found)+len(left) {
				t.Errorf("%q became %q and %q", part, found, left)
			}
		}
	})
}
