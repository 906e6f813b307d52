// Package facts holds which relationship types OpenCTI accepts between two kinds of objects, extracted from the
// platform's source, see README.md; nothing here decides what to do about them. The package is pure, and its values are
// safe for concurrent use.
package facts
