package mapping

import (
	"bytes"
	"encoding/json"
	"html"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"threatmatch-connector/internal/stix"
)

// reading is what a text, property or marking says about the TLP.
type reading uint8

const (
	silent   reading = iota // it says nothing about the TLP
	readable                // it names a level
	garbled                 // it mentions the TLP but names no known level
)

const levelWord = `(?:white|clear|green|amber[^a-z]*strict|amber|red)`

var (
	// tlpWord finds TLP as a separate word, whatever is around it:
	// threatmatch:tlp="…", [TLP:…], tlp_2_0, "Traffic Light Protocol …".
	tlpWord = regexp.MustCompile(`(?:^|[^a-z])(?:tlp|traffic[^a-z]*light(?:[^a-z]*protocol)?)(?:v?[^a-z]|` + levelWord + `|$)`)
	// tlpLevels finds the levels that follow it.
	tlpLevels = regexp.MustCompile(`(?:^|[^a-z])(?:tlp|traffic[^a-z]*light(?:[^a-z]*protocol)?)v?[^a-z]*(` +
		levelWord + `(?:[^a-z]+` + levelWord + `)*)(?:[^a-z]|$)`)
	oneLevel = regexp.MustCompile(levelWord)
	// onlyTLP matches a text that names one level and says nothing else.
	onlyTLP = regexp.MustCompile(`^[^a-z]*tlpv?[^a-z]*` + levelWord + `[^a-z]*$`)
)

func namesOnlyTLP(s string) bool {
	for s := range tlpTexts(s) {
		if strings.Contains(s, "tlp") && onlyTLP.MatchString(s) {
			return true
		}
	}
	return false
}

// mayNameTLP reports whether one of the tlpTexts of a text, which may be JSON in normal
// form, can contain "tlp" or "light". It copies nothing.
func mayNameTLP[T ~string | ~[]byte](text T) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case veiled(rune(c)), c == '\\' && i+1 < len(text) && strings.IndexByte("ubf", text[i+1]) >= 0,
			c|0x20 == 't' && spells(text, i, "tlp"), c|0x20 == 'l' && spells(text, i, "light"):
			return true
		}
	}
	return false
}

// tlpText brings a text into the form that the patterns above expect.
func tlpText(s string) string {
	const long = 512
	if s = html.UnescapeString(s); len(s) > long {
		s = letters(s)
	}
	return strings.ToLower(norm.NFKC.String(s))
}

// letters puts a blank in place of each sign that is and becomes no Latin letter: some
// become eleven times as long, slowly.
func letters(s string) string {
	var out strings.Builder
	out.Grow(len(s))
	for i, c := range s {
		if c < utf8.RuneSelf || becomesLetter(norm.NFKC.PropertiesString(s[i:])) {
			out.WriteRune(c)
		} else {
			out.WriteByte(' ')
		}
	}
	return out.String()
}

