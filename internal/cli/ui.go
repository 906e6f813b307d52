package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/app"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/version"
	"threatmatch-connector/internal/web"
	"threatmatch-connector/spool"
)

func newUI(g *globals) *cobra.Command {
	var port int
	c := &cobra.Command{
		Use:   "ui",
		Short: "Look at the connector in a browser, with contents and actions",
		Long: "Serve the page of /ui/ on this machine only, with contents and actions: import now, repull, skip, retry,\n" +
			"drop, pause and resume. It works next to a running connector and on the spool of a stopped one, until\n" +
			"interrupted. The printed address lets one browser in, once. Each action shows the equivalent command and\n" +
			"asks what that command asks.",
		Example: "  " + name + " ui\n  ssh -L 9096:127.0.0.1:9096 server " + name + " ui --port 9096",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if port < 0 || port > 65535 {
				return errUsage{fmt.Errorf("--port %d is no port", port)}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return g.ui(ctx, cmd, port)
		},
	}
	c.Flags().IntVar(&port, "port", 0, "port on 127.0.0.1; 0: any that is free")
	return c
}

func (g *globals) ui(ctx context.Context, cmd *cobra.Command, port int) error {
	if _, err := g.place(); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("open a port for the page: %w", err)
	}
	desk, address := web.NewDesk(source{g, ctx}, g.env.Now, ln.Addr().String(), rand.Text, g.do)
	srv := &http.Server{Handler: desk, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if _, err := say(cmd.OutOrStdout(), "Open %s\nIt lets one browser in, once. End with an interrupt (Ctrl-C).\n", address); err != nil {
		return errors.Join(err, ln.Close())
	}
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// do runs one of our commands for the page. A question without an answer means no.
func (g *globals) do(_ context.Context, args []string, asked bool) (string, error) {
	if !asked && asks(args) {
		args = append(args[:len(args):len(args)], "--yes")
	}
	for _, flag := range []struct{ name, value string }{{"--config", g.config}, {"--spool-dir", g.dir}} {
		if flag.value != "" {
			args = append(args[:len(args):len(args)], flag.name+"="+flag.value)
		}
	}
	var out bytes.Buffer
	env := g.env
	env.Stdin, env.Stdout, env.Stderr, env.StepAside = strings.NewReader(""), &out, &out, nil
	if code := Main(args, env); code != exitOK {
		return out.String(), fmt.Errorf("exit code %d", code)
	}
	return out.String(), nil
}

// asks reports whether a command of the page asks before it changes something.
func asks(args []string) bool { return args[0] != "trigger" && args[0] != "check" }

// source reads what the page shows, each time from scratch: from the running
// connector, or from the file of a stopped one.
type source struct {
	g   *globals
	ctx context.Context
}

func read[T any](s source, f func(inspect.Inspector) (T, error)) (v T, err error) {
	err = s.g.inspect(s.ctx, func(i inspect.Inspector) (err error) {
		v, err = f(i)
		return err
	})
	return v, err
}

func (s source) Status() (inspect.Status, error) { return s.g.status(s.ctx) }

func (s source) Runs(before uint64, limit int) ([]inspect.Run, error) {
	return read(s, func(i inspect.Inspector) ([]inspect.Run, error) { return i.Runs(before, limit) })
}

func (s source) Unsettled() (inspect.Unsettled, error) {
	return read(s, inspect.Inspector.Unsettled)
}

func (s source) Find(ctx context.Context, query string) (inspect.Found, error) {
	return read(s, func(i inspect.Inspector) (inspect.Found, error) { return i.Find(ctx, query) })
}

func (s source) Show(bucket, key string) (e spool.Entry, body []byte, err error) {
	err = s.g.inspect(s.ctx, func(i inspect.Inspector) (err error) {
		e, body, err = i.Show(bucket, key)
		return err
	})
	return e, body, err
}

// History is only available from a running connector.
func (s source) History() (h inspect.History, err error) {
	err = s.g.reach(s.ctx, func(c *admin.Client) (err error) {
		h, err = c.History()
		return err
	}, func(place) error { return nil })
	return h, err
}

// Setup is the running connector's, or what this command would start one with.
func (s source) Setup() (v inspect.Setup, err error) {
	err = s.g.reach(s.ctx, func(c *admin.Client) (err error) {
		v, err = c.Setup()
		return err
	}, func(place) error {
		is := version.Get()
		v = inspect.Setup{Connector: is.Version, Go: is.Go}
		cfg, report, err := s.g.load()
		if v.File = report.File; err != nil {
			v.Problem = err.Error()
			return nil
		}
		v.Settings = app.Settings(cfg, report)
		return nil
	})
	return v, err
}
