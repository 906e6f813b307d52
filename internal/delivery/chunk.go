package delivery

// Chunk is a bundle of several objects, as OpenCTI's API takes it. The same input
// gives the same bytes. The zero value is of no use: see NewChunk.
type Chunk struct {
	text    []byte
	objects int
}

// NewChunk returns an empty bundle of the id, which is "bundle--" and a UUID.
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

// Objects is how many there are.
func (c *Chunk) Objects() int { return c.objects }

// Len is the size in bytes of the bundle with one more object of that size.
func (c *Chunk) Len(more int) int { return len(c.text) + more + len(`,]}`) }

// Close ends the bundle and returns its text.
func (c *Chunk) Close() []byte { return append(c.text, `]}`...) }

// MaxChunk returns how many bytes a bundle may have whose message the broker
// takes: the message carries it in base64.
func MaxChunk(maxMessage int64) int64 { return max(0, maxMessage-envelopeRoom) / 4 * 3 }

// envelopeRoom is more than what surrounds the bundle in a message.
const envelopeRoom = 1024
