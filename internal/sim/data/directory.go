package data

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"threatmatch-connector/internal/moment"
)

// Directory serves STIX bundles from files: each actor (threat-actor,
// intrusion-set) is a profile, each malware an alert, each report a report, each
// indicator an IOC. An item's bundle holds its object, the relationships of that
// object with their other ends, and whatever these refer to; what no item
// reaches that way is put beside the first neighbour that some item has.
type Directory struct {
	objects  map[string]*stixObject
	items    map[Dataset][]directoryItem
	earliest time.Time
}

type directoryItem struct {
	main    *stixObject
	objects []*stixObject
}

// stixObject is what of an object is needed to place it.
type stixObject struct {
	ID       string  `json:"id"`
	Type     string  `json:"type"`
	Name     string  `json:"name"`
	Created  oddTime `json:"created"`
	Modified oddTime `json:"modified"`
	Source   string  `json:"source_ref"`
	Target   string  `json:"target_ref"`

	refs []string
	raw  json.RawMessage
}

// dawn is before everything that ThreatMatch can be asked for.
var dawn = time.Unix(0, 0).UTC()

const day = 24 * time.Hour

// oddTime is a time in any form; zero where it cannot be read.
type oddTime struct{ time.Time }

// UnmarshalJSON never fails: odd times are there to be tried.
func (t *oddTime) UnmarshalJSON(raw []byte) error {
	r, _ := moment.ParseJSON(raw)
	t.Time = r.Time
	return nil
}

// time is when the object changed last; zero where it does not say.
func (o *stixObject) time() time.Time {
	if o.Modified.IsZero() {
		return o.Created.Time
	}
	return o.Modified.Time
}

var directoryTypes = map[string]Dataset{"threat-actor": Profiles, "intrusion-set": Profiles, "malware": Alerts, "report": Reports}

// LoadDirectory reads all bundles (*.json) under dir. An id that several files
// have counts once, in its newest form.
func LoadDirectory(dir string) (*Directory, error) {
	d := &Directory{objects: map[string]*stixObject{}, items: map[Dataset][]directoryItem{}}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		return d.load(path)
	})
	if err != nil {
		return nil, fmt.Errorf("load STIX bundles: %w", err)
	}
	if len(d.objects) == 0 {
		return nil, fmt.Errorf("load STIX bundles: %w", errors.New("no object found in "+dir))
	}
	d.place()
	return d, nil
}

func (d *Directory) load(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var bundle struct {
		Objects []json.RawMessage `json:"objects"`
	}
	if err := json.Unmarshal(text, &bundle); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for i, raw := range bundle.Objects {
		o := &stixObject{raw: raw}
		if err := json.Unmarshal(raw, o); err != nil {
			return fmt.Errorf("%s: object %d: %w", path, i, err)
		}
		if o.ID == "" || o.Type == "" {
			return fmt.Errorf("%s: object %d: no id or type", path, i)
		}
		if known, ok := d.objects[o.ID]; ok && !o.time().After(known.time()) {
			continue
		}
		o.refs = References(raw)
		d.objects[o.ID] = o
	}
	return nil
}

