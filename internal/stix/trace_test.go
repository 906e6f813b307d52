package stix

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// platform is OpenCTI's upsert of one object: values are replaced, lists united, and the TLP level is that of the
// last message.
type platform struct {
	scalars map[string]string
	lists   map[string]map[string]bool
}

func (p *platform) upsert(o *Object) {
	if p.scalars == nil {
		p.scalars, p.lists = map[string]string{}, map[string]map[string]bool{}
	}
	for key, raw := range o.All() {
		if !united(raw, key) {
			p.scalars[key] = string(raw)
			delete(p.lists, key)
			continue
		}
		if p.lists[key] == nil {
			p.lists[key] = map[string]bool{}
			delete(p.scalars, key)
		}
		if key == "object_marking_refs" {
			maps.DeleteFunc(p.lists[key], func(id string, _ bool) bool {
				_, level := TLPByID(strings.Trim(id, `"`))
				return level
			})
		}
		for e := range Elements(raw) {
			p.lists[key][string(e)] = true
		}
	}
}

func (p *platform) String() string {
	b, _ := json.Marshal([]any{p.scalars, p.lists})
	return string(b)
}

// TestTraceInAnyOrder publishes copies one after the other, in all orders and partly merged before: the platform
// always ends up with the same object.
func TestTraceInAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 100 {
		copies := make([]*Object, 3+round%2)
		for i := range copies {
			copies[i] = siblingCopy(t, r)
		}
		all := copies[0]
		for _, c := range copies[1:] {
			all = Merge(all, c)
		}
		var want platform
		want.upsert(all)
		for _, order := range permutations(len(copies)) {
			var got platform
			var trace Trace
			for i := 0; i < len(order); i++ {
				o := stored(t, copies[order[i]])
				if r.IntN(3) == 0 && i+1 < len(order) {
					i++
					o = Merge(o, copies[order[i]])
				}
				trace = TraceOf(trace.Changed(), trace.Contents(), trace.Rank(), trace.Marks())
				if out, verdict := trace.Weigh(o, true); verdict != Nothing {
					got.upsert(out)
					trace.Add(out, true)
				}
				trace.Note(o)
			}
			if got.String() != want.String() {
				for _, i := range order {
					t.Logf("copy %s %v", copies[i].AppendJSON(nil), copies[i].Stamps())
				}
				t.Fatalf("round %d, order %v:\ngot  %s\nwant %s", round, order, got.String(), want.String())
			}
		}
	}
}

// siblingCopy makes a copy that agrees with its siblings in the required properties.
func siblingCopy(t testing.TB, r *rand.Rand) *Object {
	o := copyOf(t, `"spec_version":"2.1","name":"one","created":"2023-01-01T00:00:00.000Z","object_marking_refs":["`+
		[]string{green, red, amber}[r.IntN(3)]+`"],"modified":"`+
		[]string{"2024-01-01T00:00:00.000Z", "2024-01-02T00:00:00.000Z", "2024-01-03T00:00:00.000Z"}[r.IntN(3)]+`"`)
	for key, values := range map[string][]string{
		"description": {`"long text one"`, `"long text two"`, `"short"`},
		"objective":   {`"a"`, `"b"`},
		"labels":      {`["a","b"]`, `["c"]`},
		"object_refs": {`["m1","m2"]`, `["m3"]`, `["m2"]`},
		"confidence":  {`10`, `80`},
		"first_seen":  {`"2020-01-01T00:00:00Z"`, `"2021-01-01T00:00:00Z"`},
		"x_any":       anyKinds,
	} {
		if r.IntN(2) == 0 {
			if err := o.SetRaw(key, []byte(values[r.IntN(len(values))])); err != nil {
				t.Fatal(err)
			}
		}
	}
	o.Arrive()
	return o
}

// anyKinds are values of one property in which careless copies are at odds.
var anyKinds = []string{`"a"`, `"b"`, `7`, `-0.5`, `true`, `false`, `{"a":1}`, `{"a":[1],"b":"c"}`, `["a"]`, `["b",7]`, `[["a"],{"b":1}]`, `[true]`}

