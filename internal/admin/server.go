package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// Server answers on the admin socket.
type Server struct {
	http *http.Server
	ln   net.Listener
}

// maxRequest is the largest body of a request in bytes: room for the names of a thousand objects.
const maxRequest = 4 << 20

// Listen opens the unix socket at path with mode 0600, replacing a stale one. Only root and the user that runs the
// daemon are answered.
func Listen(path string, ins inspect.Inspector, ctl Control) (*Server, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return &Server{ln: ln, http: &http.Server{
		Handler: http.MaxBytesHandler(guard(routes(ins, ctl)), maxRequest), ConnContext: withPeer,
		ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 64 << 10, // no ReadTimeout: it would end a long search
	}}, nil
}

// removeStale removes a socket that an earlier process left behind, and nothing else.
func removeStale(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.Mode()&os.ModeSocket == 0:
		return fmt.Errorf("%s is in the way: it is not a socket", path)
	}
	return os.Remove(path)
}

// Serve answers until ctx is done, and then returns nil.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() })
	defer stop()
	if err := s.http.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// guard refuses everybody but root and the daemon's own user.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := PeerOf(r.Context()); !p.allowed() {
			fail(w, http.StatusForbidden, fmt.Errorf("%s may not ask: only root and uid %d may", p, os.Geteuid()))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func routes(ins inspect.Inspector, ctl Control) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { reply(w, r, f) })
	}
	readRoutes(handle, ins)
	mux.HandleFunc("GET /v1/snapshot", func(w http.ResponseWriter, _ *http.Request) { snapshot(w, ins) })
	handle("GET /v1/status", func(*http.Request) (any, error) { return ctl.Status() })
	handle("GET /v1/history", func(*http.Request) (any, error) { return ctl.History() })
	handle("GET /v1/setup", func(*http.Request) (any, error) { return ctl.Setup() })
	handle("GET /v1/health", func(*http.Request) (any, error) { return ReportOf(ctl), nil })
	handle("GET /v1/message", func(r *http.Request) (any, error) {
		return ctl.Message(r.Context(), number(r, "run"), number(r, "bundle"), int(number(r, "index")))
	})
	handle("POST /v1/trigger", func(r *http.Request) (any, error) { return ctl.Trigger(r.Context()) })
	handle("POST /v1/repull", withBody(ctl.Repull))
	handle("POST /v1/skip", withBody(ctl.Skip))
	handle("POST /v1/pause", withBody(ctl.Pause))
	handle("POST /v1/resume", withBody(ctl.Resume))
	handle("POST /v1/retry", withBody(ctl.Retry))
	handle("POST /v1/drop", withBody(ctl.Drop))
	return mux
}

func readRoutes(handle func(string, func(*http.Request) (any, error)), ins inspect.Inspector) {
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
	handle("GET /v1/tasks", func(r *http.Request) (any, error) { return ins.Tasks(r.FormValue("after"), limit(r)) })
	handle("GET /v1/task", func(r *http.Request) (any, error) {
		key, err := spool.ParseTaskKey(r.FormValue("key"))
		if err != nil {
			return nil, err
		}
		return ins.Task(key)
	})
	handle("GET /v1/failing", func(r *http.Request) (any, error) { return ins.Failing(limit(r)) })
	handle("GET /v1/held", func(r *http.Request) (any, error) { return ins.Held(limit(r)) })
	handle("GET /v1/held-object", func(r *http.Request) (any, error) { return ins.HeldObject(r.FormValue("id")) })
	handle("GET /v1/dead", func(r *http.Request) (any, error) { return ins.Dead(number(r, "after"), limit(r)) })
	handle("GET /v1/unsettled", func(*http.Request) (any, error) { return ins.Unsettled() })
	handle("GET /v1/find", func(r *http.Request) (any, error) { return ins.Find(r.Context(), r.FormValue("q")) })
	handle("GET /v1/skip-from", func(r *http.Request) (any, error) {
		to, err := time.Parse(time.RFC3339Nano, r.FormValue("to"))
		if err != nil {
			return nil, err
		}
		return ins.SkipFrom(spool.Dataset(r.FormValue("dataset")), to)
	})
	handle("GET /v1/export", func(r *http.Request) (any, error) {
		items, next, err := ins.Export(r.FormValue("bucket"), r.FormValue("after"))
		return exported{items, next}, err
	})
}

// withBody decodes the request's JSON for f.
func withBody[T any](f func(context.Context, T) (Answer, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		var q T
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			return nil, fmt.Errorf("read the request: %w", err)
		}
		return f(r.Context(), q)
	}
}

type shown struct {
	Entry   spool.Entry `json:"entry"`
	Payload []byte      `json:"payload,omitempty"`
}

type exported struct {
	Items []spool.Exported `json:"items"`
	Next  string           `json:"next,omitempty"`
}

// failure is the answer to a request that failed.
type failure struct {
	Error    string `json:"error"`
	Hint     string `json:"hint,omitempty"`
	NotFound bool   `json:"not_found,omitempty"`
	BadKey   bool   `json:"bad_key,omitempty"`
	Corrupt  bool   `json:"corrupt,omitempty"`
}

func reply(w http.ResponseWriter, r *http.Request, f func(*http.Request) (any, error)) {
	v, err := f(r)
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // the client may be gone
	case errors.Is(err, spool.ErrNotFound):
		fail(w, http.StatusNotFound, err)
	default:
		fail(w, http.StatusInternalServerError, err)
	}
}

func fail(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(failure{ // the client may be gone
		Error: err.Error(), Hint: fault.HintOf(err),
		NotFound: errors.Is(err, spool.ErrNotFound), BadKey: errors.Is(err, spool.ErrKey), Corrupt: errors.Is(err, spool.ErrCorrupt),
	})
}

// lengthTrailer is the trailer with the length of a snapshot. A snapshot that was cut off has none.
const lengthTrailer = "Snapshot-Length"

// snapshot streams a copy of the spool's file. A client that stops reading is cut off, since the copy keeps old pages
// from being reused.
func snapshot(w http.ResponseWriter, ins inspect.Inspector) {
	w.Header().Set("Trailer", lengthTrailer)
	out := &deadlineWriter{w: w, rc: http.NewResponseController(w)}
	n, err := ins.Snapshot(out)
	if err != nil && !out.began {
		w.Header().Del("Trailer")
		fail(w, http.StatusInternalServerError, err)
		return
	}
	if err == nil {
		w.Header().Set(lengthTrailer, strconv.FormatInt(n, 10))
	}
}

// deadlineWriter gives the client snapshotPatience for each write.
type deadlineWriter struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	began bool
}

const snapshotPatience = 30 * time.Second

func (d *deadlineWriter) Write(b []byte) (int, error) {
	d.began = true
	if err := d.rc.SetWriteDeadline(time.Now().Add(snapshotPatience)); err != nil {
		return 0, err
	}
	return d.w.Write(b)
}

func number(r *http.Request, key string) uint64 {
	n, _ := strconv.ParseUint(r.FormValue(key), 10, 64) // 0 if absent: from the start
	return n
}

// pageLimit bounds one answer, so that no read transaction takes long.
const pageLimit = 1000

func limit(r *http.Request) int {
	n, err := strconv.Atoi(r.FormValue("limit"))
	if err != nil || n <= 0 || n > pageLimit {
		return pageLimit
	}
	return n
}
