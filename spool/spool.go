// Package spool is the durable heart of the connector: one bbolt file in which the stages fetch, map and deliver
// meet. An exported method is one transaction, unless it says that it works in steps; when a writing method returns
// nil, its effect is on disk.
//
// See FORMAT.md for buckets, keys and encodings.
package spool

import (
	"errors"
	"fmt"

	"threatmatch-connector/spool/internal/encoding"
)

// Sentinel errors. Methods wrap them with the operation and the object.
var (
	// ErrLocked: another process holds the file.
	ErrLocked = errors.New("spool is locked")
	// ErrEpoch: a reset happened since the caller read its input; discard it and read again.
	ErrEpoch = errors.New("spool was reset meanwhile")
	// ErrCorrupt: a payload fails its checksum or cannot be decoded.
	ErrCorrupt = encoding.ErrCorrupt
	// ErrFull: the disk or bbolt's own cap leaves no room for this commit. Nothing was changed.
	ErrFull = errors.New("no room in the spool")
	// ErrSchema: a newer version wrote the file.
	ErrSchema = errors.New("newer spool schema")
	// ErrConnector: the spool belongs to another connector id.
	ErrConnector = errors.New("spool belongs to another connector")
	// ErrNotFound: no such run, object, entry or dead letter.
	ErrNotFound = errors.New("not found")
	// ErrInvalid: the caller passed something that the spool cannot hold, such as an id longer than MaxID or an empty
	// bundle. Nothing was changed.
	ErrInvalid = errors.New("invalid")
	// ErrKey: what is to be looked up or continued after is no key of that bucket. It is an ErrInvalid.
	ErrKey = fmt.Errorf("%w key", ErrInvalid)
	// ErrBusy: the state of the run does not allow this step yet.
	ErrBusy = errors.New("not finished yet")
	// ErrBroken: a write failed half way, so that only opening the file again can tell what is on disk. Until then
	// everything but reading is refused.
	ErrBroken = errors.New("spool must be opened again")
	// ErrClosed: the spool was closed.
	ErrClosed = errors.New("spool is closed")
	// ErrReadOnly: the spool was opened read-only.
	ErrReadOnly = errors.New("spool is open read-only")
)
