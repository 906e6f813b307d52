package faults

import (
	"bytes"
	"cmp"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Serve carries out the rule on a request that next would have answered.
func (r Rule) Serve(w http.ResponseWriter, req *http.Request, next http.Handler) {
	switch r.Kind {
	case Answer:
		r.retryAfter(w)
		w.Header().Set("Content-Type", r.ContentType)
		w.WriteHeader(r.Status)
		_, _ = w.Write([]byte(r.Body)) // the client may have gone
	case Slow:
		select {
		case <-time.After(time.Duration(r.Delay)):
			next.ServeHTTP(w, req)
		case <-req.Context().Done():
			reset(w)
		}
	case Hang:
		<-req.Context().Done()
		reset(w)
	case Reset:
		reset(w)
	case Lost:
		next.ServeHTTP(&memory{header: http.Header{}}, req)
		reset(w)
	case Cut, Truncate, Stall:
		r.half(w, req, next)
	case Flood:
		r.flood(w)
	default:
		next.ServeHTTP(w, req)
	}
}

// half sends the first half of the real answer.
func (r Rule) half(w http.ResponseWriter, req *http.Request, next http.Handler) {
	m := &memory{header: http.Header{}, status: http.StatusOK}
	next.ServeHTTP(m, req)
	for key, values := range m.header {
		w.Header()[key] = values
	}
	body := m.body.Bytes()
	if r.Kind == Truncate {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)/2))
		w.WriteHeader(m.status)
		_, _ = w.Write(body[:len(body)/2]) // the client may have gone
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(m.status)
	_, _ = w.Write(body[:len(body)/2]) // the client may have gone
	_ = http.NewResponseController(w).Flush()
	if r.Kind == Stall {
		<-req.Context().Done()
	}
	reset(w)
}

// retryAfter sets the header, a date by the server's clock where one is asked for.
func (r Rule) retryAfter(w http.ResponseWriter) {
	value := r.RetryAfter
	if d, err := time.ParseDuration(value); err == nil && strings.HasPrefix(value, "+") {
		now, err := http.ParseTime(w.Header().Get("Date"))
		if err != nil {
			now = time.Now()
		}
		value = now.Add(d).UTC().Format(http.TimeFormat)
	}
	if value != "" {
		w.Header().Set("Retry-After", value)
	}
}

// flood answers with one very long string.
func (r Rule) flood(w http.ResponseWriter) {
	w.Header().Set("Content-Type", typeJSON)
	size := cmp.Or(r.Size, 200_000_000)
	_, err := w.Write([]byte(`{"list":["`))
	chunk := bytes.Repeat([]byte("x"), 64*1024)
	for sent := 0; sent < size && err == nil; sent += len(chunk) {
		_, err = w.Write(chunk[:min(len(chunk), size-sent)])
	}
	_, _ = w.Write([]byte(`"]}`)) // the client may have gone
}

// reset ends the connection without a proper end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // HTTP/2 or a recorder: the handler just ends
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// memory is a response that nobody reads yet.
type memory struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (m *memory) Header() http.Header         { return m.header }
func (m *memory) WriteHeader(status int)      { m.status = status }
func (m *memory) Write(p []byte) (int, error) { return m.body.Write(p) }
