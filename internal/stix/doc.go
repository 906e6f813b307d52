// Package stix holds STIX 2.1 objects as the connector passes them on: top-level
// properties in source order with their values kept as JSON text, so that
// nothing a source sends is lost by decoding it into Go types.
//
// All JSON text inside an Object is normal: valid UTF-8, no blanks outside of
// strings, no escape that is not needed. [Normalize] makes it so, once.
//
// The package is pure: no clock, no network, no files. An Object is not safe
// for concurrent use while one of the users changes it.
package stix
