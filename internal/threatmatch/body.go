package threatmatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Body is a response as it arrived: a JSON object with an array "objects".
type Body struct {
	// Bytes may be a mapped file if it has more than 4 MiB. It must not be changed, and not be used after Release.
	Bytes []byte
	Date  time.Time // the server's clock; zero if it does not say

	objects []byte // the array, if it was found already
	free    func()
}

// Release frees what the body takes. It may be called more than once.
func (b *Body) Release() {
	free := b.free
	b.Bytes, b.objects, b.free = nil, nil, nil
	if free != nil {
		free()
	}
}

// bodyFiles is the pattern of the names of files that hold large responses.
const bodyFiles = ".answer-*"

// RemoveBodies removes from the directory the files of large responses that a dead process left. Nobody else may be
// using the directory.
func RemoveBodies(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, bodyFiles))
	for _, file := range left {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

// read reads a whole body of at most limit bytes; a larger one is an error of kind tooLarge. A body over largeBody
// waits until no other one is being read, while its time limit stands still, and then goes into a file.
func (c *Client) read(ctx context.Context, resp *http.Response, guard *time.Timer, limit int64, tooLarge Kind) (Body, *Error) {
	if resp.ContentLength > limit {
		return Body{}, larger(tooLarge, limit)
	}
	var head bytes.Buffer
	head.Grow(int(min(max(resp.ContentLength, 0)+bytes.MinRead, largeBody)))
	n, err := io.Copy(&head, io.LimitReader(resp.Body, min(limit+1, largeBody)))
	body := Body{Bytes: head.Bytes()}
	if err == nil && n == largeBody {
		guard.Stop()
		select {
		case c.large <- struct{}{}:
			defer func() { <-c.large }()
		case <-ctx.Done():
			return Body{}, &Error{Kind: KindTimeout, cause: context.Cause(ctx)}
		}
		guard.Reset(c.opt.BodyTimeout)
		body, err = c.store(io.MultiReader(&head, resp.Body), limit+1)
	} else if cap(body.Bytes) > 2*len(body.Bytes) { // it is kept until its commit, so no memory is wasted
		body.Bytes = bytes.Clone(body.Bytes)
	}
	if err != nil {
		fail := &Error{Kind: kindOfCause(ctx, err), cause: shorten(ctx, err), Snippet: c.redact.snippet(body.Bytes)}
		body.Release()
		return Body{}, fail
	}
	if int64(len(body.Bytes)) > limit {
		body.Release()
		return Body{}, larger(tooLarge, limit)
	}
	return body, nil
}

func larger(kind Kind, limit int64) *Error {
	return &Error{Kind: kind, cause: fmt.Errorf("%w than %d bytes", errLarger, limit)}
}
