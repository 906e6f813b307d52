package stix

import "encoding/json"

// DedupeReferences keeps the first of equal external references, of equal
// kill chain phases and of equal entries of a list of references, as OpenCTI's
// splitter does, and drops what has no key: an external reference needs a url,
// or a source_name and an external_id. It returns how many entries went.
func (o *Object) DedupeReferences() int {
	return o.dedupe("external_references", referenceKey) + o.dedupe("kill_chain_phases", phaseKey) + o.dedupeRefs()
}

// entryKey is what makes two entries equal; the zero value means no key.
type entryKey struct{ kind, a, b string }

// referenceKey follows pycti: a url decides alone, whatever else is there.
func referenceKey(entry json.RawMessage) entryKey {
	var source, id entryPart
	for k, v := range Members(entry) {
		switch k {
		case "url":
			if url, ok := Text(v); ok {
				return entryKey{"url", url, ""}
			}
		case "source_name":
			source.read(v)
		case "external_id":
			id.read(v)
		}
	}
	if source.ok && id.ok {
		return entryKey{"id", source.text, id.text}
	}
	return entryKey{}
}

func phaseKey(entry json.RawMessage) entryKey {
	var chain, phase entryPart
	for k, v := range Members(entry) {
		switch k {
		case "kill_chain_name":
			chain.read(v)
		case "phase_name":
			phase.read(v)
		}
	}
	if chain.ok && phase.ok {
		return entryKey{"phase", chain.text, phase.text}
	}
	return entryKey{}
}

type entryPart struct {
	text string
	ok   bool
}

func (p *entryPart) read(raw json.RawMessage) { p.text, p.ok = Text(raw) }

func (o *Object) dedupe(key string, keyOf func(json.RawMessage) entryKey) int {
	raw, ok := o.Get(key)
	if !ok || raw[0] != '[' {
		return 0
	}
	var kept []json.RawMessage
	seen := map[entryKey]bool{{}: true}
	total := 0
	for e := range Elements(raw) {
		total++
		k := keyOf(e)
		if !seen[k] {
			kept = append(kept, e)
		}
		seen[k] = true
	}
	if len(kept) < total {
		o.Set(key, kept)
	}
	return total - len(kept)
}
