// Package mapping turns the body of one ThreatMatch response into the STIX 2.1
// objects that are sent to OpenCTI: all the knowledge in it, and nothing that
// OpenCTI refuses.
//
// It is pure: no clock, no network, no state between calls. The same body and the
// same settings give the same bytes. What it leaves out, rewrites or adds is
// counted by the names in [CountTable]; what it cannot map is returned whole as
// [Dead].
//
// RULES.md lists what is done to which property and why, and which entity and
// relationship types each dataset contains.
//
// Two things can only be decided when an object is released, because they depend on
// objects of other records: whether a relationship is legal between its two ends
// ([Mapper.Settle]), and whether a referenced marking or author exists
// ([Mapper.MarkUnread], [Mapper.EnsureAuthor] after its removal).
package mapping
