package mapping

import (
	"strings"

	"threatmatch-connector/internal/stix"
)

// The author as the Python connector describes it.
const (
	authorName        = "Security Alliance"
	authorDescription = "Security Alliance is a cyber threat intelligence product and services company, formed in 2007."
)

// epoch is the date of the objects that we make and that never change. It is older
// than any source object, so that a source's own copy of the same id wins a merge.
const epoch = "2020-01-01T00:00:00.000Z"

func newAuthor() *stix.Object {
	o := newShared("identity", stix.IdentityID(authorName, "organization"), authorName)
	o.Set("description", authorDescription)
	o.Set("identity_class", "organization")
	return o
}

// newShared makes an object that is the same in all responses.
func newShared(typ, id, name string) *stix.Object {
	o := stix.New(typ, id)
	o.Set("created", epoch)
	o.Set("modified", epoch)
	o.Set("name", name)
	return o
}

// Author returns the organisation for objects without created_by_ref. The caller
// owns the copy.
func (m *Mapper) Author() *stix.Object { return m.author.Clone() }

// EnsureAuthor gives o the default author if it has none and can have one, and
// reports whether it did. It is for objects whose author turned out not to exist.
func (m *Mapper) EnsureAuthor(o *stix.Object) bool {
	if plain(o.Type()) || m.isAuthor(o) {
		return false
	}
	if o.Has("created_by_ref") || o.Has("x_opencti_created_by_ref") {
		return false
	}
	key := "created_by_ref"
	if stix.Observable(o.Type()) { // STIX observables have no author
		key = "x_opencti_created_by_ref"
	}
	o.Fill(key, m.author.ID())
	return true
}

// isAuthor recognises the author under any id or name that the source uses: OpenCTI
// treats them as one, and nothing can be its own author.
func (m *Mapper) isAuthor(o *stix.Object) bool {
	return strings.EqualFold(o.ID(), m.author.ID()) || o.Type() == "identity" && identityKind(o.String("identity_class")) == "identity-organization" &&
		stix.IdentityID(o.String("name"), "organization") == m.author.ID()
}

// plain reports types that have neither author nor marking in OpenCTI.
func plain(typ string) bool {
	switch typ {
	case "marking-definition", "label", "external-reference", "kill-chain-phase", "vocabulary":
		return true
	}
	return false
}
