package stix

import "encoding/json"

// SetRaw replaces or appends a property with JSON text, which is checked and normalized.
func (o *Object) SetRaw(key string, raw json.RawMessage) error {
	normal, err := Normalize(nil, raw)
	if err != nil {
		return err
	}
	o.put(key, normal)
	return nil
}
