package delivery

// Kind is what kept a batch from being sent as a whole.
type Kind uint8

const (
	// ConnectionLost: connection or channel ended before the broker answered,
	// the peer went silent, or the broker cannot be reached. Send again, with
	// backoff. The zero value.
	ConnectionLost Kind = iota
	// Nacked: the broker refused a message, mostly because its queue is full
	// (overflow reject-publish). Wait, then send again.
	Nacked
	// Returned: no queue takes the routing key. Let the platform declare its
	// topology again (ping), then send again.
	Returned
	// NoExchange: the exchange does not exist. As Returned.
	NoExchange
	// TooLarge: the message at Index is larger than the broker takes, and
	// never will be sent. Limit is the broker's, 0 when it did not say.
	TooLarge
	// AccessRefused: credentials, virtual host or write permission are
	// refused. Register again: they may have changed.
	AccessRefused
	// BadTLS: the broker's certificate, or ours, is not accepted, or one side
	// speaks no TLS.
	BadTLS
	// SourceFailed: Batch.Next returned an error, which is wrapped.
	SourceFailed
	// CommitFailed: Batch.Committed returned an error, which is wrapped.
	CommitFailed
	// Stopped: the context ended first.
	Stopped
)

// String returns the name for logs and metrics.
func (k Kind) String() string {
	names := [...]string{
		"lost", "nacked", "returned", "no_exchange", "too_large", "access_refused", "bad_tls", "source_failed", "commit_failed", "stopped",
	}
	return names[min(k, Stopped)]
}

// Outcome is the error of a batch that was not sent as a whole. Go on from
// message Committed: it and what follows are to be published again, in order.
type Outcome struct {
	Kind Kind
	// Index of the first message concerned, counted from 0 in the batch: of
	// TooLarge the very message, else the first one not confirmed.
	Index int
	// Committed is what the last successful Batch.Committed was given.
	Committed int
	// Repeats counts messages from Committed on that the broker confirmed:
	// publishing them again enqueues them twice for sure.
	Repeats int
	// Unknown counts messages from Committed on whose answer was lost: they
	// may be in the queue or not.
	Unknown int
	// Limit is the broker's largest message in bytes, for TooLarge.
	Limit int64
	// Err carries the cause, its fault class and a hint.
	Err error
}

func (o *Outcome) Error() string {
	return "publish: " + o.Err.Error()
}

// Unwrap returns Err.
func (o *Outcome) Unwrap() error { return o.Err }
