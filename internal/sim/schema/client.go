package schema

import (
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"threatmatch-connector/internal/facts"
)

//go:embed client.csv
var clientCSV string

// Handed is one field of a GraphQL input, as OpenCTI's client fills it from an object.
type Handed struct {
	// Input and Name identify the field: IndicatorAddInput, valid_from. Input is "" for an argument that an
	// observable's mutation takes beside the observable's own input.
	Input, Name string
	// Properties lists the object's properties that it is read from; the first one present wins.
	Properties []string
	// Needed means that the client fails on an object that has none of Properties.
	Needed bool
	// Default is sent if the object has none of Properties; nil sends nothing.
	Default any
}

// ReadClient returns the fields that OpenCTI's client of version v sends, by kind of object as the table of
// relationships names it. 7.26 counts as 6.9.17, an unknown version as 6.8.10. Properties that the client handles in
// another way (labels, external references, kill chain phases, hashes) are not listed. An error means that the
// embedded file is damaged.
func ReadClient(v facts.Version) (map[string][]Handed, error) {
	rows, err := csv.NewReader(strings.NewReader(clientCSV)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read client.csv: %w", err)
	}
	read := facts.V6_9
	if v == facts.V6_8 || v == facts.Unknown {
		read = facts.V6_8
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
				return nil, fmt.Errorf("read client.csv: %s: %s: %w", kind, name, err)
			}
		}
		kinds[kind] = append(kinds[kind], h)
	}
	return kinds, nil
}

//go:embed vocabularies.csv
var vocabulariesCSV string

// VocabularyFields lists the properties whose values come from a vocabulary. An error means that the embedded file is
// damaged.
func VocabularyFields() ([]string, error) {
	rows, err := csv.NewReader(strings.NewReader(vocabulariesCSV)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read vocabularies.csv: %w", err)
	}
	var fields []string
	for _, row := range rows[1:] {
		fields = append(fields, row[0])
	}
	return fields, nil
}
