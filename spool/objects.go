package spool

import (
	"fmt"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// objectHead is what stands beside the JSON of an object that waits or is held.
type objectHead struct {
	STIX    string    `json:"id"`
	Watch   string    `json:"watch"`
	Run     uint64    `json:"run,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Kept    bool      `json:"kept,omitempty"`
	Dataset Dataset   `json:"dataset,omitempty"`
	Source  string    `json:"source,omitempty"`

	Stamps map[string]time.Time `json:"stamps,omitempty"`
}

func (o Object) head() objectHead {
	return objectHead{o.STIX, o.Watch, o.Run, o.Since, o.Kept, o.Dataset, o.Source, o.Stamps}
}

// putObject stores the envelope of an object under the key.
func (tb *table) putObject(key []byte, o Object, body encoding.Packed) error {
	v, err := encoding.Seal(key, o.head(), body)
	if err != nil {
		return err
	}
	return tb.putBlob(key, v)
}

// object reads what putObject stored. One that fails its checksum comes with Err set.
func (tb *table) object(key, v []byte) Object {
	var h objectHead
	body, err := encoding.Open(key, tb.blob(key, v), &h)
	o := Object{
		STIX: h.STIX, Run: h.Run, Watch: h.Watch, Since: h.Since, Kept: h.Kept,
		Dataset: h.Dataset, Source: h.Source, Stamps: h.Stamps, JSON: body,
	}
	o.Seq = encoding.U64(key, len(key)-8)
	if err != nil {
		o.Err = fmt.Errorf("%s %x: %w", tb.name, key, err)
	}
	return o
}

func checkObject(o Object) error {
	if o.STIX == "" {
		return fmt.Errorf("object without an id: %w", ErrInvalid)
	}
	return checkLen("object", o.STIX, o.Watch)
}
