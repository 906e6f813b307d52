package mapping

import (
	_ "embed"
	"strings"
)

// Counts says how often something was done, by name. A name may have a detail after
// a colon ("type_unknown:x-foo").
type Counts map[string]int64

// CountName explains one name of Counts.
type CountName struct {
	Name   string // without the detail after a colon
	Effect string // left out (objects), removed (from an object that is sent), changed or added
	Text   string
}

// countNames has a line "name | effect | text" for each name.
//
//go:embed tables/counts.txt
var countNames string

// CountTable returns every name that Map and Settle count under.
func CountTable() []CountName {
	var all []CountName
	for line := range lines(countNames) {
		row := strings.Split(line, " | ")
		all = append(all, CountName{row[0], row[1], row[2]})
	}
	return all
}

// add adds n to a name of CountTable, with an optional detail.
func (c Counts) add(name string, n int64, detail ...string) {
	if n == 0 {
		return
	}
	for _, d := range detail {
		name += ":" + shortName(d)
	}
	c[name] += n
}

// shortName keeps free text of the source from becoming the name of a count.
func shortName(s string) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(s) > 64 || strings.Trim(s, letters) != "" {
		return "other"
	}
	return s
}

func (r *record) count(name string, n int, detail ...string) { r.Counts.add(name, int64(n), detail...) }

const (
	maxNotices = 20  // per name and body; the count includes the others
	maxNotice  = 200 // bytes of a value
)

// tell adds a notice about a value that an operator should see.
func (r *record) tell(object, name, value string) {
	if r.told[name]++; r.told[name] > maxNotices {
		return
	}
	if len(value) > maxNotice {
		value = strings.ToValidUTF8(value[:maxNotice], "")
	}
	r.Notices = append(r.Notices, Notice{Name: name, Object: object, Value: value})
}
