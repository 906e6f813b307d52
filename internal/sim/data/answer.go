package data

import (
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"time"
)

// Answer serves one STIX bundle as it is, as the answer to the one profile that
// there is: nothing is merged, sorted or left out.
type Answer struct {
	title   string
	objects []json.RawMessage
}

// answered is when the profile was made and last changed.
var answered = time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)

// LoadAnswer reads a bundle from a file. Its objects may be anything.
func LoadAnswer(path string) (*Answer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var bundle struct {
		Objects []json.RawMessage `json:"objects"`
	}
	if err := json.Unmarshal(text, &bundle); err != nil {
		return nil, fmt.Errorf("load the bundle %s: %w", path, err)
	}
	return &Answer{title: path, objects: bundle.Objects}, nil
}

// Entries is the one row of the profiles.
func (a *Answer) Entries(d Dataset) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		if d == Profiles {
			yield(Entry{ID: 1, Title: a.title, Kind: 1, Created: answered, Updated: answered, Touched: answered})
		}
	}
}

// Item is the bundle's objects.
func (a *Answer) Item(d Dataset, id int) ([]json.RawMessage, bool) {
	return a.objects, d == Profiles && id == 1
}

// Objects are none.
func (a *Answer) Objects(string) Sequence { return empty{} }

// Count is 1 for profiles.
func (a *Answer) Count(d Dataset) int {
	if d == Profiles {
		return 1
	}
	return 0
}

// Earliest is the profile's time.
func (a *Answer) Earliest() time.Time { return answered }
