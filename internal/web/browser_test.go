package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// look is a way of viewing a page.
type look struct {
	width    int64
	dark     bool
	noScript bool
}

// looks are the widths and colours that the page is made for.
func looks() []look {
	return []look{{width: 360}, {width: 360, dark: true}, {width: 1280}, {width: 1280, dark: true}, {width: 2000}, {width: 2000, dark: true}}
}

func (l look) String() string {
	return fmt.Sprintf("%d-%s", l.width, map[bool]string{false: "light", true: "dark"}[l.dark])
}

// chromium starts a real browser. A missing browser fails the test: a page that was
// not seen is not tested.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path := script(t, "path")
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		stop, end := context.WithTimeout(ctx, 10*time.Second)
		defer end()
		_ = chromedp.Cancel(stop)
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

func script(t *testing.T, what string) string {
	t.Helper()
	out, err := exec.Command("../../deploy/browser.sh", what).Output()
	if err != nil {
		t.Fatalf("deploy/browser.sh %s: %v: the tests of the page do not skip; see deploy/browser.sh install", what, err)
	}
	return strings.TrimSpace(string(out))
}

// served serves the page of a connector that the test changes.
type served struct {
	url string
	mu  sync.Mutex
	now http.Handler
}

func serve(t *testing.T) *served {
	s := &served{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		h := s.now
		s.mu.Unlock()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

func (s *served) set(c double) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = Handler(c, now)
}

// show loads the page in the given look.
func show(ctx context.Context, url string, l look) error {
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	_, err2 := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: l.noScript})
	return errors.Join(err, err2, chromedp.Do(ctx, chromedp.EmulateViewport(l.width, 900), chromedp.Navigate(url)))
}

