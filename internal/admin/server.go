package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"threatmatch-connector/spool"
)

// Control is what a running daemon offers beyond reading.
type Control interface {
	// Status describes the daemon at this moment; it is printed as it is.
	Status(ctx context.Context) (any, error)
	// Trigger starts a run now; the answer says what became of it.
	Trigger(ctx context.Context) (string, error)
	// Repull imports a past window again.
	Repull(ctx context.Context, from time.Time, datasets []string) (string, error)
	// Retry takes dead letters and parked items back to work.
	Retry(ctx context.Context, names Names) (string, error)
	// Drop removes dead letters, parked and held objects for good.
	Drop(ctx context.Context, names Names) (string, error)
	// Snapshot writes a consistent copy of the spool.
	Snapshot(ctx context.Context, path string) (int64, error)
}

// Names are entries that an operator named.
type Names struct {
	Dead   []uint64        `json:"dead,omitempty"`
	Parked []spool.TaskKey `json:"parked,omitempty"`
	Held   []string        `json:"held,omitempty"`
}

// Server answers on the admin socket.
type Server struct {
	http *http.Server
	ln   net.Listener
}

// Listen opens the unix socket at path with mode 0600, replacing a stale one.
// Only the user that runs the daemon, and root, can connect.
func Listen(path string, ins Inspector, ctl Control) (*Server, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	s := &Server{ln: ln, http: &http.Server{Handler: routes(ins, ctl), ReadHeaderTimeout: 5 * time.Second}}
	return s, nil
}

// Serve answers until ctx is done.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() })
	defer stop()
	if err := s.http.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func routes(ins Inspector, ctl Control) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { reply(w, r, f) })
	}
	handle("GET /v1/stats", func(*http.Request) (any, error) { return ins.Stats() })
	handle("GET /v1/runs", func(r *http.Request) (any, error) { return ins.Runs(number(r, "before"), limit(r)) })
	handle("GET /v1/run", func(r *http.Request) (any, error) { return ins.Run(number(r, "id")) })
	handle("GET /v1/list", func(r *http.Request) (any, error) {
		return ins.List(r.FormValue("bucket"), r.FormValue("after"), limit(r))
	})
	handle("GET /v1/show", func(r *http.Request) (any, error) {
		e, body, err := ins.Show(r.FormValue("bucket"), r.FormValue("key"))
		return shown{e, body}, err
	})
	handle("GET /v1/dead", func(r *http.Request) (any, error) { return ins.Dead(number(r, "after"), limit(r)) })
	handle("GET /v1/status", func(r *http.Request) (any, error) { return ctl.Status(r.Context()) })
	handle("POST /v1/trigger", func(r *http.Request) (any, error) { return ctl.Trigger(r.Context()) })
	handle("POST /v1/repull", func(r *http.Request) (any, error) {
		var q RepullRequest
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			return nil, err
		}
		return ctl.Repull(r.Context(), q.From, q.Datasets)
	})
	names := func(f func(context.Context, Names) (string, error)) func(*http.Request) (any, error) {
		return func(r *http.Request) (any, error) {
			var n Names
			if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
				return nil, err
			}
			return f(r.Context(), n)
		}
	}
	handle("POST /v1/retry", names(ctl.Retry))
	handle("POST /v1/drop", names(ctl.Drop))
	handle("POST /v1/snapshot", func(r *http.Request) (any, error) {
		return ctl.Snapshot(r.Context(), r.FormValue("path"))
	})
	return mux
}

// RepullRequest is the body of a repull.
type RepullRequest struct {
	From     time.Time `json:"from"`
	Datasets []string  `json:"datasets,omitempty"`
}

type shown struct {
	Entry   spool.Entry `json:"entry"`
	Payload []byte      `json:"payload,omitempty"`
}

type failure struct {
	Error    string `json:"error"`
	NotFound bool   `json:"not_found,omitempty"`
}

func reply(w http.ResponseWriter, r *http.Request, f func(*http.Request) (any, error)) {
	w.Header().Set("Content-Type", "application/json")
	v, err := f(r)
	if err != nil {
		status := http.StatusInternalServerError
		notFound := errors.Is(err, spool.ErrNotFound)
		if notFound {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
		v = failure{err.Error(), notFound}
	}
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

func number(r *http.Request, key string) uint64 {
	n, _ := strconv.ParseUint(r.FormValue(key), 10, 64) // absent means from the start
	return n
}

// pageLimit bounds one answer, so that no read transaction is long.
const pageLimit = 1000

func limit(r *http.Request) int {
	n, err := strconv.Atoi(r.FormValue("limit"))
	if err != nil || n <= 0 || n > pageLimit {
		return pageLimit
	}
	return n
}
