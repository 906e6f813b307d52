package worker

import (
	"fmt"
	"regexp"
	"strings"
)

// checkPattern reports what the grammar of STIX 2.1 patterns has against a
// pattern, as the validator does that the platform calls: syntax, and the
// length of hashes.
func checkPattern(text string) error {
	tokens, err := lexPattern(text)
	if err != nil {
		return err
	}
	p := &patternParser{tokens: tokens}
	p.observations()
	if p.err == nil && p.at < len(p.tokens) {
		p.fail("the end")
	}
	return p.err
}

var patternToken = regexp.MustCompile(`^(?:` + strings.Join([]string{
	`(?P<space>\s+)`, `(?P<time>t'\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?Z')`,
	`(?P<hex>h'(?:[0-9a-fA-F]{2})*')`, `(?P<binary>b'[A-Za-z0-9+/]*={0,2}')`, `(?P<string>'(?:[^'\\]|\\'|\\\\)*')`,
	`(?P<float>[+-]?\d*\.\d+)`, `(?P<int>[+-]?(?:0|[1-9]\d*))`, `(?P<word>[a-zA-Z_][a-zA-Z0-9_-]*)`, `(?P<mark>==|=|!=|<>|<=|>=|<|>|[\[\]().,:*])`}, "|") + `)`)

type token struct{ kind, text string }

func lexPattern(text string) ([]token, error) {
	var tokens []token
	names := patternToken.SubexpNames()
	for rest := text; rest != ""; {
		m := patternToken.FindStringSubmatch(rest)
		if m == nil {
			return nil, fmt.Errorf("no token at %.20q", rest)
		}
		for i, group := range m[1:] {
			if group != "" && names[i+1] != "space" {
				tokens = append(tokens, token{names[i+1], group})
			}
		}
		rest = rest[len(m[0]):]
	}
	return tokens, nil
}

type patternParser struct {
	tokens []token
	at     int
	err    error
}

func (p *patternParser) peek() token {
	if p.err != nil || p.at == len(p.tokens) {
		return token{}
	}
	return p.tokens[p.at]
}

// take goes past the next token if its text is one of these.
func (p *patternParser) take(texts ...string) bool {
	t := p.peek()
	for _, text := range texts {
		if t.text == text && t.kind != "string" {
			p.at++
			return true
		}
	}
	return false
}

func (p *patternParser) fail(wanted string) {
	if p.err == nil {
		p.err = fmt.Errorf("%s expected, %q found", wanted, p.peek().text)
	}
}

func (p *patternParser) must(text string) {
	if !p.take(text) {
		p.fail(text)
	}
}

func (p *patternParser) kind(kinds ...string) string {
	t := p.peek()
	for _, k := range kinds {
		if t.kind == k {
			p.at++
			return t.text
		}
	}
	p.fail(strings.Join(kinds, " or "))
	return ""
}

func (p *patternParser) observations() {
	p.observation()
	for p.err == nil && p.take("FOLLOWEDBY", "OR", "AND") {
		p.observation()
	}
}

func (p *patternParser) observation() {
	if p.take("(") {
		p.observations()
		p.must(")")
	} else {
		p.must("[")
		p.comparisons()
		p.must("]")
	}
	for p.err == nil {
		switch {
		case p.take("START"):
			p.kind("time")
			p.must("STOP")
			p.kind("time")
		case p.take("WITHIN"):
			p.kind("int", "float")
			p.must("SECONDS")
		case p.take("REPEATS"):
			p.kind("int")
			p.must("TIMES")
		default:
			return
		}
	}
}

func (p *patternParser) comparisons() {
	p.comparison()
	for p.err == nil && p.take("AND", "OR") {
		p.comparison()
	}
}

func (p *patternParser) comparison() {
	if p.take("(") {
		p.comparisons()
		p.must(")")
		return
	}
	if p.take("EXISTS") {
		p.path()
		return
	}
	hash := p.path()
	p.take("NOT")
	switch {
	case p.take("IN"):
		p.must("(")
		p.value(hash)
		for p.take(",") {
			p.value(hash)
		}
		p.must(")")
	case p.take("LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET"):
		p.kind("string")
	case p.take("=", "==", "!=", "<>"):
		p.value(hash)
	case p.take("<", ">", "<=", ">="):
		p.value("")
	default:
		p.fail("a comparison")
	}
}

// path returns the name of the hash that it ends in, if any.
func (p *patternParser) path() (hash string) {
	p.kind("word")
	p.must(":")
	previous, last := "", p.kind("word", "string")
	for p.err == nil {
		switch {
		case p.take("."):
			previous, last = last, p.kind("word", "string")
		case p.take("["):
			if !p.take("*") {
				p.kind("int")
			}
			p.must("]")
		default:
			if strings.Trim(previous, "'") == "hashes" {
				return strings.ToUpper(strings.ReplaceAll(strings.Trim(last, "'"), "-", ""))
			}
			return ""
		}
	}
	return ""
}

var hexDigits = regexp.MustCompile(`^[0-9a-fA-F]*$`)

func (p *patternParser) value(hash string) {
	if p.take("true", "false") {
		return
	}
	text := p.kind("string", "int", "float", "hex", "binary", "time")
	length := map[string]int{"MD5": 32, "SHA1": 40, "SHA256": 64, "SHA512": 128, "SHA224": 56, "SHA384": 96}[hash]
	if digits := strings.Trim(text, "'"); length > 0 && p.err == nil && (len(digits) != length || !hexDigits.MatchString(digits)) {
		p.err = fmt.Errorf("%s is no %s", text, hash)
	}
}