// eval evaluates a script in the page and awaits its promise.
func eval[T any](ctx context.Context, t *testing.T, script string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// seen is what a visitor sees of the page.
type seen struct {
	Drawings int
	Red      []string
	Sentence string
	Command  string
	Wider    float64  // how far the page is wider than the window
	Outside  []string // texts of the drawing that leave their box, or run into another one
}

const see = `(() => {
	const shown = (e) => e.getClientRects().length > 0;
	const text = (q) => document.querySelector(q)?.textContent ?? "";
	return {
		Drawings: [...document.querySelectorAll("svg")].filter(shown).length,
		Red: [...document.querySelectorAll(".box.stuck .name")].filter(shown).map((e) => e.textContent),
		Sentence: text(".sentence"), Command: text(".command code"),
		Outside: [...document.querySelectorAll(".way text")].filter(shown).filter((text) => {
			const t = text.getBoundingClientRect();
			return [...document.querySelectorAll(".box > rect:first-child")].filter(shown).some((rect) => {
				const r = rect.getBoundingClientRect(), own = rect.parentNode === text.parentNode;
				const inside = t.left >= r.left && t.right <= r.right && t.top >= r.top && t.bottom <= r.bottom;
				const apart = t.right < r.left || t.left > r.right || t.bottom < r.top || t.top > r.bottom;
				return own ? !inside : !apart;
			});
		}).map((text) => text.textContent),
		Wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
	};
})()`

const runAxe = `axe.run({ resultTypes: ["violations"] }).then((r) => r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html + " " + n.failureSummary).join("; ")))`

// TestInBrowser views every state in a real browser: the right box is red, the
// right sentence is at the top, axe-core finds nothing, nothing is cut off, and no
// request leaves the page's origin. The looks alternate; every state is also viewed
// where the drawing changes.
func TestInBrowser(t *testing.T) {
	ctx, web := chromium(t), serve(t)
	t.Run("script", func(t *testing.T) { testScript(ctx, t, web) })
	axe, err := os.ReadFile(script(t, "axe"))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var asked []string
	err = chromedp.Listen(ctx, func(e any) {
		if r, ok := e.(*network.EventRequestWillBeSent); ok {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, r.Request.URL)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	for i, st := range states() {
		l := looks()[i%len(looks())]
		t.Run(st.name+" "+l.String(), func(t *testing.T) {
			web.set(connector(st.status))
			if err := show(ctx, web.url+"/ui/", l); err != nil {
				t.Fatal(err)
			}
			check(t, eval[seen](ctx, t, see), st)
			for _, other := range []int64{800, 1900, l.width} {
				if err := chromedp.Do(ctx, chromedp.EmulateViewport(other, 900)); err != nil {
					t.Fatal(err)
				}
				check(t, eval[seen](ctx, t, see), st)
			}
			audit(ctx, t, string(axe))
		})
	}
	t.Run("views", func(t *testing.T) { testViews(ctx, t, web, string(axe)) })
	desk := openedDesk(t)
	t.Run("desk", func(t *testing.T) { testDesk(ctx, t, desk, string(axe)) })
	mu.Lock()
	defer mu.Unlock()
	for _, url := range asked {
		if !strings.HasPrefix(url, web.url+"/") && !strings.HasPrefix(url, desk.url+"/") {
			t.Errorf("got a request to %s, want none outside of %s", url, web.url)
		}
	}
	if len(asked) < 3*len(states()) {
		t.Errorf("got %d requests, want the page, its style and its script for each of %d states", len(asked), len(states()))
	}
}

// audit opens everything that can be opened, and runs axe-core on it.
func audit(ctx context.Context, t *testing.T, axe string) {
	t.Helper()
	eval[bool](ctx, t, `document.querySelectorAll("details").forEach((d) => { d.open = true }); true`)
	eval[bool](ctx, t, axe+"; true")
	for _, v := range eval[[]string](ctx, t, runAxe) {
		t.Errorf("axe-core finds %s", v)
	}
}

// testViews views each view in the states in which it differs, at each width.
func testViews(ctx context.Context, t *testing.T, web *served, axe string) {
	n := 0
	for _, st := range viewStates() {
		web.set(st.connector)
		for _, v := range views() {
			if st.say[v.path] == "" {
				continue
			}
			l := looks()[n%len(looks())]
			n++
			t.Run(st.name+" "+v.path+" "+l.String(), func(t *testing.T) {
				if err := show(ctx, web.url+"/ui/"+v.path, l); err != nil {
					t.Fatal(err)
				}
				text := eval[string](ctx, t, "document.body.textContent")
				if want := st.say[v.path]; !strings.Contains(text, want) {
					t.Errorf("got %q, want %q in it", text, want)
				}
				if st.name == "running" || v.name == "unsettled" {
					audit(ctx, t, axe)
				}
				for _, width := range []int64{360, 1280, 2000} {
					if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900)); err != nil {
						t.Fatal(err)
					}
					if wider := eval[float64](ctx, t, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wider > 0 {
						t.Errorf("at %d pixels: the page is wider by %v", width, wider)
					}
				}
			})
		}
	}
}

// testDesk acts as an operator does, with the script and without it.
func testDesk(ctx context.Context, t *testing.T, d *openDesk, axe string) {
	if err := show(ctx, d.once, look{width: 1280}); err != nil {
		t.Fatal(err)
	}
	base := eval[string](ctx, t, "location.href")
	click := func(selector string) {
		t.Helper()
		if err := chromedp.Do(ctx, chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector))); err != nil {
			t.Fatal(err)
		}
	}
	says := func(want string) {
		t.Helper()
		var text string
		var err error
		for late := time.After(time.Minute); !strings.Contains(text, want); { // between two pages there may be none
			text, err = chromedp.Run(ctx, chromedp.Text(chromedp.CSS("main")))
			select {
			case <-late:
				t.Fatalf("got %q, %v, want %q in it", text, err, want)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	for i, l := range []look{{width: 1280}, {width: 360, dark: true, noScript: true}} {
		if err := show(ctx, base, l); err != nil {
			t.Fatal(err)
		}
		if !l.noScript {
			audit(ctx, t, axe)
		}
		click(`button[value="pause"]`)
		says("threatmatch-connector pause fetch")
		if !l.noScript {
			audit(ctx, t, axe)
		}
		click("button.yes")
		says("run 32 tries 1 entry again")
		if err := show(ctx, base+"unsettled", l); err != nil {
			t.Fatal(err)
		}
		click(".group.dead summary")
		click(`.group.dead input[value="3"]`)
		click(`.group.dead button[value="retry"]`)
		says("threatmatch-connector spool retry 3")
		click("button.yes")
		says("run 32 tries 1 entry again")
		if err := chromedp.Do(ctx, chromedp.Navigate(base+"dead/3")); err != nil {
			t.Fatal(err)
		}
		says(malware)
		if !l.noScript {
			audit(ctx, t, axe)
		}
		d.ran.mu.Lock()
		if len(d.ran.done) != 2*(i+1) {
			t.Errorf("got %q done, want 2 more", d.ran.done)
		}
		d.ran.mu.Unlock()
	}
	if err := show(ctx, d.once, look{width: 1280}); err != nil { // used
		t.Fatal(err)
	}
	if text := eval[string](ctx, t, "document.body.textContent"); !strings.Contains(text, "Each works once") {
		t.Errorf("got %q for the used address, want it refused", text)
	}
}

func check(t *testing.T, got seen, st state) {
	t.Helper()
	want := []string{}
	if st.stuck != "" {
		want = []string{st.stuck}
	}
	if !slices.Equal(got.Red, want) {
		t.Errorf("got the red boxes %q, want %q", got.Red, want)
	}
	if !strings.Contains(got.Sentence, st.sentence) {
		t.Errorf("got the sentence %q, want %q in it", got.Sentence, st.sentence)
	}
	if got.Command != st.command {
		t.Errorf("got the command %q, want %q", got.Command, st.command)
	}
	if len(got.Outside) > 0 {
		t.Errorf("got texts outside of their place: %q, want none", got.Outside)
	}
	if got.Drawings != 1 || got.Wider > 0 {
		t.Errorf("got %d drawings, and a page %v pixels wider than its window; want one, and no wider", got.Drawings, got.Wider)
	}
}

// testScript: without its script the page says the same; with it a change appears
// by itself.
func testScript(ctx context.Context, t *testing.T, web *served) {
	all := states()
	down := all[slices.IndexFunc(all, func(s state) bool { return s.name == "RabbitMQ down" })]
	t.Run("without", func(t *testing.T) {
		web.set(connector(down.status))
		if err := show(ctx, web.url+"/ui/", look{width: 1280, noScript: true}); err != nil {
			t.Fatal(err)
		}
		text, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("main")))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, down.sentence) || !strings.Contains(text, down.command) {
			t.Errorf("got %q, want it to say %q and %q", text, down.sentence, down.command)
		}
	})
	t.Run("with", func(t *testing.T) {
		web.set(connector(healthy()))
		err := show(ctx, web.url+"/ui/", look{width: 1280})
		web.set(connector(down.status))
		// If there is a clipboard, the command has a button, and it is the next tab
		// stop after the views.
		err = errors.Join(err, chromedp.Do(ctx, chromedp.WaitVisible(chromedp.CSS(".command button"))))
		if err != nil {
			t.Fatal(err)
		}
		var focused []string
		for range len(frame{}.Views()) + 1 {
			if err := chromedp.Do(ctx, chromedp.KeyEvent("\t")); err != nil {
				t.Fatal(err)
			}
			focused = append(focused, eval[string](ctx, t, "document.activeElement.textContent"))
		}
		if focused[0] != "Now" || focused[len(focused)-1] != "Copy" {
			t.Errorf("got the focus on %q tab by tab, want first the views and then Copy", focused)
		}
	})
}

