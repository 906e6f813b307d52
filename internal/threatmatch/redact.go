package threatmatch

import (
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	snippetLen = 512
	redacted   = "[redacted]"
	// redactLen bounds the part of a body that is considered for a snippet.
	redactLen = 64 << 10
)

var secretFields = regexp.MustCompile(
	`(?i)("?(?:access_token|refresh_token|client_secret|authorization|password)"?\s*[:=]\s*"?(?:bearer\s+)?)[^"\s,&}]+`)

var bearer = regexp.MustCompile(`(?i)(bearer\s+)[A-Za-z0-9._~+/=|-]+`)

// redactor makes snippets of responses without our secrets, even if the server echoes them.
type redactor struct {
	secret string
	mu     sync.Mutex
	tokens []string // the current one and the previous one
}

func (r *redactor) addToken(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = append(r.tokens, token)
	if len(r.tokens) > 2 {
		r.tokens = r.tokens[1:]
	}
}

// snippet returns the beginning of body as one clean line of at most 512 bytes.
func (r *redactor) snippet(body []byte) string {
	s := string(body[:min(len(body), redactLen)])
	s = r.clean(s)
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), unprintable), " ")
	if len(s) <= snippetLen {
		return s
	}
	cut := snippetLen - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

func unprintable(c rune) bool { return c <= ' ' || c == 0x7f }

func (r *redactor) clean(s string) string {
	r.mu.Lock()
	secrets := append([]string{r.secret}, r.tokens...)
	r.mu.Unlock()
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, redacted)
		}
	}
	s = secretFields.ReplaceAllString(s, "${1}"+redacted)
	return bearer.ReplaceAllString(s, "${1}"+redacted)
}
