// Package serve runs an http.Handler on an address that it keeps over stops
// and starts, so that a test can take a server down and up again.
package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server serves one handler. Make one with New.
type Server struct {
	handler http.Handler

	mu     sync.Mutex
	addr   string
	http   *http.Server
	cancel context.CancelFunc
	done   chan struct{}
}

// New prepares a server for addr; an empty one, or port 0, is replaced by what
// the first Start listens on.
func New(addr string, h http.Handler) *Server {
	return &Server{addr: addr, handler: h}
}

// Start listens and serves. It returns when connections are accepted.
// Starting a started server does nothing.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return nil
	}
	ln, err := s.listen()
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.addr, err)
	}
	s.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.http = &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 30 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	srv, done := s.http, make(chan struct{})
	s.done = done
	go func() {
		defer close(done)
		if err := srv.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			cancel()
		}
	}()
	return nil
}

func (s *Server) listen() (net.Listener, error) {
	if s.addr == "" {
		return Listen("127.0.0.1")
	}
	return net.Listen("tcp", s.addr)
}

// Stop refuses connections and cuts those that are open. The address stays
// reserved in so far as Start takes the same one again.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return
	}
	s.cancel()
	_ = s.http.Close() // only listeners' close errors
	<-s.done
	s.http = nil
}

// Addr is host:port, known after the first Start.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// URL is "http://" and Addr.
func (s *Server) URL() string { return "http://" + s.Addr() }