// TestPageShots writes what each state and view looks like into $PAGE_SHOTS.
func TestPageShots(t *testing.T) {
	dir := os.Getenv("PAGE_SHOTS")
	if dir == "" {
		t.Log("only with PAGE_SHOTS; see make page-shots")
		return
	}
	ctx, web := chromium(t), serve(t)
	shootAt := func(name, url, ready string, click ...string) {
		for _, l := range looks() {
			err := show(ctx, url, l)
			for _, selector := range click {
				err = errors.Join(err, chromedp.Do(ctx, chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector))))
			}
			for range 100 { // between two pages there may be none
				if ready == "" || chromedp.Do(ctx, chromedp.WaitVisible(chromedp.CSS(ready))) == nil {
					break
				}
			}
			png, shot := chromedp.Run(ctx, chromedp.FullScreenshot(100))
			if err := errors.Join(err, shot); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(dir, strings.NewReplacer(" ", "-", "/", "-", "?", "-", "=", "-").Replace(name)+"-"+l.String()+".png")
			if err := os.WriteFile(name, png, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	shoot := func(name, path string) { shootAt(name, web.url+"/ui/"+path, "") }
	for _, st := range states() {
		web.set(connector(st.status))
		shoot(st.name, "")
	}
	for _, st := range viewStates() {
		web.set(st.connector)
		for _, v := range views() {
			shoot("view "+v.name+" "+st.name, v.path)
		}
	}
	desk := openedDesk(t)
	if err := show(ctx, desk.once, look{width: 1280}); err != nil {
		t.Fatal(err)
	}
	base := eval[string](ctx, t, "location.href")
	for _, v := range views() {
		shootAt("desk "+v.name, base+v.path, "")
	}
	shootAt("desk now", base, "")
	shootAt("desk forms", base, "#skip[open]", "#repull summary", "#skip summary")
	shootAt("desk chosen", base+"unsettled", "details[open]", ".group.dead summary", `.group.dead input[value="3"]`)
	shootAt("desk letter", base+"dead/3", "")
	shootAt("desk question", base+"dead/3", "button.yes", `button[value="drop"]`)
	shootAt("desk answer", base+"dead/3", "main:not(:has(.yes)) pre", `button[value="retry"]`, "button.yes")
}
