package mapping

import (
	"html"
	"iter"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// tlpTexts yields the forms of a text in which markings are looked for: as it is, and
// as it looks, also where it is turned round, and with entities of entities decoded. None
// takes the place of another: the second alone would take letters before "TLP" for a part
// of it.
func tlpTexts(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for range encodedMost {
			plain := tlpText(s)
			if !yield(plain) {
				return
			}
			if spelledOut(plain) || strings.ContainsFunc(plain, func(r rune) bool { return r != '&' && veiled(r) }) {
				if !yield(unveiled(s)) {
					return
				}
			}
			once := html.UnescapeString(s)
			if strings.ContainsRune(once, '\u202e') && !yield(unveiled(turn(once))) {
				return
			}
			if s == once || !entity.MatchString(once) {
				return
			}
			s = once
		}
	}
}

// entity matches the start of what may be an entity.
var entity = regexp.MustCompile(`&#?[0-9A-Za-z]`)

// encodedMost is how often a text may be encoded: no reader decodes it more often.
const encodedMost = 4

// turn puts what stands behind a right-to-left override, up to its end or that of the
// line, in the order in which it is seen.
func turn(s string) string {
	return overridden.ReplaceAllStringFunc(s, func(part string) string {
		signs := []rune(part)
		slices.Reverse(signs)
		return string(signs)
	})
}

var overridden = regexp.MustCompile(`\x{202e}[^\x{202c}\n]+`)

// unveiled returns a text in lower case as it looks: without entities, accents and
// characters that nobody sees, with Latin letters for those that look like them, blanks
// for other characters, and "T L P" as one word.
func unveiled(s string) string {
	if strings.ContainsFunc(s, veiled) {
		s = inASCII(html.UnescapeString(s))
	}
	s = strings.ToLower(s)
	if !spelledOut(s) {
		return s
	}
	return spaced.ReplaceAllStringFunc(s, func(letters string) string {
		return " " + between.ReplaceAllString(letters, "") + " "
	})
}

// keyText is the name of a property as it looks: objectMarkingRefs is object_marking_refs.
func keyText(key string) string {
	if !strings.ContainsFunc(key, func(r rune) bool { return veiled(r) || r >= 'A' && r <= 'Z' }) {
		return key
	}
	return unveiled(camelCase.ReplaceAllString(key, "${1}_$2"))
}

var (
	spaced    = regexp.MustCompile(`(?:^|[^a-z])[a-z](?:[^a-z]{1,3}[a-z]){2,}(?:[^a-z]|$)`)
	between   = regexp.MustCompile(`[^a-z:=/|(\[{"+,;]+`) // letters of one word
	camelCase = regexp.MustCompile(`(\p{Ll})(\p{Lu})`)
)

// spelledOut reports whether a text has the letters of TLP, but not as one word.
func spelledOut(s string) bool {
	for i := range len(s) {
		if s[i] == 't' && !strings.HasPrefix(s[i:], "tlp") && spells(s, i, "tlp") {
			return true
		}
	}
	return false
}

// spells reports whether a word begins at a place in a text, with at most three other
// characters between two of its letters.
func spells[T ~string | ~[]byte](text T, at int, word string) bool {
	for gap := 0; at < len(text); at++ {
		switch c := text[at] | 0x20; {
		case c == word[0]:
			if word = word[1:]; word == "" {
				return true
			}
			gap = 0
		case c >= 'a' && c <= 'z' || gap == 3:
			return false
		default:
			gap++
		}
	}
	return false
}

// veiled reports characters with which a text may say what its other characters do not.
func veiled(r rune) bool {
	return r >= 0x7f || r == '&' || r < ' ' && r != '\t' && r != '\n' && r != '\r'
}

// inASCII replaces all characters but those of ASCII.
func inASCII(s string) string {
	var out strings.Builder
	out.Grow(len(s))
	known := map[rune]string{} // a text has few different characters, and some take microseconds
	for i, c := range s {
		if !veiled(c) {
			out.WriteRune(c)
			continue
		}
		like, ok := known[c]
		if !ok {
			like = looksLike(c, norm.NFKD.PropertiesString(s[i:]).Decomposition())
			known[c] = like
		}
		out.WriteString(like)
	}
	return out.String()
}

// looksLike returns the characters of ASCII that a character with this decomposition
// looks like, a blank if there are none, "" if nobody sees it.
func looksLike(c rune, decomposed []byte) string {
	if decomposed == nil {
		decomposed = []byte(string(c))
	}
	like, unseen := "", true
	for _, r := range string(decomposed) {
		if r = latin(r); r >= 0 && r < utf8.RuneSelf {
			like += string(r)
		}
		unseen = unseen && r < 0
	}
	if like == "" && !unseen {
		return " "
	}
	return like
}

// latin returns the character of ASCII that a part of another one looks like, -1 if
// nobody sees it.
func latin(r rune) rune {
	switch {
	case r >= ' ' && r < 0x7f:
		return r
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point),
		unicode.IsControl(r) && !unicode.IsSpace(r):
		return -1
	case unicode.Is(unicode.Pd, r):
		return '-'
	}
	for _, first := range []rune{'🅐', '🅰', '🇦'} { // letters in signs, which have no decomposition
		if r >= first && r < first+26 {
			return r - first + 'a'
		}
	}
	if like, ok := lookalikes[unicode.ToLower(r)]; ok {
		return like
	}
	return r
}

// lookalikes maps lower-case letters to the Latin one that they, or their capital,
// look like: of Greek, Cyrillic, Armenian, Cherokee, Lisu, and of phonetic alphabets.
var lookalikes = func() map[rune]rune {
	table := map[rune]rune{}
	for _, letters := range []string{"aаɑαᴀꓮꭺ", "bвьβʙƅꓐꮟ", "cсϲᴄꓚꮯƈ", "dԁɗᴅđꓓꭰ", "eеεҽᴇǝəꓰꭼє", "fꜰϝƒꓝ",
		"gɡɢցԍꓖꮐ", "hһнηʜհꓧꮋħ", "iіɩιıɪꓲꭵ", "kкκᴋꓗꮶқ", "lӏʟłꓡꮮլ", "mмμᴍꓟꮇ",
		"nɴνոպꓠпŋ", "oоοσօᴏøꓳ", "pрρᴘꓑꮲþ", "rʀгɍꓣꭱꮢᴦ", "sѕꜱʂꓢꮪ", "tтτᴛŧꓔꭲ",
		"uυսᴜꓴ", "vѵᴠꓦꮩ", "wԝωᴡꓪꮃ"} {
		for _, r := range letters[1:] {
			table[unicode.ToLower(r)] = rune(letters[0])
		}
	}
	return table
}()
