package mapping

import (
	_ "embed"
	"slices"
	"strings"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"threatmatch-connector/internal/stix"
)

// place is a country or a region of the world.
type place struct {
	name string
	kind string   // Country or Region, as OpenCTI calls them
	code string   // ISO 3166 alpha-2 of a country
	area string   // STIX's region-ov
	alts []string // further names under which OpenCTI may know it
}

// gazetteer finds places by folded name. Codes are separate: "IT" and "IN" are also
// words, and count only if a label says that it is a place.
type gazetteer struct {
	names, codes map[string]*place
	words        map[string][]string // names by each of their words
}

// spellings are names that the Unicode tables spell differently or in an outdated
// way.
//
//go:embed tables/countries.txt
var spellings string

// regions are the United Nations' (M49), by the values of STIX's region-ov, plus
// the few others that reports mention.
//
//go:embed tables/regions.txt
var regions string

func newGazetteer() *gazetteer {
	g := &gazetteer{names: map[string]*place{}, codes: map[string]*place{}, words: map[string][]string{}}
	for line := range lines(regions) {
		area, names, _ := strings.Cut(line, " ")
		p := &place{kind: "Region", area: area}
		g.add(p, strings.Split(names, "; "))
	}
	own := map[string][]string{}
	for line := range lines(spellings) {
		own[line[:2]] = strings.Split(line[3:], "; ")
	}
	english := display.English.Regions()
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			region, err := language.ParseRegion(string(a) + string(b))
			if err != nil || !current(region) {
				continue
			}
			code := region.String()
			p := &place{kind: "Country", code: code, alts: []string{code, region.ISO3()}}
			g.add(p, append(own[code], english.Name(region)))
			g.codes[strings.ToLower(code)], g.codes[strings.ToLower(region.ISO3())] = p, p
		}
	}
	return g
}

// current excludes codes that ISO 3166 has withdrawn or never assigned.
func current(r language.Region) bool {
	return r.IsCountry() && r.Canonicalize() == r && r.ISO3() != "ZZZ" && display.English.Regions().Name(r) != ""
}

// add adds a place under its names; the first is the one it is shown by.
func (g *gazetteer) add(p *place, names []string) {
	p.name = names[0]
	for _, n := range names {
		if saint, ok := strings.CutPrefix(n, "St. "); ok {
			names = append(names, "Saint "+saint, "Saint "+strings.Replace(saint, "& ", "& the ", 1))
		}
	}
	for _, n := range names {
		if key := fold(n); g.names[key] == nil {
			g.names[key] = p
			for word := range strings.FieldsSeq(key) {
				g.words[word] = append(g.words[word], key)
			}
		}
	}
}

// find looks a name up. explicit means that the text is meant as a place.
func (g *gazetteer) find(name string, explicit bool) *place {
	key := fold(name)
	for _, known := range [...]string{key, strings.TrimPrefix(key, "the "), strings.TrimPrefix(fold(inverted(name)), "the ")} {
		if p := g.names[known]; p != nil {
			return p
		}
	}
	if explicit {
		return g.codes[key]
	}
	return nil
}

// inverted moves what is after a comma or in brackets to the front: "Korea,
// Republic of" becomes "Republic of Korea". It returns "" for other names.
func inverted(name string) string {
	base, rest, ok := strings.Cut(name, ",")
	if !ok {
		if base, rest, ok = strings.Cut(name, "("); ok {
			rest, ok = strings.CutSuffix(strings.TrimSpace(rest), ")")
		}
	}
	if !ok || strings.ContainsAny(rest, ",(") {
		return ""
	}
	return rest + " " + base
}

// qualifiers are words that do not name a place but tell places of the same name
// apart.
var qualifiers = nameSet(`republic rep democratic dem dpr people peoples north south east west central northern southern
	eastern western islamic islands island province state states kingdom federated federation federal plurinational
	bolivarian socialist arab sar special administrative region territory occupied former mainland of`)

// bound says whether a piece after a comma belongs to the place before it.
func (g *gazetteer) bound(name, piece string) binding {
	qualifies := false
	for word := range strings.FieldsSeq(fold(piece)) {
		qualifies = qualifies || qualifiers[word]
	}
	p := g.find(name, true)
	if !qualifies || p == nil {
		return apart
	}
	key := fold(name)
	first, _, _ := strings.Cut(key, " ")
	for _, other := range g.words[first] {
		if g.names[other] != p && strings.Contains(" "+other+" ", " "+key+" ") {
			return changes
		}
	}
	return repeats
}

// object makes the location, which is TLP:CLEAR; see attach. Countries have their codes as aliases, by which
// OpenCTI finds an entity that it may have under an official name.
func (p *place) object() *stix.Object {
	o := newShared("location", stix.LocationID(p.name, p.kind), p.name)
	if p.code != "" {
		o.Set("country", p.code)
	} else {
		o.Set("region", p.area)
	}
	o.Set("x_opencti_location_type", p.kind)
	o.Set("x_opencti_aliases", p.alts)
	o.Set("object_marking_refs", []string{tlpClear.ID})
	return o
}

var locationTypes = []string{"Administrative-Area", "City", "Country", "Position", "Region"}

// location sets OpenCTI's kind of a source's location, so that its relationships
// can be judged, and a name if there is none.
func (r *record) location(o *stix.Object) {
	if o.Type() != "location" {
		return
	}
	if given := o.String("x_opencti_location_type"); given != "" && !slices.Contains(locationTypes, given) {
		o.Delete("x_opencti_location_type")
		r.count("values_invalid", 1, "x_opencti_location_type")
	}
	r.fill(o, "x_opencti_location_type", locationType(o))
	for _, key := range [...]string{"city", "administrative_area", "country", "region"} {
		name := o.String(key)
		if p := r.m.places.find(name, true); p != nil {
			name = p.name
		}
		r.fill(o, "name", name)
	}
}
