package stix

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Content identifies the content of one copy: its [Object.Hash].
type Content [16]byte

// contentsKept is how many contents are remembered for an object.
const contentsKept = 8

// Arrive records the object's content as it is now, before it is merged with others or anything is cut from it, and
// returns it.
func (o *Object) Arrive() Content {
	c := Content(o.Hash())
	o.taken = []Content{c}
	return c
}

// Contents returns the contents of the copies that the object was made from, as far as Arrive recorded them: the
// greatest 8, sorted.
func (o *Object) Contents() []Content { return slices.Clone(o.taken) }

func mergeContents(a, b []Content) []Content {
	if len(a)+len(b) == 0 {
		return nil
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y Content) int { return bytes.Compare(x[:], y[:]) })
	all = slices.Compact(all)
	return all[max(0, len(all)-contentsKept):]
}

// Keys of the map that Stamps returns, besides names of properties.
const (
	stampWhole   = ""  // when the object was changed, if modified does not say so
	stampFilled  = "-" // before the name of a property: it was filled in
	stampContent = "#" // before a content in hex
)

// asName precedes the name of a property, as a key of these maps and of [Trace.Marks], that would read as another key.
const asName = "="

// stampKey returns the key that stands for a property.
func stampKey(name string) string {
	if name == "" || strings.Contains(asName+markTime+stampFilled+stampContent, name[:1]) {
		return asName + name
	}
	return name
}

// Stamps returns what a merge needs to know about the object besides its JSON text: by name, the times of properties
// that came from older copies, and, under names that no property has, what was filled in and what Arrive recorded. It
// is nil if there is nothing to know.
func (o *Object) Stamps() map[string]time.Time {
	stamps := map[string]time.Time{}
	if o.at != 0 {
		stamps[stampWhole] = stampTime(o.at)
	}
	for _, c := range o.taken {
		stamps[stampContent+hex.EncodeToString(c[:])] = time.Time{}
	}
	for i := range o.fields {
		switch f := &o.fields[i]; f.stamp {
		case 0:
		case filledIn:
			stamps[stampFilled+f.key] = time.Time{}
		default:
			stamps[stampKey(f.key)] = stampTime(f.stamp)
		}
	}
	if len(stamps) == 0 {
		return nil
	}
	return stamps
}

// SetStamps restores what Stamps returned for an object of this text; nil clears it. Whatever does not belong to the
// object is ignored.
func (o *Object) SetStamps(stamps map[string]time.Time) {
	o.at, o.taken = 0, nil
	for i := range o.fields {
		f := &o.fields[i]
		f.stamp = 0
		if t, ok := stamps[stampKey(f.key)]; ok {
			f.stamp = nonZero(t.UnixMilli())
		} else if _, ok := stamps[stampFilled+f.key]; ok {
			f.stamp = filledIn
		}
	}
	for key, t := range stamps {
		if key == stampWhole {
			o.at = nonZero(t.UnixMilli())
		}
		text, is := strings.CutPrefix(key, stampContent)
		if b, err := hex.DecodeString(text); is && err == nil && len(b) == len(Content{}) {
			o.taken = append(o.taken, Content(b))
		}
	}
	o.taken = mergeContents(o.taken, nil)
}

func stampTime(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
