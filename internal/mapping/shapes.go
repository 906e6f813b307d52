package mapping

import (
	"encoding/json"
	"strings"

	"threatmatch-connector/internal/facts"
)

// shape is the kind of value that OpenCTI reads from a property.
type shape uint8

const (
	anything shape = iota
	text
	boolean
	integer // 32 bits, as in GraphQL
	decimal
	percent // whole number from 0 to 100
	instant
	textList
	referenceList
	partList
	hashTable
)

// ownShapes lists the properties whose STIX name the platform's inputs lack, or for
// which the inputs do not say enough.
var ownShapes = map[shape]string{
	text: `abstract country region city administrative_area spec_version x_opencti_content x_opencti_location_type
		identity_class`,
	boolean:       "defanged x_opencti_create_observables x_opencti_create_indicator",
	integer:       "count",
	percent:       "confidence x_opencti_score",
	instant:       "date",
	textList:      "labels sectors",
	referenceList: "external_references",
	partList:      "kill_chain_phases granular_markings",
	hashTable:     "hashes",
}

// inputShapes maps the types of the platform's inputs to kinds of values.
var inputShapes = map[string]shape{"String": text, "Boolean": boolean, "Int": integer, "Float": decimal, "DateTime": instant}

// notShaped are names that mean something else in STIX than in an input.
const notShaped = " type id key definition value objects samples modules languages tasks file files "

// readShapes returns the shape of each property that makes workers fail if its
// value is of another kind. Others pass unchanged: OpenCTI ignores what it does not
// know.
func readShapes() (map[string]shape, error) {
	inputs, err := facts.ReadInputs()
	if err != nil {
		return nil, err
	}
	table := map[string]shape{}
	for _, input := range inputs.Names() {
		for name, f := range inputs.Fields(facts.V6_9, input) {
			s := inputShapes[f.Type]
			switch {
			case s == anything, strings.Contains(notShaped, " "+name+" "), strings.ToLower(name) != name:
			case f.List == 0:
				table[name] = s
			case f.List == 1 && s == text:
				table[name] = textList
			}
		}
	}
	if err := addAliases(table); err != nil {
		return nil, err
	}
	table["key"], table["value"] = text, text
	for s, keys := range ownShapes {
		for key := range strings.FieldsSeq(keys) {
			table[key] = s
		}
	}
	return table, nil
}

// addAliases gives the shape of a numeric or boolean input to each property that
// the client puts into it, whatever its name.
func addAliases(table map[string]shape) error {
	client, err := facts.ReadClient(facts.V6_9)
	if err != nil {
		return err
	}
	for _, handed := range client {
		for _, h := range handed {
			switch s := table[h.Name]; s {
			case integer, decimal, boolean:
				for _, name := range h.Properties {
					if _, known := table[name]; !known && !strings.Contains(notShaped, " "+name+" ") {
						table[name] = s
					}
				}
			}
		}
	}
	return nil
}

// read reports whether raw can stay as it is, and otherwise returns the value to
// replace it with, nil if there is none.
func (s shape) read(raw json.RawMessage) (any, bool) {
	switch s {
	case text:
		return readText(raw)
	case boolean:
		return readBool(raw)
	case integer:
		return readInteger(raw)
	case decimal:
		return readDecimal(raw)
	case percent:
		return readPercent(raw)
	case instant:
		return readInstant(raw)
	case textList:
		return readTexts(raw)
	case referenceList:
		return readReferences(raw)
	case partList:
		return readObjects(raw)
	case hashTable:
		return readHashes(raw)
	}
	return nil, true
}
