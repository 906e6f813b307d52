package markup

import (
	"net/url"
	"strings"
)

// address returns where a link or picture leads: http, https, ftp and mailto
// addresses, relative ones resolved against base, and defanged ones unchanged.
// Anything else becomes "": it would run code, read files, or lead nowhere.
func address(base *url.URL, ref string) string {
	ref = printable(strings.ReplaceAll(strings.TrimSpace(ref), " ", "%20"))
	u, err := url.Parse(ref)
	if ref == "" || err != nil || strings.HasPrefix(ref, "#") {
		return ""
	}
	switch scheme := strings.ToLower(u.Scheme); scheme {
	case "http", "https", "ftp":
		if u.Host == "" {
			return ""
		}
		return ref
	case "mailto", "hxxp", "hxxps", "fxp":
		return ref
	case "":
		if base == nil || base.Host == "" {
			return ""
		}
		return base.ResolveReference(u).String()
	}
	return ""
}

// printable removes blanks and control characters.
func printable(ref string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return -1
		}
		return r
	}, ref)
}

// linkable reports whether a browser may be sent there: not to a defanged address.
func linkable(href string) bool {
	scheme, _, _ := strings.Cut(href, ":")
	switch strings.ToLower(scheme) {
	case "http", "https", "ftp", "mailto":
		return !strings.ContainsAny(href, "[]")
	}
	return false
}

func sameHost(base *url.URL, href string) bool {
	u, err := url.Parse(href)
	return err == nil && base != nil && base.Host != "" && strings.EqualFold(u.Host, base.Host)
}

// appendTarget appends the address of a link in a form that Markdown can hold.
func appendTarget(dst []byte, href string) []byte { return appendEncoded(dst, href, "()<>\\`*\"|") }

// appendShown appends an address as text, in which nothing is a tag, code, or the end of
// a link.
func appendShown(dst []byte, href string) []byte {
	return appendEncoded(dst, strings.ReplaceAll(href, "](", "]%28"), "<>`")
}

func appendEncoded(dst []byte, href, signs string) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range []byte(href) {
		if strings.IndexByte(signs, c) >= 0 {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// Allowed reports whether an address may appear in a reference. An address that
// runs in a browser or reads a file of the analyst's may not; one without a scheme,
// or a defanged one, leads nowhere by itself and may.
func Allowed(ref string) bool {
	ref = printable(ref)
	if strings.HasPrefix(ref, `\\`) { // a file of another host
		return false
	}
	scheme, _, ok := strings.Cut(ref, ":")
	if !ok || strings.ContainsAny(scheme, "/?#.[]") {
		return true
	}
	switch strings.ToLower(scheme) {
	case "http", "https", "ftp", "ftps", "sftp", "mailto", "hxxp", "hxxps", "fxp", "urn", "doi", "tel", "localhost":
		return true
	}
	return false // a host and a port may be a scheme and what it runs: javascript:1/alert(1)
}