// sorted are all objects by time, then id.
func (d *Directory) sorted() []*stixObject {
	all := make([]*stixObject, 0, len(d.objects))
	for _, o := range d.objects {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b *stixObject) int {
		return cmp.Or(a.time().Compare(b.time()), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// date finds the oldest time, and takes it for objects that have none, such as
// observables: they are served with the first ones.
func (d *Directory) date() {
	var undated []*stixObject
	for _, o := range d.objects {
		switch at := o.time(); {
		case at.Before(dawn):
			undated = append(undated, o)
		case d.earliest.IsZero() || at.Before(d.earliest):
			d.earliest = at
		}
	}
	if d.earliest.IsZero() {
		d.earliest = dawn.Add(day)
	}
	for _, o := range undated {
		o.Created, o.Modified = oddTime{d.earliest}, oddTime{d.earliest}
	}
}

func (d *Directory) place() {
	d.date()
	all := d.sorted()
	touching := map[string][]*stixObject{}
	for _, o := range all {
		if o.Type == "relationship" {
			touching[o.Source] = append(touching[o.Source], o)
			touching[o.Target] = append(touching[o.Target], o)
		}
	}
	p := placer{d: d, home: map[string]*directoryItem{}}
	for _, o := range all {
		ds, ok := directoryTypes[o.Type]
		if !ok {
			if o.Type == "indicator" {
				p.home[o.ID] = nil // an IOC: served, if in no bundle
			}
			continue
		}
		it := &directoryItem{main: o}
		p.close(it, append([]*stixObject{o}, touching[o.ID]...))
		p.items = append(p.items, it)
		p.datasets = append(p.datasets, ds)
	}
	p.leftovers(all)
	for i, it := range p.items {
		d.items[p.datasets[i]] = append(d.items[p.datasets[i]], *it)
	}
}

type placer struct {
	d        *Directory
	items    []*directoryItem
	datasets []Dataset
	home     map[string]*directoryItem // the first item that has an object
}

// close adds objects and, step by step, whatever they refer to.
func (p *placer) close(it *directoryItem, next []*stixObject) {
	seen := map[string]bool{}
	for _, o := range it.objects {
		seen[o.ID] = true
	}
	for len(next) > 0 {
		o := next[0]
		next = next[1:]
		if seen[o.ID] {
			continue
		}
		seen[o.ID] = true
		it.objects = append(it.objects, o)
		if p.home[o.ID] == nil {
			p.home[o.ID] = it
		}
		for _, ref := range o.refs {
			if target, ok := p.d.objects[ref]; ok {
				next = append(next, target)
			}
		}
	}
}

// leftovers puts objects that no item has beside a neighbour, or into an item of their own.
func (p *placer) leftovers(all []*stixObject) {
	for progress := true; progress; {
		progress = false
		for _, o := range all {
			if _, placed := p.home[o.ID]; placed {
				continue
			}
			for _, ref := range o.refs {
				if it := p.home[ref]; it != nil {
					p.close(it, []*stixObject{o})
					progress = true
					break
				}
			}
		}
	}
	for _, o := range all {
		if _, placed := p.home[o.ID]; !placed {
			it := &directoryItem{main: o}
			p.close(it, []*stixObject{o})
			p.items, p.datasets = append(p.items, it), append(p.datasets, Profiles)
		}
	}
}

// Count is how many items ds has.
func (d *Directory) Count(ds Dataset) int {
	if ds == IOCs {
		return d.Objects("indicator").Len()
	}
	return len(d.items[ds])
}

// Earliest is the oldest time of any object, or the second day of 1970 where
// none has one.
func (d *Directory) Earliest() time.Time { return d.earliest }

// Entries are the rows of ds.
func (d *Directory) Entries(ds Dataset) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for i, it := range d.items[ds] {
			e := Entry{ID: i + 1, Title: it.main.Name, Kind: kindActor, Created: it.main.Created.Time, Updated: it.main.time(), Touched: it.main.time()}
			if !yield(e) {
				return
			}
		}
	}
}

// Item is the objects of one item, as they stand in the files.
func (d *Directory) Item(ds Dataset, id int) ([]json.RawMessage, bool) {
	if id < 1 || id > len(d.items[ds]) {
		return nil, false
	}
	var out []json.RawMessage
	for _, o := range d.items[ds][id-1].objects {
		out = append(out, o.raw)
	}
	return out, true
}

// Objects are all objects of a type.
func (d *Directory) Objects(stixType string) Sequence {
	var list fixed
	for _, o := range d.sorted() {
		if o.Type == stixType {
			list = append(list, timed{o.time(), o.raw})
		}
	}
	return list
}
