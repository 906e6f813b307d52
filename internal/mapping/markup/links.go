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
// ThreatMatch's own pages, except in code.
func (c *Converter) Resolve(s string) string {
	if !mayLead(s) {
		return s
	}
	var b strings.Builder
	f, at := finder{s: s}, 0
	for at < len(s) {
		start, end := f.next(at, len(s))
		if start < 0 {
			start, end = len(s), len(s)
		}
		b.WriteString(target.ReplaceAllStringFunc(s[at:start], func(link string) string {
			parts := target.FindStringSubmatch(link)
			return parts[1] + c.Address(parts[2]) + parts[3]
		}))
		b.WriteString(s[start:end])
		at = end
	}
	return b.String()
}

// mayLead is the fast path of Resolve: most texts have no addresses, or only those
// of the web.
func mayLead(s string) bool {
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
