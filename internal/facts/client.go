package facts

import (
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

//go:embed client.csv
var clientCSV string

// Handed is one field of an input as OpenCTI's client fills it from an object.
type Handed struct {
	// Input and Name are the field: IndicatorAddInput, valid_from. Input is ""
	// for what an observable's mutation takes beside the observable's own input.
	Input, Name string
	// Properties it is read from: the first that the object has.
	Properties []string
	// Needed: the client fails on an object that has none of them.
	Needed bool
	// Default is what is sent when the object has none of them; nil is nothing.
	Default any
}

// ReadClient says what OpenCTI's client of a version makes of an object of each
// kind, by the kind's name in the table of relationships. 7.26 counts as 6.9.17,
// and a version that is not known as 6.8.10. Where a property goes
// by way of something else (labels, references to the web, phases of kill
// chains, hashes) is not in it. An error means that the file in the source tree
// is damaged.
func ReadClient(v Version) (map[string][]Handed, error) {
	rows, err := csv.NewReader(strings.NewReader(clientCSV)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read what the client hands over: %w", err)
	}
	read := V6_9
	if v == V6_8 || v == Unknown {
		read = V6_8
	}
	kinds := map[string][]Handed{}
	for _, row := range rows[1:] {
		if !slices.Contains(strings.Fields(row[6]), string(read)) {
			continue
		}
		kind, operation, name := row[0], row[1], row[2]
		h := Handed{Input: strings.ToUpper(operation[:1]) + operation[1:] + "Input", Name: name, Properties: strings.Fields(row[3]),
			Needed: row[4] != ""}
		if operation == "stixCyberObservableAdd" {
			var own bool
			if h.Input, h.Name, own = strings.Cut(name, "."); own {
				h.Input += "AddInput"
			} else {
				h.Input, h.Name = "", name
			}
		}
		if name == "stix_id" {
			h.Properties, row[5] = []string{"id"}, ""
		}
		if row[5] != "" {
			if err := json.Unmarshal([]byte(row[5]), &h.Default); err != nil {
				return nil, fmt.Errorf("read what the client hands over for %s: %s: %w", kind, name, err)
			}
		}
		kinds[kind] = append(kinds[kind], h)
	}
	return kinds, nil
}

//go:embed vocabularies.csv
var vocabulariesCSV string

// VocabularyFields lists the properties whose values are words of a vocabulary.
// An error means that the file in the source tree is damaged.
func VocabularyFields() ([]string, error) {
	rows, err := csv.NewReader(strings.NewReader(vocabulariesCSV)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read vocabularies: %w", err)
	}
	var fields []string
	for _, row := range rows[1:] {
		fields = append(fields, row[0])
	}
	return fields, nil
}
