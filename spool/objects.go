package spool

import (
	"fmt"

	"threatmatch-connector/spool/internal/encoding"
)

// object reads an object of putObject. If its checksum fails, Err is set.
func (tb *table) object(key, v []byte) Object {
	var o Object
	var err error
	o.JSON, err = tb.open(key, v, &o)
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
