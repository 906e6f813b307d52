package mapping

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"threatmatch-connector/internal/stix"
)

// TestMayNameTLP: a text may be skipped only if it cannot name the TLP, in whatever form.
func TestMayNameTLP(t *testing.T) {
	for _, first := range []string{"t", "T", "ｔ", "&#84;", "т", "t\u200b", "t\x01"} {
		for _, second := range []string{"l", "L", "Ⓛ", "&#x6c;", "l\u0301", "\u00adl"} {
			for _, third := range []string{"p", "P", "ｐ", "&#112;"} {
				s := "a \"t\"\n" + first + second + third
				if !strings.Contains(unveiled(s), "tlp") || !mayNameTLP(s) || !mayNameTLP(stix.Quote(s)) {
					t.Errorf("%q is skipped", s)
				}
			}
		}
	}
	if mayNameTLP("atlas of people, tl") {
		t.Error("a text without the word is not skipped")
	}
}

func TestNew(t *testing.T) {
	for _, c := range []struct {
		settings Settings
		want     string // part of the error
	}{
		{Settings{}, ""},
		{Settings{TLP: "AMBER+STRICT", Labels: "all", Description: "text", Confidence: 100}, ""},
		{Settings{TLP: "purple"}, `tlp level "purple"`},
	} {
		m, err := New(c.settings)
		if c.want == "" {
			if err != nil || m == nil {
				t.Errorf("%+v: %v", c.settings, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.settings, err, c.want)
		}
	}
	for level, want := range map[int]int{0: 0, 1: 15, 2: 50, 3: 75, 4: 85, 5: 5, 60: 60, 100: 100} {
		if got := legacyConfidence(level); got != want {
			t.Errorf("level %d is %d, want %d", level, got, want)
		}
	}
}

func TestAuthor(t *testing.T) {
	m := newMapper(t, []byte(`{}`))
	a := m.Author()
	if a.ID() != stix.IdentityID("Security Alliance", "organization") || a.String("identity_class") != "organization" {
		t.Errorf("got author %s, want the organization Security Alliance", a.AppendJSON(nil))
	}
	a.Set("name", "changed")
	if m.Author().String("name") != authorName {
		t.Error("the author can be changed from outside")
	}
	o := stix.New("tool", idOfType("tool", 1))
	if !m.EnsureAuthor(o) || o.String("created_by_ref") != a.ID() || m.EnsureAuthor(o) {
		t.Errorf("got %s, want the author added, once", o.AppendJSON(nil))
	}
	address := stix.New("ipv4-addr", idOfType("ipv4-addr", 1))
	if !m.EnsureAuthor(address) || address.String("x_opencti_created_by_ref") != a.ID() || m.EnsureAuthor(address) {
		t.Errorf("got %s, want the author added under its own name, once", address.AppendJSON(nil))
	}
	for _, typ := range []string{"marking-definition", "label", "external-reference", "kill-chain-phase", "vocabulary"} {
		if o := stix.New(typ, idOfType(typ, 1)); m.EnsureAuthor(o) || m.MarkUnread(o) || o.Len() != 3 {
			t.Errorf("got %s, want nothing added", o.AppendJSON(nil))
		}
	}
	if m.EnsureAuthor(m.Author()) {
		t.Error("the author has an author")
	}
	for _, id := range []string{a.ID(), "identity--" + strings.ToUpper(a.ID()[len("identity--"):])} {
		body := `{"objects":[{"type":"identity","id":"` + id + `","name":"Another name","identity_class":"individual"}]}`
		for _, o := range m.Map(Source{}, []byte(body)).Objects {
			if got := o.String("created_by_ref"); got != "" {
				t.Errorf("the identity under the author's id has the author %s, want none", got)
			}
		}
	}
}

func TestMarking(t *testing.T) {
	m := newMapper(t, []byte(`{}`))
	red, _ := stix.FindTLP("red")
	for _, id := range []string{idOfType("marking-definition", 1), "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"} {
		if got := m.Marking(id); got != nil {
			t.Errorf("got %s for %s, want nil: it is not the id of one of OpenCTI's markings", got.AppendJSON(nil), id)
		}
	}
	if got := m.Marking(red.ID).String("name"); got != "TLP:RED" {
		t.Errorf("got the name %q, want TLP:RED", got)
	}
}

func TestPlaces(t *testing.T) {
	g := newGazetteer()
	for name, want := range map[string]string{
		"France": "France FR", " FRANCE ": "France FR", "the Netherlands": "Netherlands NL", "Holland": "Netherlands NL",
		"Côte d’Ivoire": "Côte d'Ivoire CI", "Cote d'Ivoire": "Côte d'Ivoire CI", "Ivory Coast": "Côte d'Ivoire CI",
		"Bosnia and Herzegovina": "Bosnia & Herzegovina BA", "Curaçao": "Curaçao CW", "Aland Islands": "Åland Islands AX",
		"U.S.A.": "United States US", "UK": "United Kingdom GB", "Republic of Korea": "South Korea KR", "DPRK": "North Korea KP",
		"Iran (Islamic Republic of)": "Iran IR", "Viet Nam": "Vietnam VN", "Türkiye": "Turkey TR", "Hong Kong": "Hong Kong HK",
		"Eswatini": "Eswatini SZ", "North Macedonia": "North Macedonia MK", "St. Lucia": "St. Lucia LC", "Saint Lucia": "St. Lucia LC", "Saint Vincent and the Grenadines": "St. Vincent & Grenadines VC",
		"Saint Kitts and Nevis": "St. Kitts & Nevis KN", "Kosovo": "Kosovo XK",
		"Trinidad and Tobago": "Trinidad & Tobago TT", "Syrian Arab Republic": "Syria SY", "Georgia": "Georgia GE",
		"western europe": "Western Europe ", "Middle East": "Middle East ", "APAC": "Asia Pacific ", "Latin America": "Latin America and the Caribbean ",
		"South-East Asia": "South-Eastern Asia ", "Africa": "Africa ", "North America": "Northern America ",
	} {
		p := g.find(name, false)
		if p == nil || p.name+" "+p.code != want {
			t.Errorf("%s: %+v, want %s", name, p, want)
		}
	}
	for _, word := range []string{"IT", "In", "de", "Atlantis", "", "Technology", "Unknown", "World", "Global"} {
		if p := g.find(word, false); p != nil {
			t.Errorf("%q is %s", word, p.name)
		}
	}
	if p := g.find("it", true); p == nil || p.name != "Italy" {
		t.Error("no code where a place is meant")
	}
	if p := g.find("CHE", true); p == nil || p.name != "Switzerland" {
		t.Error("no long code where a place is meant")
	}
	countries := map[string]bool{}
	for _, p := range g.codes {
		countries[p.code] = true
		if p.name == "" || len(p.alts) != 2 {
			t.Errorf("got country %+v, want a name and two alternatives", p)
		}
	}
	// ISO 3166 has 249 countries; CLDR adds a few such as Kosovo.
	if len(countries) < 249 || len(countries) > 256 {
		t.Errorf("%d countries", len(countries))
	}
}

func TestVocabularies(t *testing.T) {
	if len(sectorTerms) != 36 || len(alertTerms) != 20 || len(incidentTerms) != 38 || len(malwareTerms) != 23+10 {
		t.Errorf("%d sectors, %d alerts, %d incidents, %d malware", len(sectorTerms), len(alertTerms), len(incidentTerms), len(malwareTerms))
	}
	stixMotivations := []string{"accidental", "coercion", "dominance", "ideology", "notoriety", "organizational-gain", "personal-gain",
		"personal-satisfaction", "revenge", "unpredictable"}
	for name, motive := range motivationTerms {
		if !slices.Contains(stixMotivations, motive) {
			t.Errorf("%s: %s is not in STIX's vocabulary", name, motive)
		}
	}
	for in, want := range map[string]string{"Point-of-Sale (PoS)": "point-of-sale", "Data Breach/Compromise": "data-breach-compromise",
		"Denial of Service (DoS)": "denial-of-service", "Spear-phishing Activity": "spear-phishing-activity"} {
		if got := slug(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestSplitLabel(t *testing.T) {
	for _, c := range []struct {
		in    string
		about topic
		value string
	}{
		{`threatmatch:sector="Banking & Capital Markets"`, sector, "Banking & Capital Markets"},
		{`ThreatMatch:alert-type="Malware"`, kindOf, "Malware"},
		{`misp:threatmatch:malware-type="Worm"`, kindOf, "Worm"},
		{"Sector: Energy, Utilities & Mining ", sector, "Energy, Utilities & Mining"},
		{"Country of origin:Iran", origin, "Iran"},
		{"suspected-origin = China", origin, "China"},
		{"Targeted Country - France", victim, "France"},
		{"Something: else", anyTopic, "Something: else"},
		{" Technology ", anyTopic, "Technology"},
		{"Spear-phishing Activity", anyTopic, "Spear-phishing Activity"},
		{"A &amp; B", anyTopic, "A & B"},
		{"", anyTopic, ""},
	} {
		if about, value := splitLabel(c.in); about != c.about || value != c.value {
			t.Errorf("%q: %q %q, want %q %q", c.in, about, value, c.about, c.value)
		}
	}
}

func TestPatternSubject(t *testing.T) {
	for pattern, want := range map[string]string{
		"[ipv4-addr:value = '198.51.100.1']":                                               "ipv4-addr",
		"[file:hashes.'SHA-256' = 'a:b' OR file:hashes.MD5 = 'c']":                         "file",
		"[file:hashes.'MD5'='a'] AND [url:value='x']":                                      "",
		"[url:value = 'http://a.example/?x:y=[ipv4-addr:value]']":                          "url",
		"[email-message:from_ref.value = 'it\\'s ipv4-addr:value']":                        "email-message",
		"[windows-registry-key:values[*].name = 'x']":                                      "windows-registry-key",
		"[url:value MATCHES '^a:b$'] WITHIN 5 SECONDS":                                     "url",
		"[url:value = 'x'] START t'2024-01-01T00:00:00Z' STOP t'2024-01-02T00:00:00Z'":     "url",
		"[network-traffic:dst_ref.value = '198.51.100.1' AND network-traffic:dst_port=80]": "network-traffic",
		"": "", "no pattern": "", "'": "", "[x": "", "a:": "a", `'\`: "",
	} {
		if got := patternSubject([]byte(pattern)); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
}

// TestConcurrent maps in several goroutines with one mapper.
func TestConcurrent(t *testing.T) {
	m := newMapper(t, []byte(`{"ThreatActorAsIntrusionSet":true}`))
	body := indicatorPage(20)
	want := show(m.Map(Source{}, body))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				if got := show(m.Map(Source{}, body)); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
	wg.Wait()
}

// TestCountTable checks that the table of counts is complete.
func TestCountTable(t *testing.T) {
	names := map[string]bool{}
	for _, c := range CountTable() {
		if names[c.Name] || c.Text == "" || !slices.Contains([]string{"left out", "removed", "changed", "added"}, c.Effect) {
			t.Errorf("got counter %+v, want a new name, a text and a known effect", c)
		}
		names[c.Name] = true
	}
	seen := map[string]bool{}
	for _, file := range goldenFiles(t) {
		for name := range maps.Keys(goldenCounts(t, file)) {
			kind, _, _ := strings.Cut(name, ":")
			seen[kind] = true
		}
	}
	for name := range names {
		if !seen[name] && !slices.Contains([]string{"relationship_refused", "relationship_translated", "texts_unconverted"}, name) { // counted by Settle, and in TestTextsAsTheyAre
			t.Errorf("no golden file counts %s", name)
		}
	}
}

// TestRulesAreComplete: no cell of a table in RULES.md is empty, and each dataset has a row.
func TestRulesAreComplete(t *testing.T) {
	raw, err := os.ReadFile("RULES.md")
	if err != nil {
		t.Fatal(err)
	}
	var described []string
	columns := 0
	for line := range strings.Lines(string(raw)) {
		row, isRow := strings.CutPrefix(strings.TrimSpace(line), "| ")
		if !isRow {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(row, " |"), " | ")
		if columns != 4 && cells[0] == "dataset" || columns != 3 && cells[0] == "ThreatMatch sends" {
			columns = len(cells)
			continue
		}
		if len(cells) != columns || slices.Contains(cells, "") {
			t.Errorf("got the cells %q, want %d of them, each with a text", cells, columns)
		}
		if columns == 4 {
			described = append(described, cells[0])
		}
	}
	if !slices.Equal(described, datasets) || columns != 3 {
		t.Errorf("the tables describe %q, want %q and then the rules", described, datasets)
	}
}

// The Python connector sends the same author, with the same text.
func TestAuthorIsDescribed(t *testing.T) {
	m, err := New(Settings{})
	if err != nil {
		t.Fatal(err)
	}
	const want = "Security Alliance is a cyber threat intelligence product and services company, formed in 2007."
	if got := m.Author().String("description"); got != want {
		t.Errorf("the author's description is %q, want %q", got, want)
	}
}

// TestDistrustInOneAnswer: copies in one response follow the same rule as copies in
// several: one that claims to come from the future does not decide, wherever it is.
func TestDistrustInOneAnswer(t *testing.T) {
	m := newMapper(t, []byte(`{}`))
	fetched := time.Date(2024, 6, 1, 13, 7, 41, 0, time.UTC)
	copies := func(typ string) []string {
		form := `{"type":"` + typ + `","id":"` + idOfType(typ, 1) + `","created":"2024-01-0%d","modified":"%s","name":"%s",` +
			`"definition_type":"statement","definition":{"statement":"%[3]s"},"description":"%[3]s"}`
		return []string{
			fmt.Sprintf(form, 1, "2031-01-01T00:00:00Z", "zz ahead"),
			fmt.Sprintf(form, 2, "2024-05-02T00:00:00Z", "mm now"),
			fmt.Sprintf(form, 3, "2024-03-02T00:00:00Z", "aa before"),
		}
	}
	for _, typ := range []string{"marking-definition", "malware", "identity", "indicator"} {
		given := copies(typ)
		if typ == "indicator" {
			for i, c := range given {
				given[i] = strings.Replace(c, `"definition_type"`, `"pattern":"[url:value = 'x']","pattern_type":"stix","definition_type"`, 1)
			}
		}
		for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
			body := `{"objects":[` + given[order[0]] + `,` + given[order[1]] + `,` + given[order[2]] + `]}`
			o := m.Map(Source{Fetched: fetched}, []byte(body)).Objects[0]
			if got := o.String("name"); got != "mm now" {
				t.Errorf("%s in order %v is named %q, want that of the newest that is not ahead", typ, order, got)
			}
			if got := o.String("modified"); got == "" {
				t.Errorf("%s in order %v lost its modified", typ, order)
			}
			if got, want := o.Changed(), time.Date(2024, 5, 2, 0, 0, 0, 0, time.UTC); !got.Equal(want) {
				t.Errorf("%s in order %v counts as of %v, want %v", typ, order, got, want)
			}
		}
	}
}
