package mapping

import (
	_ "embed"
	"encoding/json"
	"strings"
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

// shapesText lists the properties of each shape that the platform's inputs have, as
// internal/sim/schema knows them; see TestShapes, which writes it.
//
//go:embed shapes.txt
var shapesText string

// inputShapes are the shapes by their names in that file.
var inputShapes = map[string]shape{
	"text": text, "boolean": boolean, "integer": integer, "decimal": decimal, "instant": instant, "list of texts": textList,
}

// readShapes returns the shape of each property that makes workers fail if its
// value is of another kind. Others pass unchanged: OpenCTI ignores what it does not
// know.
func readShapes() map[string]shape {
	table := map[string]shape{}
	for line := range strings.Lines(shapesText) {
		name, keys, _ := strings.Cut(line, ":")
		for key := range strings.FieldsSeq(keys) {
			table[key] = inputShapes[name]
		}
	}
	table["key"], table["value"] = text, text
	for s, keys := range ownShapes {
		for key := range strings.FieldsSeq(keys) {
			table[key] = s
		}
	}
	return table
}

// read reports whether raw can stay as it is, and otherwise returns the value to
// replace it with, nil if there is none.
func (s shape) read(raw json.RawMessage) (any, bool) {
	const scalarMost = 1000 // what is longer is no number and no time, and many copies would be made of it
	switch {
	case s == boolean, s == integer, s == decimal, s == percent, s == instant:
		if len(raw) > scalarMost {
			return nil, false
		}
	}
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
