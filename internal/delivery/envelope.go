package delivery

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// Envelope is what a message carries.
type Envelope struct {
	// ApplicantID is the user that OpenCTI's workers import as.
	ApplicantID string
	// WorkID is the work of the run, "" for none.
	WorkID string
	// Update tells the workers to merge if several entities match.
	Update bool
	// Sequence counts the messages of a bundle from 1.
	Sequence int
	// BundleID is "bundle--" and a UUID, the same for every object of a bundle.
	BundleID string
	// Deps is the object's number of dependencies: its nb_deps.
	Deps uint32
	// Object is the STIX object's JSON, without nb_deps.
	Object []byte
}

// About what the bundle adds to an object, and the envelope to the bundle.
const (
	aroundObject = 192
	aroundBundle = 512
)

// AppendEnvelope appends the message that OpenCTI's workers read: a bundle of one object, as base64 in a JSON
// envelope. It fails if Object is not a JSON object. The same input gives the same bytes. The format is that of
// OpenCTI 6.x and 7.x.
func AppendEnvelope(dst []byte, e Envelope) ([]byte, error) {
	object, ok := bytes.CutSuffix(e.Object, []byte("}"))
	if !ok {
		return nil, fmt.Errorf("object %d of %s is not a JSON object", e.Sequence, e.BundleID)
	}
	dst = slices.Grow(dst, base64.StdEncoding.EncodedLen(len(e.Object)+aroundObject)+aroundBundle) // at once: an object may have tens of megabytes
	dst = append(dst, `{"bundle_type":"QUEUE_BUNDLE","applicant_id":`...)
	dst = appendString(dst, e.ApplicantID)
	dst = append(dst, `,"action_sequence":`...)
	dst = strconv.AppendInt(dst, int64(e.Sequence), 10)
	dst = append(dst, `,"entities_types":[],"content":"`...)
	dst = appendContent(dst, e, object)
	dst = append(dst, `","update":`...)
	dst = strconv.AppendBool(dst, e.Update)
	dst = append(dst, `,"draft_id":null,"no_split":false`...)
	if e.WorkID != "" {
		dst = append(dst, `,"work_id":`...)
		dst = appendString(dst, e.WorkID)
	}
	return append(dst, '}'), nil
}

// appendContent appends the bundle in base64. object lacks its last brace. The bundle is written first, moved to the
// end of the space that its encoding takes, and encoded from there to the front: three bytes become four, so the
// output never reaches input that is still to be read.
func appendContent(dst []byte, e Envelope, object []byte) []byte {
	start := len(dst)
	dst = appendBundle(dst, e, object)
	plain := len(dst) - start
	room := base64.StdEncoding.EncodedLen(plain)
	dst = slices.Grow(dst, room-plain)[:start+room]
	copy(dst[start+room-plain:], dst[start:start+plain])
	var chunk [3 * 1024]byte
	out := start
	for in := start + room - plain; in < start+room; {
		n := copy(chunk[:], dst[in:start+room])
		in += n
		base64.StdEncoding.Encode(dst[out:start+room], chunk[:n])
		out += base64.StdEncoding.EncodedLen(n)
	}
	return dst
}

func appendBundle(dst []byte, e Envelope, object []byte) []byte {
	dst = append(dst, `{"type":"bundle","id":`...)
	dst = appendString(dst, e.BundleID)
	dst = append(dst, `,"spec_version":"2.1","x_opencti_seq":`...)
	dst = strconv.AppendUint(dst, uint64(e.Deps), 10)
	dst = append(dst, `,"objects":[`...)
	dst = append(dst, object...)
	dst = append(dst, `,"nb_deps":`...)
	dst = strconv.AppendUint(dst, uint64(e.Deps), 10)
	return append(dst, `}]}`...)
}

// appendString appends s as encoding/json writes it. Nearly all strings are ids, which need no escapes.
func appendString(dst []byte, s string) []byte {
	if isPlain(s) {
		return append(append(append(dst, '"'), s...), '"')
	}
	text, err := json.Marshal(s)
	if err != nil { // cannot happen: strings always encode
		return append(dst, `""`...)
	}
	return append(dst, text...)
}

// isPlain reports whether encoding/json would write s unchanged.
func isPlain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c >= 0x7f, c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}
