package delivery

// Kind says why a batch was not sent as a whole.
type Kind uint8

const (
	// ConnectionLost: the connection or the channel ended before the broker answered, the peer went silent, or the
	// broker cannot be reached. Send again, with back-off. The zero value.
	ConnectionLost Kind = iota
	// Nacked: the broker refused a message, mostly because its queue is full
	// (overflow reject-publish). Wait, then send again.
	Nacked
	// Returned: no queue is bound for the routing key. Let the platform declare its topology again (ping), then send
	// again.
	Returned
	// NoExchange: the exchange does not exist. Do as for Returned.
	NoExchange
	// TooLarge: the message at Index is larger than the broker takes, and can never be sent. Limit is the broker's
	// limit, 0 if it did not name it.
	TooLarge
	// AccessRefused: credentials, virtual host or write permission are
	// refused. Register again: they may have changed.
	AccessRefused
	// BadTLS: one side does not accept the other's certificate, or does not speak TLS.
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

// Outcome is the error of a batch that was not sent as a whole. Continue from message Committed: it and what follows
// have to be published again, in order.
type Outcome struct {
	Kind Kind
	// Index of the first message concerned, counted from 0 in the batch: for TooLarge that message, else the first
	// one not confirmed.
	Index int
	// Committed is the n of the last successful Batch.Committed.
	Committed int
	// Repeats counts messages from Committed on that the broker confirmed: publishing them again certainly enqueues
	// them twice.
	Repeats int
	// Unknown counts messages from Committed on whose answer was lost: they may be in the queue or not.
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