func TestTraceVerdicts(t *testing.T) {
	const first, later = `"modified":"2024-01-01T00:00:00Z"`, `"modified":"2024-01-02T00:00:00Z"`
	full := copyOf(t, later+`,"name":"n","description":"d","labels":["a"],"object_marking_refs":["`+amber+`"]`)
	for _, c := range []struct {
		name    string
		o       *Object
		sameRun bool
		verdict Verdict
		want    string // what is sent, without type and id
	}{
		{"the same", full, false, Nothing, `"name":"n","description":"d","labels":["a"],"object_marking_refs":["` + amber + `"],` + later},
		{"of equal age, with a value that is not as great", copyOf(t, later+`,"name":"n","description":"c"`), false, Nothing, later + `,"name":"n","description":"c","object_marking_refs":["` + amber + `"]`},
		{"newer, the same list", copyOf(t, `"modified":"2024-01-03T00:00:00Z","name":"n","labels":["a"]`), false, Send, `"modified":"2024-01-03T00:00:00Z","name":"n","labels":["a"]`},
		{"newer, a text for a list", copyOf(t, `"modified":"2024-01-03T00:00:00Z","name":"n","labels":"b"`), false, Send, `"modified":"2024-01-03T00:00:00Z","name":"n"`},
		{"stub of equal age", copyOf(t, later+`,"name":"n"`), false, Nothing, ``},
		{"older stub", copyOf(t, first+`,"name":"n"`), false, Nothing, ``},
		{"newer stub", copyOf(t, `"modified":"2024-01-03T00:00:00Z","name":"n"`), false, Send, `"modified":"2024-01-03T00:00:00Z","name":"n"`},
		{"older with more", copyOf(t, first+`,"name":"n","description":"old","objective":"o"`), false, Send,
			`"modified":"2024-01-02T00:00:00.000Z","name":"n","objective":"o","object_marking_refs":["` + amber + `"]`},
		{"older, another list", copyOf(t, first+`,"name":"n","labels":["b"]`), false, Send,
			`"modified":"2024-01-02T00:00:00.000Z","name":"n","labels":["b"],"object_marking_refs":["` + amber + `"]`},
		{"older, stricter", copyOf(t, first+`,"name":"n","object_marking_refs":["`+red+`"]`), false, Send,
			`"modified":"2024-01-02T00:00:00.000Z","name":"n","object_marking_refs":["` + red + `"]`},
		{"older, weaker", copyOf(t, first+`,"name":"n","object_marking_refs":["`+green+`"]`), false, Nothing, ``},
		{"older and weaker with more", copyOf(t, first+`,"name":"n","objective":"o","object_marking_refs":["`+green+`"]`), false, Send,
			`"modified":"2024-01-02T00:00:00.000Z","name":"n","objective":"o","object_marking_refs":["` + amber + `"]`},
		{"newer, weaker, of a later run", copyOf(t, `"modified":"2024-01-03T00:00:00Z","name":"n","object_marking_refs":["`+green+`"]`), false, Send,
			`"modified":"2024-01-03T00:00:00Z","name":"n","object_marking_refs":["` + green + `"]`},
		{"newer, weaker, of the same run", copyOf(t, `"modified":"2024-01-03T00:00:00Z","name":"n","object_marking_refs":["`+green+`"]`), true, Send,
			`"modified":"2024-01-03T00:00:00Z","name":"n","object_marking_refs":["` + amber + `"]`},
		{"older, of another name", copyOf(t, first+`,"name":"m","objective":"o"`), false, Conflict, ``},
		{"older, of another name, stricter", copyOf(t, first+`,"name":"m","objective":"o","object_marking_refs":["`+red+`"]`), false, OnlyMarking,
			`"modified":"2024-01-02T00:00:00.000Z","name":"m","object_marking_refs":["` + red + `"]`},
		{"newer, of another name", copyOf(t, `"modified":"2024-01-03T00:00:00Z","name":"m"`), false, Send, `"modified":"2024-01-03T00:00:00Z","name":"m"`},
	} {
		var trace Trace
		trace.Add(full, true)
		before := string(c.o.AppendJSON(nil))
		trace = TraceOf(trace.Changed(), trace.Contents(), trace.Rank(), trace.Marks())
		out, verdict := trace.Weigh(c.o, c.sameRun)
		if verdict != c.verdict {
			t.Errorf("%s: verdict %d, want %d", c.name, verdict, c.verdict)
			continue
		}
		if c.want != "" {
			if want := copyOf(t, c.want); out.Hash() != want.Hash() {
				t.Errorf("%s: got %s, want %s", c.name, out.AppendJSON(nil), want.AppendJSON(nil))
			}
		}
		if string(c.o.AppendJSON(nil)) != before {
			t.Errorf("%s: the copy was changed", c.name)
		}
	}
}

// TestTraceOfTurns alternates between a full copy and a stub.
func TestTraceOfTurns(t *testing.T) {
	full := copyOf(t, `"modified":"2024-01-01T00:00:00Z","name":"n","description":"d","labels":["a"]`)
	stub := copyOf(t, `"modified":"2024-01-02T00:00:00Z","name":"n","created_by_ref":"z"`, "created_by_ref")
	var trace Trace
	sent := 0
	for range 10 {
		for _, o := range []*Object{full, stub} {
			if slices.ContainsFunc(o.Contents(), trace.Took) {
				continue
			}
			if out, verdict := trace.Weigh(o, false); verdict != Nothing {
				sent++
				trace.Add(out, false)
			}
			trace.Note(o)
		}
	}
	if sent != 2 {
		t.Errorf("%d messages, want 2", sent)
	}
}

