package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/app"
	"threatmatch-connector/internal/check"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/logging"
	"threatmatch-connector/internal/version"
	"threatmatch-connector/spool"
)

// place is where a connector's spool and socket are.
type place struct {
	dir     string
	sockets []string       // where a daemon may answer, most likely first
	info    spool.LockInfo // zero without a lock file
	max     int64
	keep    time.Duration
}

// place finds spool and socket from flags, settings and the lock file.
func (g *globals) place() (place, error) {
	settings, adm, err := config.LoadSpool(g.configOptions())
	if g.dir != "" {
		// Settings unrelated to the spool may well be missing.
		settings.Dir, adm.Socket = g.dir, filepath.Join(g.dir, "admin.sock")
	} else if err != nil {
		return place{}, errUsage{fmt.Errorf("settings:\n%w", err)}
	}
	p := place{dir: settings.Dir, sockets: []string{adm.Socket}, max: settings.MaxSize, keep: settings.KeepRecords}
	if info, err := spool.ReadLock(p.dir); err == nil {
		p.info = info
		if info.Socket != "" && !slices.Contains(p.sockets, info.Socket) {
			p.sockets = slices.Insert(p.sockets, 0, info.Socket)
		}
	}
	return p, nil
}

// dial returns a client if a daemon answers. A socket that refuses us may belong to
// a daemon, or be left over from a killed one.
func (p place) dial(ctx context.Context) (*admin.Client, error) {
	var refused error
	for _, path := range p.sockets {
		c, err := admin.Dial(ctx, path)
		if err == nil {
			return c, nil
		}
		if errors.Is(err, os.ErrPermission) {
			refused = notAllowed(p.dir, err)
		}
	}
	return nil, refused
}

func notAllowed(dir string, err error) error {
	return fault.Hint(fmt.Errorf("it is unknown whether a connector runs on %s: %w", dir, err), "only the user that owns the spool, and root, may look")
}

// notRunning is the error of a request that needs a daemon.
func (p place) notRunning() error {
	return fault.Hint(fmt.Errorf("no connector is running on this spool: %s", p.dir), "start it with "+name+" run; or name its spool with --spool-dir or its settings with --config")
}

// reach calls live with a client of the running daemon, or stopped if none runs.
func (g *globals) reach(ctx context.Context, live func(*admin.Client) error, stopped func(place) error) error {
	p, err := g.place()
	if err != nil {
		return err
	}
	c, err := p.dial(ctx)
	switch {
	case err != nil:
		return err
	case c == nil:
		return stopped(p)
	}
	defer func() { _ = c.Close() }()
	return live(c)
}

// daemon calls f with a client of the running daemon.
func (g *globals) daemon(ctx context.Context, f func(*admin.Client) error) error {
	return g.reach(ctx, f, place.notRunning)
}

// inspect calls f with a way to read: over the socket while the daemon runs,
// otherwise on the file, read-only.
func (g *globals) inspect(ctx context.Context, f func(inspect.Inspector) error) error {
	return g.reach(ctx, func(c *admin.Client) error { return f(c) }, func(p place) error {
		return g.read(ctx, p, func(s *spool.Spool) error { return f(inspect.FromSpool(s)) })
	})
}

// change makes a change in the running daemon, or under the lock of a stopped one.
// look goes first: it says what will change and asks, and returns false if there is
// nothing to do. stopped is the spool of a stopped connector, nil for a running one.
func (g *globals) change(ctx context.Context, look func(i inspect.Inspector, stopped *spool.Spool) (bool, error), do func(admin.Changes) error) error {
	return g.reach(ctx, func(c *admin.Client) error {
		if ok, err := look(c, nil); !ok || err != nil {
			return err
		}
		return do(c)
	}, func(p place) error {
		goOn := false
		err := g.read(ctx, p, func(s *spool.Spool) (err error) { // a request that changes nothing must leave the file untouched
			goOn, err = look(inspect.FromSpool(s), s)
			return err
		})
		if !goOn || err != nil {
			return err
		}
		cfg, _, err := g.load()
		if err != nil {
			cfg = nil // only a repull needs them, and has looked
		}
		return g.write(ctx, p, func(s *spool.Spool) error {
			changes, err := app.Stopped(s, cfg, g.env.Now, g.log())
			if err != nil {
				return err
			}
			return do(changes)
		})
	})
}

const hintWhere = "name the directory with --spool-dir, or the settings file with --config"

// read opens the file of a stopped daemon without changing a byte of it.
func (g *globals) read(ctx context.Context, p place, f func(*spool.Spool) error) error {
	s, err := spool.Open(ctx, spool.Options{Dir: p.dir, MaxSize: p.max, ReadOnly: true, LockTimeout: time.Second, Now: g.env.Now})
	if errors.Is(err, spool.ErrLocked) {
		return fault.Hint(err, "the process that has it does not answer on its socket yet; try again")
	}
	if errors.Is(err, spool.ErrUnusable) {
		return fault.Hint(err, check.DamagedHint)
	}
	if err != nil {
		return fault.Hint(err, hintWhere)
	}
	defer func() { _ = s.Close() }()
	return f(s)
}

// write opens the file of a stopped daemon for writing, under its lock.
func (g *globals) write(ctx context.Context, p place, f func(*spool.Spool) error) (err error) {
	if _, err := os.Stat(filepath.Join(p.dir, "spool.db")); err != nil {
		return fault.Hint(fmt.Errorf("open spool %q: %w", p.dir, err), hintWhere)
	}
	s, err := spool.Open(ctx, spool.Options{
		Dir: p.dir, MaxSize: p.max, KeepRecords: p.keep, NoCompact: true, Visit: true, Now: g.env.Now,
		Version: version.Get().Version,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return f(s)
}

// log is for changes that this process makes itself, as a daemon would.
func (g *globals) log() *slog.Logger {
	return logging.New(g.env.Stderr, slog.LevelInfo, name, isTerminal(g.env.Stderr))
}

// note logs such a change.
func (g *globals) note(what string, args ...any) {
	g.log().Log(context.Background(), logging.LevelNotice, what, append([]any{"asked_by", admin.Self().String()}, args...)...)
}
