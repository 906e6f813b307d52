// Package facts holds what OpenCTI accepts: the relationship types between two kinds of objects, and the inputs of
// its GraphQL API. Both were extracted from the platform's source, see README.md; nothing here decides what to do
// about them. The package is pure, and its values are safe for concurrent use.
package facts
