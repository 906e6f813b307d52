package splitter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// object is a STIX object whose properties keep their order.
type object struct {
	id, kind string
	aliases  []string // ids that the platform gave it
	keys     []string
	values   map[string]json.RawMessage
	deps     int
}

// opencti is the extension that holds the platform's own id of an object.
const opencti = "extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba"

func readObject(text []byte) (*object, error) {
	o := &object{values: map[string]json.RawMessage{}}
	dec := json.NewDecoder(bytes.NewReader(text))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, fmt.Errorf("object: not an object: %.40s", text)
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("object: %w", err)
		}
		key, _ := token.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("object: %s: %w", key, err)
		}
		if _, twice := o.values[key]; !twice {
			o.keys = append(o.keys, key)
		}
		o.values[key] = value
	}
	var head struct {
		ID         string `json:"id"`
		Type       string `json:"type"`
		Internal   string `json:"x_opencti_id"`
		Extensions map[string]struct {
			ID string `json:"id"`
		} `json:"extensions"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	if head.ID == "" || head.Type == "" {
		return nil, fmt.Errorf("object %q of type %q: id and type are needed", head.ID, head.Type)
	}
	o.id, o.kind = head.ID, head.Type
	for _, alias := range []string{head.Internal, head.Extensions[opencti].ID} {
		if alias != "" {
			o.aliases = append(o.aliases, alias)
		}
	}
	return o, nil
}

// appendTo writes the object with its weight.
func (o *object) appendTo(dst []byte) []byte {
	dst = append(dst, '{')
	for _, key := range o.keys {
		if key != "nb_deps" {
			dst = append(append(append(dst, quoted(key)...), ':'), o.values[key]...)
			dst = append(dst, ',')
		}
	}
	dst = append(dst, `"nb_deps":`...)
	return append(strconv.AppendInt(dst, int64(o.deps), 10), '}')
}

func encoded(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts, and JSON that was read before
	}
	return text
}

func quoted(s string) []byte { return encoded(s) }

// supportedID says whether OpenCTI knows what an id names; one of its own has no prefix.
func supportedID(id string) bool {
	prefix, _, found := strings.Cut(id, "--")
	return !found || Supported(prefix)
}

// Supported says whether OpenCTI imports objects whose ids have the prefix
// (platform 7.26, pycti utils/opencti_stix2_utils.py).
func Supported(prefix string) bool { return supported[prefix] }

var supported = func() map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(`kill-chain-phase attack-pattern campaign case-incident x-opencti-case-incident case-rfi
	x-opencti-case-rfi case-rft x-opencti-case-rft channel course-of-action data-component x-mitre-data-component data-source
	x-mitre-data-source event external-reference feedback x-opencti-feedback grouping identity incident indicator infrastructure
	intrusion-set language location malware malware-analysis marking-definition narrative note observed-data opinion report task
	x-opencti-task threat-actor tool vulnerability security-coverage autonomous-system directory domain-name email-addr
	email-message email-mime-part-type artifact file x509-certificate ipv4-addr ipv6-addr mac-addr mutex network-traffic process
	software url user-account windows-registry-key windows-registry-value-type hostname cryptographic-key cryptocurrency-wallet
	text user-agent bank-account phone-number credential tracking-number payment-card media-content simple-observable persona
	ssh-key ai-prompt relationship sighting`) {
		set[word] = true
	}
	return set
}()