func becomesLetter(p norm.Properties) bool {
	return !p.BoundaryBefore() || bytes.ContainsFunc(p.Decomposition(), func(c rune) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' })
}

// readTLP reads what a text says about the TLP; the strictest of several levels.
func readTLP(s string) (strictest stix.TLP, said reading) {
	for s := range tlpTexts(s) {
		t, r := readForm(s)
		if strictest = stricter(strictest, t); said != readable && r != silent {
			said = r
		}
	}
	return strictest, said
}

// readForm is readTLP for one of the text's tlpTexts. It takes one match at a time, as
// there may be millions.
func readForm(s string) (stix.TLP, reading) {
	if !strings.Contains(s, "tlp") && !strings.Contains(s, "light") || !tlpWord.MatchString(s) {
		return stix.TLP{}, silent
	}
	whole, strictest := s, stix.TLP{}
	for at := tlpLevels.FindStringSubmatchIndex(s); at != nil; at = tlpLevels.FindStringSubmatchIndex(s) {
		levels := s[at[2]:at[3]]
		for word := oneLevel.FindStringIndex(levels); word != nil; word = oneLevel.FindStringIndex(levels) {
			strictest = stricter(strictest, levelNamed(levels[word[0]:word[1]]))
			levels = levels[word[1]:]
		}
		s = s[at[3]:] // with the sign behind the level: it may be the only one before the next TLP
	}
	switch {
	case strictest.Rank == 0:
		return stix.TLP{}, garbled
	case strictest.Level == "amber" && strict.MatchString(whole): // "TLP:AMBER and STRICT"
		strictest = levelNamed("amber+strict")
	}
	return strictest, readable
}

var strict = regexp.MustCompile(`[^a-z]strict(?:[^a-z]|$)`)

// readLevel reads a text in a place that must hold a level: it need not say TLP.
func readLevel(s string) (stix.TLP, reading) {
	if t, r := readTLP(s); r == readable {
		return t, r
	}
	if t := levelNamed(strings.Trim(unveiled(s), " \t\r\n\"'[](){}")); t.Rank > 0 {
		return t, readable
	}
	if strings.TrimSpace(s) == "" {
		return stix.TLP{}, silent
	}
	return stix.TLP{}, garbled
}

// readLevels reads a value of any kind that must contain a level; the strictest of
// several. Other texts, such as a caveat, are ignored.
func readLevels(raw json.RawMessage) (stix.TLP, reading) {
	var strictest stix.TLP
	result := silent
	note := func(t stix.TLP, r reading) {
		strictest = stricter(strictest, t)
		if result != readable && r != silent {
			result = r
		}
	}
	if len(raw) == 0 || blank(raw) {
		return strictest, silent
	}
	switch raw[0] {
	case '"':
		s, _ := stix.Text(raw)
		return readLevel(s)
	case '{':
		for _, v := range stix.Members(raw) {
			note(readLevels(v))
		}
	case '[':
		for v := range stix.Elements(raw) {
			note(readLevels(v))
		}
	default:
		return strictest, garbled
	}
	return strictest, result
}

// levelNamed returns the level with that name, the zero value if there is none.
func levelNamed(word string) stix.TLP {
	if strings.HasPrefix(word, "amber") && strings.HasSuffix(word, "strict") {
		word = "amber+strict"
	}
	t, _ := stix.FindTLP(word)
	return t
}

func stricter(a, b stix.TLP) stix.TLP {
	if b.Rank > a.Rank {
		return b
	}
	return a
}

// classifying are words with which sources say who may see something.
var classifying = []string{"classification", "dissemination", "sensitivity", "handling", "sharing", "distribution", "marking", "confidential"}

// classifies reports properties, by their keyText, that say who may see an object.
func classifies(key string) bool {
	for _, word := range classifying {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

// marks reports properties, by their keyText, that are named for markings:
// object_marking, x_opencti_marking_definitions, …
func marks(key string) bool {
	return strings.Contains(key, "marking") && marking.MatchString(key)
}

var marking = regexp.MustCompile(`(?:^|[^a-z])markings?(?:[^a-z]+(?:definitions?|refs?|ids?|levels?|names?))*[^a-z]*$`)

// tlpProperty reports properties, by their keyText, that are named for a level: tlp,
// tlp_2_0, x_threatmatch_tlp, …
func tlpProperty(key string) bool {
	return strings.Contains(key, "tlp") || strings.Contains(key, "light") && tlpWord.MatchString(key)
}

// restricting reads a text that is nothing but a level and does not name the TLP:
// only a level that restricts more than most counts, because it may belong to
// another scale.
func restricting(s string) stix.TLP {
	t := levelNamed(strings.Trim(unveiled(s), " \t\r\n\"'[](){}"))
	return atLeastAmber(t)
}

func atLeastAmber(t stix.TLP) stix.TLP {
	if amber, _ := stix.FindTLP("amber"); t.Rank < amber.Rank {
		return stix.TLP{}
	}
	return t
}

// readMark reads what a label says about the TLP: "TLP:RED", "Distribution: RED".
func readMark(s string) (stix.TLP, reading) {
	t, said := readTLP(s)
	if said == silent {
		before, value, ok := strings.Cut(s, ":")
		if !ok {
			before, value, ok = strings.Cut(s, "=")
		}
		if ok && classifies(unveiled(before)) {
			if t = restricting(value); t.Rank > 0 {
				said = readable
			}
		}
	}
	return t, said
}

// headed finds a level at the start of a title or text, or at its end: in brackets, or
// after what ends a clause.
var headed = regexp.MustCompile(`^(?:<[^<>]*>|[^a-z<])*(?:(?:` + strings.Join(classifying, "|") + `)(?:<[^<>]*>|[^a-z<])+)?` + namedLevel +
	`(?:[^a-z]|$)|(?:[\[({|\n>]|\s[-/]|[-.;:]\s)[ \t\r]*` + namedLevel + `(?:<[^<>]*>|[^a-z<])*$`)

const namedLevel = `(?:tlpv?|traffic[^a-z]*light(?:[^a-z]*protocol)?)[^a-z]{0,5}` + levelWord

// readHead reads the level that a title or text starts or ends with. It never makes
// an object visible to more people: prose may mention another object's marking.
func readHead(text []byte) stix.TLP {
	const most = 100
	if !mayNameTLP(text[:min(2*most, len(text))]) && !mayNameTLP(text[max(0, len(text)-most):]) {
		return stix.TLP{}
	}
	if len(text) > 2*most {
		text = slices.Concat(text[:most], []byte("..."), text[len(text)-most:])
	}
	var strictest stix.TLP
	for s := range tlpTexts(string(text)) {
		if strings.Contains(s, "tlp") || strings.Contains(s, "light") {
			t, _ := readForm(headed.FindString(s))
			strictest = stricter(strictest, t)
		}
	}
	return atLeastAmber(strictest)
}

var (
	papLabel = regexp.MustCompile(`^[^a-z]*pap[^a-z]{1,3}(white|clear|green|amber|red)[^a-z]*$`)
	papWord  = regexp.MustCompile(`(?:^|[^a-z])pap[^a-z]{1,3}(white|clear|green|amber|red)(?:[^a-z]|$)`)
)

// papNamed returns the PAP marking that a label names, alone or, if leveled, next
// to a TLP level; nil if it names none.
func papNamed(label string, leveled bool) *stix.Object {
	form := papLabel
	if leveled {
		form = papWord
	}
	for s := range tlpTexts(label) {
		if found := form.FindStringSubmatch(s); found != nil {
			return defaultMarking("PAP:" + strings.Replace(found[1], "white", "clear", 1))
		}
	}
	return nil
}
