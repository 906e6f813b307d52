package spool

import (
	"cmp"
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

// wait stores a waiting object, replacing an older copy of its id in the run.
func (x objectIndex) wait(o Object, body encoding.Packed) error {
	if err := checkObject(o); err != nil {
		return err
	}
	tb, old := x.rows, x.remove(o.STIX)
	o.Run, o.Seq = x.run, cmp.Or(old.Seq, o.Seq)
	if o.Seq == 0 || tb.get(x.key(o.Seq)) != nil {
		o.Seq = tb.next()
	} else if o.Seq > tb.b.Sequence() {
		tb.t.fail(tb.name, tb.b.SetSequence(o.Seq))
	}
	x.add(o, body)
	return nil
}
