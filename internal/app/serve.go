package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/web"
)

// serve opens the admin socket and, if the settings ask for it, the HTTP port. The returned function closes both.
func (a *app) serve(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	ending := func() {
		cancel()
		wg.Wait()
	}
	wg.Go(func() { a.rates.Run(ctx) })
	srv, remove, err := a.listen()
	if err != nil {
		a.Log.Warn("no admin socket; inspect the spool after stopping the connector", "socket", a.Config.Admin.Socket, "error", err)
	} else {
		wg.Go(func() {
			defer remove()
			if err := srv.Serve(ctx); err != nil {
				a.Log.Warn("the admin socket ended", "error", err)
			}
		})
	}
	if a.Config.Connector.ExposeMetrics {
		if err := a.serveHTTP(ctx, &wg); err != nil {
			ending()
			return nil, err
		}
	}
	return ending, nil
}

func (a *app) serveHTTP(ctx context.Context, wg *sync.WaitGroup) error {
	c := a.Config.Connector
	ln, err := net.Listen("tcp", net.JoinHostPort(c.MetricsAddress, strconv.Itoa(c.MetricsPort)))
	if err != nil {
		return fault.Hint(fmt.Errorf("open the metrics port: %w", err),
			"another program has it, or the address is not this machine's: choose another connector.metrics_port or connector.metrics_address")
	}
	a.Log.Info("metrics and probes are served", "address", ln.Addr().String())
	var page http.Handler
	if a.Config.Admin.Page {
		page = web.Handler(a.control(), a.Now)
	}
	wg.Go(func() {
		if err := admin.ServeHTTP(ctx, ln, a.registry, a.control(), page); err != nil {
			a.Log.Warn("the metrics port ended", "error", err)
		}
	})
	return nil
}

// maxSocketPath is a length, in bytes, that every system accepts for the path of a socket.
const maxSocketPath = 100

// listen opens the socket at the path that the settings name or, if that fails, in a temporary directory of its own;
// commands learn the path from the spool's lock file. remove removes that directory.
func (a *app) listen() (srv *admin.Server, remove func(), err error) {
	path := a.Config.Admin.Socket
	remove = func() {}
	if len(path) <= maxSocketPath {
		srv, err = admin.Listen(path, a.control(), a.control())
	} else {
		err = fmt.Errorf("the path has %d bytes, more than %d", len(path), maxSocketPath)
	}
	if err != nil {
		cause := err
		var dir string
		if dir, err = os.MkdirTemp("", "threatmatch-connector-"); err != nil {
			return nil, remove, fmt.Errorf("%w; %w", cause, err)
		}
		remove = func() { _ = os.RemoveAll(dir) }
		path = filepath.Join(dir, "admin.sock")
		if srv, err = admin.Listen(path, a.control(), a.control()); err != nil {
			remove()
			return nil, remove, fmt.Errorf("%w; %w", cause, err)
		}
		a.Log.Info("the admin socket is elsewhere", "socket", path, "reason", cause)
	}
	if err := a.spool.NoteSocket(path); err != nil {
		a.Log.Warn("commands may not find the admin socket", "socket", path, "error", err)
	}
	return srv, remove, nil
}
