package web

import (
	"context"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"threatmatch-connector/internal/inspect"
)

// Do runs a command line of the program, without its name, and returns what it
// prints. With asked, a command that asks before it changes something stops there,
// with nothing changed; otherwise the question counts as answered with yes.
type Do func(ctx context.Context, args []string, asked bool) (said string, err error)

// Desk is the page with contents and actions, for one operator on this machine.
//
// Whoever has the address with the token gets in, once: the token is exchanged for
// a cookie, which the browser sends only below a path that nobody can guess
// (cookies ignore ports, so servers on other ports of this machine would receive it
// otherwise). Requests must name our host, and actions must come from our own
// pages. GET changes nothing.
type Desk struct {
	site *site
	mux  *http.ServeMux
	host string
	do   Do
	rand func() string

	mu      sync.Mutex
	token   string // "" once it has been used
	session string
	tickets []ticket // oldest first
}

// ticket is a command line that may be run once.
type ticket struct {
	id   string
	args []string
}

const (
	cookieName  = "threatmatch-connector"
	mostTickets = 50
	mostForm    = 64 << 10 // bytes
)

// NewDesk returns a desk that answers as host (address and port), and the address
// that lets one browser in. rand returns a string that nobody can guess.
func NewDesk(src Source, now func() time.Time, host string, rand func() string, do Do) (d *Desk, address string) {
	d = &Desk{site: &site{src: src, now: now, base: "/" + rand() + "/", contents: true}, mux: http.NewServeMux(), host: host, do: do, rand: rand, token: rand()}
	d.site.route(d.mux)
	d.mux.HandleFunc("GET "+d.site.base+"dead/{key}", func(w http.ResponseWriter, r *http.Request) { d.site.show(w, r, d.site.letter) })
	d.mux.HandleFunc("POST "+d.site.base+"ask", func(w http.ResponseWriter, r *http.Request) { d.site.show(w, r, d.ask) })
	d.mux.HandleFunc("POST "+d.site.base+"do", func(w http.ResponseWriter, r *http.Request) { d.site.show(w, r, d.act) })
	return d, "http://" + host + "/?token=" + d.token
}

// ServeHTTP implements http.Handler.
func (d *Desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w, "same-origin") // without a referrer our own forms would have no origin
	if why := d.foreign(r); why != "" {
		http.Error(w, why, http.StatusForbidden)
		return
	}
	if r.URL.Path == "/" && r.Method == http.MethodGet {
		d.enter(w, r)
		return
	}
	if c, err := r.Cookie(cookieName); err != nil || !strings.HasPrefix(r.URL.Path, d.site.base) || !d.inSession(c.Value) {
		http.Error(w, "Open the address that threatmatch-connector ui printed. It works once; start the command again for another browser.", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	d.mux.ServeHTTP(w, r)
}

// foreign says why a request is neither from this page nor from someone opening it;
// "" if it is allowed.
func (d *Desk) foreign(r *http.Request) string {
	origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	acts := r.Method != http.MethodGet && r.Method != http.MethodHead
	switch {
	case r.Host != d.host:
		return "This is not the address that threatmatch-connector ui printed."
	case origin != "" && origin != "http://"+d.host, acts && origin == "":
		return "The request comes from another page."
	case site != "" && site != "same-origin" && (acts || site != "none"):
		return "The request comes from another page."
	}
	return ""
}

// enter exchanges the token for a cookie.
func (d *Desk) enter(w http.ResponseWriter, r *http.Request) {
	given := r.FormValue("token")
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.token == "" || !equal(given, d.token) {
		http.Error(w, "This address has been used already, or is incomplete. Each works once: start threatmatch-connector ui again.", http.StatusForbidden)
		return
	}
	d.token, d.session = "", d.rand()
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: d.session, Path: d.site.base, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, d.site.base, http.StatusSeeOther)
}

func (d *Desk) inSession(value string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.session != "" && equal(value, d.session)
}

// equal compares in constant time.
func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// asking is a command before or after it was run.
type asking struct {
	frame
	Command  string
	Said     string // what it printed
	Question string // "" if there is nothing to ask
	Ticket   string
	Trouble  string
	Done     bool
}

// ask says what a command would do, and issues a ticket for it.
func (d *Desk) ask(r *http.Request) (string, any, error) {
	v := asking{frame: d.site.frame("Run a command?", "ask", 0)}
	c, err := commandOf(r)
	if err != nil {
		v.Trouble = err.Error() + "; nothing was done"
		return "ask.html", v, nil
	}
	v.Command, v.Question = commandLine(c.args), "run this command?"
	if c.asks {
		said, err := d.do(r.Context(), c.args, true)
		end := strings.LastIndex(said, " [y/N]") // the last: what it shows may quote a response
		if end < 0 {                             // nothing to do, or it cannot be done
			v.Said, v.Question = said, ""
			if err != nil && said == "" {
				v.Trouble = err.Error()
			}
			return "ask.html", v, nil
		}
		lines := strings.Split(strings.TrimSpace(said[:end]), "\n")
		v.Question, v.Said = lines[len(lines)-1], strings.Join(lines[:len(lines)-1], "\n")
	}
	v.Ticket = d.issue(c.args)
	return "ask.html", v, nil
}

// act runs the command of a ticket.
func (d *Desk) act(r *http.Request) (string, any, error) {
	v := asking{frame: d.site.frame("Command", "do", 0), Done: true}
	args, ok := d.redeem(r.PostFormValue("ticket"))
	if !ok {
		v.Trouble = "This was done already or has expired; nothing was done now"
		return "ask.html", v, nil
	}
	v.Command = commandLine(args)
	said, err := d.do(r.Context(), args, false)
	if v.Said = said; err != nil {
		v.Trouble = "It ended with an error"
	}
	d.site.status.forget()
	d.site.unsettled.forget()
	return "ask.html", v, nil
}

func (d *Desk) issue(args []string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.tickets) == mostTickets {
		d.tickets = slices.Delete(d.tickets, 0, 1)
	}
	t := ticket{d.rand(), args}
	d.tickets = append(d.tickets, t)
	return t.id
}

func (d *Desk) redeem(id string) ([]string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, t := range d.tickets {
		if equal(t.id, id) {
			d.tickets = slices.Delete(d.tickets, i, i+1)
			return t.args, true
		}
	}
	return nil, false
}

// letter is a dead letter with its content.
type letter struct {
	frame
	Key    string
	Fields []inspect.Setting
	Body   string
}