// TestNamesLikeKeys: what is kept of an object comes back, whatever its properties are called.
func TestNamesLikeKeys(t *testing.T) {
	const names = `"":"a","=":"b","=name":"c","@name":"d","-name":"e","#000102030405060708090a0b0c0d0e0f":"f","name":"g"`
	older := copyOf(t, `"modified":"2024-01-01T00:00:00Z",`+names)
	newer := copyOf(t, `"modified":"2024-01-02T00:00:00Z","name":"h"`)
	both := Merge(older, newer)
	if got := stored(t, both); got.at != both.at || !slices.Equal(got.taken, both.taken) || !maps.Equal(fieldStamps(got), fieldStamps(both)) {
		t.Errorf("at %d, taken %x, stamps %v came back, want %d, %x, %v", got.at, got.taken, fieldStamps(got), both.at, both.taken, fieldStamps(both))
	}
	for _, o := range []*Object{older, both} {
		var trace Trace
		trace.Add(o, false)
		back := TraceOf(trace.Changed(), trace.Contents(), trace.Rank(), trace.Marks())
		if !slices.Equal(back.units, trace.units) {
			t.Errorf("marks came back as %v, want %v", back.units, trace.units)
		}
		if _, verdict := back.Weigh(o, false); verdict != Nothing {
			t.Errorf("the same again: verdict %d, want Nothing", verdict)
		}
	}
}

func fieldStamps(o *Object) map[string]int64 {
	stamps := map[string]int64{}
	for _, f := range o.fields {
		stamps[f.key] = f.stamp
	}
	return stamps
}

// TestMarksAreFNV: entries of ids hold marks, so they must not change.
func TestMarksAreFNV(t *testing.T) {
	for _, text := range []string{"", "a", "\x00\xffvalue"} {
		long, short := fnv.New64a(), fnv.New32a()
		_, _ = long.Write([]byte(text))
		_, _ = short.Write([]byte(text + "\x00"))
		if got := entryMark([]byte(text)); got != long.Sum64() {
			t.Errorf("the mark of %q is %x, want %x", text, got, long.Sum64())
		}
		if got := fnv32(fnv32(fnv32Start, text), []byte{0}); got != short.Sum32() {
			t.Errorf("the sum of %q is %x, want %x", text, got, short.Sum32())
		}
	}
}

// TestTraceIsBounded: a trace of many copies with ever other properties does not grow with them, and still knows the
// last.
func TestTraceIsBounded(t *testing.T) {
	var trace Trace
	for i := range 20 {
		o := New("tool", "tool--1")
		for j := range 100 {
			o.Set(fmt.Sprintf("x_%d_%d", i, j), j)
		}
		o.Arrive()
		if _, verdict := trace.Weigh(o, false); verdict != Send {
			t.Errorf("copy %d: %v", i, verdict)
		}
		trace.Add(o, false)
		if n := len(trace.Marks()); n > MaxProperties || n < 100 {
			t.Fatalf("%d marks after %d copies", n, i+1)
		}
		if n := len(trace.Contents()); n > contentsKept {
			t.Fatalf("%d contents after %d copies", n, i+1)
		}
		if _, verdict := trace.Weigh(o, false); verdict != Nothing {
			t.Errorf("copy %d again: %v", i, verdict)
		}
	}
}

// TestLargeTextsAreHashedInPieces: where a text is too large to be copied, hash and marks are the same, and take no
// memory.
func TestLargeTextsAreHashedInPieces(t *testing.T) {
	file := func(size int) *Object {
		o := New("report", "report--1")
		o.Set("x_opencti_files", []map[string]any{{"name": "b", "data": strings.Repeat("x", size), "more": []any{map[string]int{"b": 1, "a": 2}, "x"}}})
		o.Set("x_a", map[string]any{"z": 1, "c": strings.Repeat("y", size)})
		return o
	}
	for _, size := range []int{largeText - 100, largeText, 2 * largeText} {
		o := file(size)
		sum := sha256.Sum256(appendCanonical(nil, o.fields, nil))
		if got := o.Hash(); got != [16]byte(sum[:16]) {
			t.Errorf("%d: the hash is %x, want %x", size, got, sum)
		}
		list, _ := o.Get("x_opencti_files")
		var buf []byte
		if got, want := listMark("x_opencti_files", list, &buf), entryMark(appendCanonicalValue(nil, list[1:len(list)-1], nil)); got != want {
			t.Errorf("%d: the mark is %x, want %x", size, got, want)
		}
	}
	o := file(2 * largeText)
	o.Delete("x_a")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	o.Hash()
	o.traceUnits()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > largeText {
		t.Errorf("%d bytes are allocated", took)
	}
}
