package markup

import (
	"regexp"
	"strings"
)

// ourPage matches an address that leads from ThreatMatch's own pages to others of
// them: "/app/x", "app/x", "../x", "?id=1". "//host/x" is another host, and a first
// part with a dot or colon is a host or scheme.
var ourPage = regexp.MustCompile(`^(?:/[^/]|\.{1,2}/|\?|[\w-]+/)`)

// target matches the address of a Markdown link or picture, or of a definition of
// one.
var target = regexp.MustCompile(`(\]\(<?|(?:^|\n) {0,3}\[[^\]\n]+\]:[ \t]*<?)([^\s()<>]+)(>?\)|>?[ \t]+["']|>?[ \t]*(?:\n|$))`)

// Address resolves an address that leads to ThreatMatch's own pages. Others are
// returned unchanged.
func (c *Converter) Address(ref string) string {
	if ourPage.MatchString(ref) {
		if to := address(c.base, ref); to != "" {
			return to
		}
	}
	return ref
}

// Resolve resolves the addresses of Markdown links and pictures that lead to
// ThreatMatch's own pages, and disarms what must not be followed or loaded, except in
// code.
func (c *Converter) Resolve(s string) string {
	if !mayLead(s) {
		return s
	}
	var b strings.Builder
	f, at := finder{s: s, risks: "<]"}, 0
	for at < len(s) {
		start, end := f.next(at, len(s))
		if start < 0 {
			start, end = len(s), len(s)
		}
		c.disarm(&b, target.ReplaceAllStringFunc(s[at:start], func(link string) string {
			parts := target.FindStringSubmatch(link)
			return parts[1] + c.Address(parts[2]) + parts[3]
		}))
		b.WriteString(s[start:end])
		at = end
	}
	return b.String()
}

// disarm writes Markdown with a blank wherever an address would run something, or a
// picture would be loaded from another host: no word is lost, and the picture becomes
// a link.
func (c *Converter) disarm(b *strings.Builder, s string) {
	for i := range len(s) {
		b.WriteByte(s[i])
		switch rest := s[i:]; {
		case strings.HasPrefix(rest, "](") || strings.HasPrefix(rest, "]:"):
			if to, ok := destination(rest[2:]); !ok || !Allowed(to) {
				b.WriteByte(' ')
			}
		case strings.HasPrefix(rest, "!["):
			if !c.ownPicture(rest[2:]) {
				b.WriteByte(' ')
			}
		}
	}
}

// looked is how far disarm looks, so that its time is linear.
const looked = 200

// destination returns the address at the start of s, as far as a scheme may reach. It
// returns false if it cannot tell, or an entity or escape may be part of a scheme.
func destination(s string) (string, bool) {
	const blanks = " \t\r\n"
	whole := len(s) <= looked
	to := strings.TrimLeft(s[:min(len(s), looked)], blanks+"<")
	if end := strings.IndexAny(to, blanks+")>"); end >= 0 {
		to, whole = to[:end], true
	}
	scheme := to
	if end := strings.IndexAny(to, ":/?#"); end >= 0 {
		scheme, whole = to[:end], true
	}
	return to, whole && !strings.ContainsAny(scheme, `&\`)
}

// ownPicture reports whether a picture, from behind its "![", is one of ThreatMatch.
func (c *Converter) ownPicture(s string) bool {
	name, rest, ok := strings.Cut(s[:min(len(s), looked)], "](")
	if !ok || strings.ContainsAny(name, "[]") {
		return false
	}
	to, _ := destination(rest)
	_, at, ok := strings.Cut(to, "://")
	if end := strings.IndexAny(at, "/?#"); end >= 0 {
		at = at[:end]
	}
	return ok && at != "" && c.base != nil && strings.EqualFold(at, c.base.Host)
}

// mayLead is the fast path of Resolve: most texts have no pictures, and no addresses but
// those of the web.
func mayLead(s string) bool {
	if strings.Contains(s, "![") {
		return true
	}
	for {
		_, rest, found := strings.Cut(s, "]")
		if !found {
			return false
		}
		if s = rest; s == "" || s[0] != '(' && s[0] != ':' {
			continue
		}
		to := strings.TrimLeft(s[1:], " \t<")
		if !strings.HasPrefix(to, "https://") && !strings.HasPrefix(to, "http://") {
			return true
		}
	}
}
