package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sizeUnit is a unit of bytes. K, M, G and T alone are not units: some programs
// mean 1000 by them and some 1024.
type sizeUnit struct {
	name, pattern string
	bytes         int64
	digits        int // before the unit, limited so that no product overflows an int64
}

func sizeUnits() []sizeUnit {
	return []sizeUnit{
		{"TiB", `[Tt][Ii][Bb]?`, 1 << 40, 6}, {"GiB", `[Gg][Ii][Bb]?`, 1 << 30, 6}, {"MiB", `[Mm][Ii][Bb]?`, 1 << 20, 6}, {"KiB", `[Kk][Ii][Bb]?`, 1 << 10, 6},
		{"TB", `[Tt][Bb]`, 1e12, 6}, {"GB", `[Gg][Bb]`, 1e9, 6}, {"MB", `[Mm][Bb]`, 1e6, 6}, {"KB", `[Kk][Bb]`, 1e3, 6},
		{"B", `[Bb]?`, 1, 15},
	}
}

// sizePattern matches sizes of at least least bytes, and 0 if zero is set.
func sizePattern(least int64, zero bool) string {
	var parts []string
	if zero {
		parts = append(parts, `0 ?(?:[KkMmGgTt]?[Bb]|[KkMmGgTt][Ii][Bb]?)?`)
	}
	for _, u := range sizeUnits() {
		n := max((least+u.bytes-1)/u.bytes, 1)
		parts = append(parts, atLeast(n, u.digits)+` ?`+u.pattern)
	}
	return strings.Join(parts, `|`)
}

// atLeast returns a pattern for the whole numbers from n on with at most digits digits and no leading zero.
func atLeast(n int64, digits int) string {
	text := strconv.FormatInt(n, 10)
	parts := []string{text}
	for i := range text {
		if text[i] == '9' {
			continue
		}
		rest := len(text) - i - 1
		parts = append(parts, fmt.Sprintf(`%s[%c-9][0-9]{%d}`, text[:i], text[i]+1, rest))
	}
	if len(text) < digits {
		parts = append(parts, fmt.Sprintf(`[1-9][0-9]{%d,%d}`, len(text), digits-1))
	}
	return `(?:` + strings.Join(parts, `|`) + `)`
}

var (
	sizeShape    = regexp.MustCompile(`^([0-9]+) ?([A-Za-z]*)$`)
	negativeSize = regexp.MustCompile(`^-[0-9.,]+ *[A-Za-z]*$`)
	brokenSize   = regexp.MustCompile(`^[0-9]*[.,][0-9]+ *[A-Za-z]*$`)
)

// parseSize reads a number of bytes: "4GiB", "500MB", "4Gi", "1048576".
func parseSize(text string) (int64, *refusal) {
	m := sizeShape.FindStringSubmatch(text)
	switch {
	case m != nil:
	case negativeSize.MatchString(text):
		return 0, &refusal{message: "a size cannot be negative"}
	case brokenSize.MatchString(text):
		return 0, &refusal{message: "a size is a whole number of its unit"}
	default:
		return 0, &refusal{message: "not a size"}
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, &refusal{message: "too large"}
	}
	unit := strings.ToLower(m[2])
	if len(unit) == 1 && strings.Contains("kmgt", unit) {
		return 0, &refusal{
			message: "the unit " + m[2] + " means different things to different programs",
			nearest: m[1] + strings.ToUpper(unit) + "iB",
		}
	}
	units := sizeUnits()
	i := slices.IndexFunc(units, func(u sizeUnit) bool {
		name := strings.ToLower(u.name)
		return unit == name || (unit == "" && u.bytes == 1) || (len(name) == 3 && unit == name[:2])
	})
	if i < 0 {
		return 0, &refusal{message: "unknown unit " + strconv.Quote(m[2])}
	}
	if len(m[1]) > units[i].digits {
		return 0, &refusal{message: "too many digits"}
	}
	return n * units[i].bytes, nil
}

// sizeText formats n in the largest unit that divides it.
func sizeText(n int64) string {
	if n == 0 {
		return "0"
	}
	for _, u := range sizeUnits() {
		if n%u.bytes == 0 && (n/u.bytes < 1e6 || u.bytes == 1) {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
