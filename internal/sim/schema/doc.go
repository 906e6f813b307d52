// Package schema holds what OpenCTI's client makes of an object and what the platform's GraphQL API takes, extracted
// from their source: see README.md in internal/facts. The stand-in for a worker and tests use it; the product does not
// carry it.
package schema
