package cli_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"threatmatch-connector/internal/cli"
)

// TestMain lets scripts run this test binary as the product.
func TestMain(m *testing.M) {
	testscript.Main(leakless{m}, map[string]func(){
		"threatmatch-connector": func() { os.Exit(cli.Main(os.Args[1:], cli.System())) },
	})
}

// leakless fails if a test leaves a goroutine behind.
type leakless struct{ m *testing.M }

func (l leakless) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestScripts runs testdata/script. Beside testscript's own commands there are
//
//	makespool DIR   writes the fixture of fixture_test.go
//	serve DIR       answers on DIR's socket as a daemon would, until the script ends or unserve
//	unserve DIR
//	exit CODE CMD…  runs a command and checks its exit code
//	sum DIR         remembers the bytes of all files in DIR
//	same DIR        fails if they differ from then
//	damage FILE     flips a bit of every payload of the fixture's records
//	nameless FILE   damages both copies of the connector id
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"makespool": cmdMakeSpool, "serve": cmdServe, "unserve": cmdUnserve,
			"exit": cmdExit, "sum": cmdSum, "same": cmdSame,
			"damage": cmdReplace("damage", `"name":"object"`, `"name":"0bject"`), "nameless": cmdReplace("nameless", `_id":"11111111`, `_id":"01111111`),
		},
	})
}

func setup(env *testscript.Env) error {
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("TZ", "UTC")
	env.Values[stateKey{}] = &state{sums: map[string]sums{}, served: map[string]func() error{}}
	return nil
}

func cmdMakeSpool(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: makespool DIR")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.Mkdir(dir, 0o700))
	for name, raw := range fixture() {
		ts.Check(os.WriteFile(filepath.Join(dir, name), raw, 0o600))
	}
	ts.Check(reserve(dir))
}

// fixture is created once and copied for every script.
var fixture = sync.OnceValue(func() map[string][]byte {
	dir, err := os.MkdirTemp("", "fixture")
	if err == nil {
		err = errors.Join(reserve(dir), makeSpool(context.Background(), dir))
	}
	files := map[string][]byte{}
	for _, name := range []string{"spool.db", "spool.lock"} {
		raw, rerr := os.ReadFile(filepath.Join(dir, name))
		files[name], err = raw, errors.Join(err, rerr)
	}
	const page = 4096 // without the end of the file, into which it has not grown yet: these tests read it often
	files["spool.db"] = files["spool.db"][:(len(bytes.TrimRight(files["spool.db"], "\x00"))+page-1)/page*page]
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		panic(err)
	}
	return files
})

// reserve creates the spool's reserve file without allocating its space.
func reserve(dir string) error {
	f, err := os.Create(filepath.Join(dir, "spool.reserve"))
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(64<<20), f.Close())
}

// cmdExit runs a command and checks its exit code.
func cmdExit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE COMMAND [ARG…]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "exit status 0"
	if err != nil {
		got = err.Error()
	}
	if got != "exit status "+args[0] {
		ts.Fatalf("%s, want %s", got, args[0])
	}
}

// cmdReplace changes bytes of a file, as a bad disk would.
func cmdReplace(name, from, to string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: %s FILE", name)
		}
		path := ts.MkAbs(args[0])
		raw, err := os.ReadFile(path)
		ts.Check(err)
		ts.Check(os.WriteFile(path, bytes.ReplaceAll(raw, []byte(from), []byte(to)), 0o600))
	}
}

// state is what one script's own commands remember.
type state struct {
	sums   map[string]sums
	served map[string]func() error // ends what serve began, by directory
}

type stateKey struct{}

func stateOf(ts *testscript.TestScript) *state { return ts.Value(stateKey{}).(*state) }

type sums map[string][sha256.Size]byte

func cmdSum(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sum DIR")
	}
	stateOf(ts).sums[ts.MkAbs(args[0])] = sumDir(ts, args[0])
}

func cmdSame(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: same DIR")
	}
	before, now := stateOf(ts).sums[ts.MkAbs(args[0])], sumDir(ts, args[0])
	if before == nil {
		ts.Fatalf("no sum of %s", args[0])
	}
	for name, sum := range now {
		if before[name] != sum {
			ts.Fatalf("%s changed", name)
		}
	}
	if len(before) != len(now) {
		ts.Fatalf("files came or went: %d, then %d", len(before), len(now))
	}
}

func sumDir(ts *testscript.TestScript, dir string) sums {
	out := sums{}
	entries, err := os.ReadDir(ts.MkAbs(dir))
	ts.Check(err)
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasSuffix(e.Name(), ".reserve") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(ts.MkAbs(dir), e.Name()))
		ts.Check(err)
		out[e.Name()] = sha256.Sum256(raw)
	}
	return out
}
