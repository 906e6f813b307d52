package stix

import "strings"

// TLP is one of OpenCTI's five standard markings, which every platform has from its first start.
type TLP struct {
	Level string // clear, green, amber, amber+strict, red
	Name  string // TLP:AMBER+STRICT
	ID    string // the id that OpenCTI uses
	Rank  int    // 1 (clear) to 5 (red)

	oasis   string // the id of STIX's TLP 2.0 object, which OpenCTI does not map
	created string
	classic string // the TLP 1 word of the STIX 2.1 object, or "" for OpenCTI's own form
}

// STIX 2.1 defines white, green, amber and red; OpenCTI keeps their ids and writes clear instead of white. The TLP
// 2.0 ids are those of the OASIS extension.
var tlps = []TLP{
	{"clear", "TLP:CLEAR", "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9", 1,
		"marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487", "2017-01-20T00:00:00.000Z", ""},
	{"green", "TLP:GREEN", "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da", 2,
		"marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb", "2017-01-20T00:00:00.000Z", "green"},
	{"amber", "TLP:AMBER", "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82", 3,
		"marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421", "2017-01-20T00:00:00.000Z", "amber"},
	{"amber+strict", "TLP:AMBER+STRICT", "marking-definition--826578e1-40ad-459f-bc73-ede076f81f37", 4,
		"marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003", "2022-10-01T00:00:00.000Z", ""},
	{"red", "TLP:RED", "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed", 5,
		"marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1", "2017-01-20T00:00:00.000Z", "red"},
}

// FindTLP returns the standard marking of a level: clear (or white), green,
// amber, amber+strict, red, in any case and with or without "TLP:".
func FindTLP(level string) (TLP, bool) {
	level = strings.ToLower(strings.Join(strings.Fields(level), ""))
	level = strings.TrimPrefix(level, "tlp:")
	switch level {
	case "white":
		level = "clear"
	case "amber-strict", "amber_strict", "amberstrict":
		level = "amber+strict"
	}
	for _, t := range tlps {
		if t.Level == level {
			return t, true
		}
	}
	return TLP{}, false
}

// TLPByID returns the standard marking that an id stands for: OpenCTI's own id, or that of STIX's TLP 2.0 object.
func TLPByID(id string) (TLP, bool) {
	for _, t := range tlps {
		if t.ID == id || t.oasis == id {
			return t, true
		}
	}
	return TLP{}, false
}

// StandardTLP reports whether id is one of the five markings that OpenCTI always has.
func StandardTLP(id string) bool {
	t, ok := TLPByID(id)
	return ok && t.ID == id
}

// Object returns the marking as OpenCTI's own tools write it.
func (t TLP) Object() *Object {
	o := New("marking-definition", t.ID)
	o.Set("created", t.created)
	if t.classic != "" {
		o.Set("name", t.Name)
		o.Set("definition_type", "tlp")
		o.Set("definition", map[string]string{"tlp": t.classic})
		return o
	}
	o.Set("definition_type", "statement")
	o.Set("definition", map[string]string{"statement": "custom"})
	o.Set("x_opencti_definition_type", "TLP")
	o.Set("x_opencti_definition", t.Name)
	return o
}
