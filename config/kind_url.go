package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

const (
	namePattern = `[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?`
	portPattern = `(?::(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))?`
	pathPattern = `(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?`
)

var (
	hostPattern = `(?:` + namePattern + `|\[` + ipv6Pattern + `\])`
	urlPattern  = `[Hh][Tt][Tt][Pp][Ss]?://` + hostPattern + portPattern + pathPattern
)

// ipv6Pattern matches IPv6 addresses without a zone and without dots.
var ipv6Pattern = func() string {
	const part = `[0-9A-Fa-f]{1,4}`
	all := []string{`(?:` + part + `:){7}` + part, `(?:` + part + `:){1,7}:`, `:(?::` + part + `){1,7}`, `::`}
	for n := 1; n <= 6; n++ {
		all = append(all, fmt.Sprintf(`(?:%s:){1,%d}(?::%s){1,%d}`, part, n, part, 7-n))
	}
	return `(?:` + strings.Join(all, `|`) + `)`
}()

var urlShape = regexp.MustCompile(`^(?:` + urlPattern + `)$`)

// urlKind takes http and https addresses, and removes the ending cut.
func urlKind(cut string) kind[string] {
	k := patterned("url", "an http:// or https:// address without user, password, query and fragment", urlPattern, urlRefusal,
		func(text string) (string, error) {
			if _, err := url.Parse(text); err != nil {
				return "", &refusal{message: "not an address"}
			}
			base := strings.TrimRight(text, "/")
			if cut != "" {
				base = strings.TrimRight(strings.TrimSuffix(base, cut), "/")
			}
			return base, nil
		}, same)
	k.schema.Format = "uri"
	return k
}

func urlRefusal(text string) *refusal {
	switch u, err := url.Parse(text); {
	case isChangeMe(text):
		return &refusal{message: changeMe}
	case !strings.Contains(text, "://"):
		return &refusal{message: "no http:// or https:// before it", nearest: nearURL("https://" + text)}
	case err != nil:
		return &refusal{message: "not an address"}
	case u.User != nil:
		return &refusal{message: "an address with a user or a password in it"}
	case u.Path == "" && strings.Contains(u.RawQuery+u.Fragment, "@"): // a password with a question mark or a hash in it
		return &refusal{message: "not an address"}
	case u.RawQuery != "" || u.Fragment != "":
		return &refusal{message: "an address with a query or a fragment", nearest: nearURL(u.Scheme + "://" + u.Host + u.EscapedPath())}
	case !strings.EqualFold(u.Scheme, "http") && !strings.EqualFold(u.Scheme, "https"):
		return &refusal{message: "neither http nor https"}
	case u.Hostname() == "":
		return &refusal{message: "no host in it"}
	case u.Port() != "" && !isPort(u.Port()):
		return &refusal{message: "the port is out of range"}
	}
	return &refusal{message: "not an address"}
}

func nearURL(text string) string {
	if urlShape.MatchString(text) && !strings.Contains(text, "@") {
		return text
	}
	return ""
}

// hideSecrets replaces the user, the password and the query in an address that is part of a message.
func hideSecrets(text string) string {
	scheme, rest := "", text
	if before, after, found := strings.Cut(text, "://"); found {
		scheme, rest = before+"://", after
	}
	address, query, _ := strings.Cut(rest, "?")
	if strings.Contains(query, "@") && !(strings.Contains(address, "/") && urlShape.MatchString(scheme+address)) {
		return scheme + hidden // the question mark may be part of a password
	}
	if query != "" {
		rest = address + "?" + hidden
	}
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = hidden + rest[i:]
	}
	return scheme + rest
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}
