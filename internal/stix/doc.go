// Package stix holds STIX 2.1 objects as the connector passes them on: top-level properties in source order, with
// their values as JSON text, so that decoding into Go types loses nothing that a source sends.
//
// All JSON text inside an Object is in normal form: valid UTF-8, no blanks outside of strings, no needless escapes.
// [Normalize] makes it so, once.
//
// The package is pure: no clock, no network, no files. An Object may be read concurrently, but not while it is
// changed.
package stix
