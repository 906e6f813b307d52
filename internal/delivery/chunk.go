package delivery

// Chunk builds a bundle of several objects in the form that OpenCTI's API takes. The same input gives the same bytes.
// The zero value is not usable: see NewChunk. Not safe for concurrent use.
type Chunk struct {
	text    []byte
	objects int
}

// NewChunk returns an empty bundle with this id, which is "bundle--" and a UUID.
func NewChunk(id string) *Chunk {
	text := appendString([]byte(`{"type":"bundle","id":`), id)
	return &Chunk{text: append(text, `,"spec_version":"2.1","objects":[`...)}
}

// Add appends a STIX object's JSON.
func (c *Chunk) Add(object []byte) {
	if c.objects > 0 {
		c.text = append(c.text, ',')
	}
	c.text = append(c.text, object...)
	c.objects++
}

// Objects returns the number of objects.
func (c *Chunk) Objects() int { return c.objects }

// Len returns the size in bytes of the bundle with one more object of more bytes.
func (c *Chunk) Len(more int) int { return len(c.text) + more + len(`,]}`) }

// Close ends the bundle and returns its text. Do not use the chunk afterwards.
func (c *Chunk) Close() []byte { return append(c.text, `]}`...) }

// MaxChunk returns the largest size in bytes of a bundle whose message is not larger than maxMessage: the message
// carries the bundle in base64.
func MaxChunk(maxMessage int64) int64 { return max(0, maxMessage-envelopeRoom) / 4 * 3 }

// envelopeRoom is more than what surrounds the bundle in a message.
const envelopeRoom = 1024
