package stix

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const mergedID = "report--00000001-0000-4000-8000-000000000000"

// copyOf makes a copy of a report from properties in JSON. Those in filled count as filled in by the mapper.
func copyOf(t testing.TB, properties string, filled ...string) *Object {
	t.Helper()
	o, err := decode([]byte(`{"type":"report","id":"` + mergedID + `",` + properties + `}`))
	if err != nil {
		t.Fatalf("%s: %v", properties, err)
	}
	for _, key := range filled {
		raw, _ := o.Get(key)
		o.Fill(key, raw)
	}
	o.Arrive()
	return o
}

// stored returns an object as it comes back from disk.
func stored(t testing.TB, o *Object) *Object {
	t.Helper()
	back, err := Decode(o.AppendJSON(nil))
	if err != nil {
		t.Fatal(err)
	}
	back.SetStamps(o.Stamps())
	return back
}

const (
	green = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"
	amber = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
	red   = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"
	pap   = "marking-definition--00000001-0000-4000-8000-000000000001"
	other = "marking-definition--00000001-0000-4000-8000-000000000002"
)

func TestMerge(t *testing.T) {
	for _, c := range []struct{ name, a, b, want string }{
		{"newer", `"modified":"2024-01-01T00:00:00Z","name":"z"`, `"modified":"2024-01-02T00:00:00Z","name":"a"`,
			`"modified":"2024-01-02T00:00:00Z","name":"a"`},
		{"greater of equal age", `"name":"b","x_n":1`, `"name":"a","x_n":2`, `"name":"b","x_n":2`},
		{"stub", `"modified":"2024-01-01T00:00:00Z","name":"x","description":"d"`, `"modified":"2024-01-02T00:00:00Z","name":"x"`,
			`"description":"d","modified":"2024-01-02T00:00:00Z","name":"x"`},
		{"lists", `"labels":["b","a"]`, `"labels":["c","a"]`, `"labels":["a","b","c"]`},
		{"equal lists keep their order", `"labels":["b","a"]`, `"labels":["b","a"]`, `"labels":["b","a"]`},
		{"start and stop move as one", `"modified":"2024-01-01T00:00:00Z","start_time":"2020-01-01T00:00:00Z","stop_time":"2021-01-01T00:00:00Z"`,
			`"modified":"2024-01-02T00:00:00Z","start_time":"2022-01-01T00:00:00Z"`,
			`"modified":"2024-01-02T00:00:00Z","start_time":"2022-01-01T00:00:00Z"`},
		{"place", `"modified":"2024-01-01T00:00:00Z","latitude":1,"longitude":2`, `"modified":"2024-01-02T00:00:00Z","latitude":3,"longitude":4`,
			`"modified":"2024-01-02T00:00:00Z","latitude":3,"longitude":4`},
		{"strictest marking", `"modified":"2024-01-01T00:00:00Z","object_marking_refs":["` + red + `","` + pap + `"]`,
			`"modified":"2024-01-02T00:00:00Z","object_marking_refs":["` + green + `","` + other + `"]`,
			`"modified":"2024-01-02T00:00:00Z","object_marking_refs":["` + red + `","` + pap + `","` + other + `"]`},
		{"hashes", `"hashes":{"MD5":"m"}`, `"hashes":{"SHA-1":"s"}`, `"hashes":{"MD5":"m","SHA-1":"s"}`},
		{"references", `"external_references":[{"source_name":"a","url":"http://u"}]`,
			`"external_references":[{"source_name":"b","url":"http://u","external_id":"1"}]`,
			`"external_references":[{"external_id":"1","source_name":"b","url":"http://u"}]`},
		{"list and text", `"aliases":"a"`, `"aliases":["b"]`, `"aliases":["b"]`},
	} {
		a, b := copyOf(t, c.a), copyOf(t, c.b)
		want := copyOf(t, c.want)
		for _, got := range []*Object{Merge(a, b), Merge(b, a), Merge(Merge(a, b), a)} {
			if got.Hash() != want.Hash() {
				t.Errorf("%s: got %s, want %s", c.name, got.AppendJSON(nil), want.AppendJSON(nil))
			}
		}
	}
}

func TestMergeTakesFilledInForAbsent(t *testing.T) {
	for _, c := range []struct {
		name, full, stub string
		filled           []string
		want             string
	}{
		{"author", `"modified":"2024-01-01T00:00:00Z","created_by_ref":"a"`, `"modified":"2024-01-02T00:00:00Z","created_by_ref":"z"`,
			[]string{"created_by_ref"}, `"modified":"2024-01-02T00:00:00Z","created_by_ref":"a"`},
		{"marking", `"object_marking_refs":["` + green + `"]`, `"object_marking_refs":["` + amber + `","` + pap + `"]`,
			[]string{"object_marking_refs"}, `"object_marking_refs":["` + green + `","` + pap + `"]`},
		{"publication", `"published":"2020-01-01T00:00:00Z"`, `"published":"2024-01-01T00:00:00Z"`,
			[]string{"published"}, `"published":"2020-01-01T00:00:00Z"`},
	} {
		full, stub, want := copyOf(t, c.full), copyOf(t, c.stub, c.filled...), copyOf(t, c.want)
		for _, got := range []*Object{Merge(full, stub), Merge(stub, full), Merge(stored(t, stub), full)} {
			if got.Hash() != want.Hash() || got.Filled(c.filled[0]) {
				t.Errorf("%s: got %s, filled in %v; want %s", c.name, got.AppendJSON(nil), got.Filled(c.filled[0]), want.AppendJSON(nil))
			}
		}
		if both := Merge(stub, stub.Clone()); !both.Filled(c.filled[0]) {
			t.Errorf("%s: two copies that lack it make one that has it", c.name)
		}
	}
}

func TestMergeDistrustsTheFuture(t *testing.T) {
	now := time.Date(2024, 6, 1, 13, 7, 41, 0, time.UTC)
	ahead := copyOf(t, `"created":"2024-01-03T00:00:00Z","modified":"2031-01-01T00:00:00Z","name":"ahead"`)
	before := copyOf(t, `"created":"2024-01-01T00:00:00Z","modified":"2024-01-02T00:00:00Z","name":"before"`)
	after := copyOf(t, `"created":"2024-01-01T00:00:00Z","modified":"2024-06-02T12:00:00Z","name":"after"`)
	lost := copyOf(t, `"created":"2031-01-01T00:00:00Z","modified":"2031-01-01T00:00:00Z","name":"lost"`)
	for _, o := range []*Object{ahead, before, after, lost} {
		o.Distrust(now)
	}
	for _, c := range []struct {
		a, b *Object
		want string
	}{{ahead, before, "ahead"}, {ahead, after, "after"}, {lost, before, "before"}, {stored(t, lost), stored(t, ahead), "ahead"}} {
		if got := Merge(c.a, c.b).String("name"); got != c.want {
			t.Errorf("%s and %s: got %s, want %s", c.a.String("name"), c.b.String("name"), got, c.want)
		}
	}
	if got := ahead.String("modified"); got != "2031-01-01T00:00:00Z" {
		t.Errorf("modified is %s on the wire, want it unchanged", got)
	}
}

// randomCopy makes a copy that shares only the id with its siblings.
func randomCopy(t testing.TB, r *rand.Rand) *Object {
	pick := func(values ...string) string { return values[r.IntN(len(values))] }
	o := copyOf(t, `"modified":"`+pick("2024-01-01T00:00:00Z", "2024-01-02T00:00:00.000Z", "2024-01-02T00:00:00Z", "2031-01-01T00:00:00Z")+`"`)
	maybe := func(key string, values ...string) {
		if r.IntN(2) == 0 {
			return
		}
		if err := o.SetRaw(key, []byte(pick(values...))); err != nil {
			t.Fatal(err)
		}
		if raw, _ := o.Get(key); r.IntN(4) == 0 {
			o.Fill(key, raw)
		}
	}
	maybe("created", `"2024-01-01T00:00:00Z"`, `"2023-01-01T00:00:00Z"`)
	maybe("name", `"x"`, `"xyzzy 1"`, `"xyzzy 2"`)
	maybe("description", `"long text one"`, `"long text two"`, `"short"`)
	maybe("labels", `["a","b"]`, `["b","a"]`, `["c"]`, `["a"]`)
	maybe("object_refs", `["m1","m2"]`, `["m2"]`, `["m3"]`)
	maybe("object_marking_refs", `["`+green+`"]`, `["`+red+`","`+pap+`"]`, `["`+amber+`","`+other+`"]`, `["`+pap+`"]`)
	maybe("start_time", `"2020-01-01T00:00:00Z"`, `"2021-01-01T00:00:00Z"`)
	maybe("stop_time", `"2022-01-01T00:00:00Z"`, `"2023-01-01T00:00:00Z"`)
	maybe("external_references", `[{"source_name":"s","url":"u"},{"source_name":"q","external_id":"7"}]`,
		`[{"url":"u","external_id":"T1","source_name":"mitre-attack"}]`, `[{"url":"u","external_id":"CAPEC-1","source_name":"capec"},{"source_name":"q","external_id":"T1","url":"u"}]`,
		`[{"source_name":"z","url":"u","description":"d"}]`)
	maybe("hashes", `{"MD5":"1","SHA-1":"2"}`, `{"MD5":"3"}`)
	maybe("extensions", `{"b":1,"a":2}`, `{"a":2,"b":1}`, `{"c":3}`)
	maybe("created_by_ref", `"identity--1"`, `"identity--2"`)
	maybe("x_any", anyKinds...)
	o.DedupeReferences()
	o.Arrive()
	o.Distrust(time.Date(2024, 6, 1, 13, 7, 41, 0, time.UTC))
	return o
}

// permutations returns all orders of 0 … n-1.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{{}}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for at := 0; at <= len(p); at++ {
			all = append(all, slices.Insert(slices.Clone(p), at, n-1))
		}
	}
	return all
}

// TestMergeInAnyOrder merges copies in every order and grouping, some of them after storing.
func TestMergeInAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 60 {
		copies := make([]*Object, 3+round%2)
		for i := range copies {
			copies[i] = randomCopy(t, r)
		}
		var want string
		for _, order := range permutations(len(copies)) {
			for split := 1; split < len(order); split++ {
				left, right := fold(t, r, copies, order[:split]), fold(t, r, copies, order[split:])
				m := Merge(left, right)
				got := fmt.Sprintf("%s %v", m.AppendJSON(nil), m.Stamps())
				if want == "" {
					want = got
				}
				if got != want {
					for _, c := range copies {
						t.Logf("copy %s %v", c.AppendJSON(nil), c.Stamps())
					}
					t.Fatalf("round %d, order %v split at %d:\ngot  %s\nwant %s", round, order, split, got, want)
				}
			}
		}
	}
}

func fold(t testing.TB, r *rand.Rand, copies []*Object, order []int) *Object {
	m := copies[order[0]]
	for _, i := range order[1:] {
		next := copies[i]
		if r.IntN(2) == 0 {
			m, next = stored(t, m), stored(t, next)
		}
		m = Merge(m, next)
	}
	return m
}

func TestStamps(t *testing.T) {
	o := New("tool", "tool--00000001-0000-4000-8000-000000000000")
	if got := o.Stamps(); got != nil {
		t.Errorf("an object as it came has stamps %v, want none", got)
	}
	o.Fill("name", "x")
	o.SetStamps(map[string]time.Time{"none": {}, "-gone": {}, "#zz": {}, "#ab": {}})
	if got := o.Stamps(); got != nil {
		t.Errorf("stamps of other properties became %v, want none", got)
	}
}

// TestMergeBounded: copies may add to each other up to a size, and a copy that adds nothing may have any.
func TestMergeBounded(t *testing.T) {
	half := Quote(strings.Repeat("x", maxMerged/2))
	a, b := New("report", "report--1"), New("report", "report--1")
	a.SetNormal("description", half)
	b.SetNormal("abstract", half)
	if _, err := MergeBounded(a, b); err != ErrTooBig {
		t.Errorf("two halves: %v", err)
	}
	b.SetNormal("abstract", half[:len(half)-1000:len(half)-1000])
	if both, err := MergeBounded(a, b); err != nil || both.Size() > maxMerged {
		t.Errorf("less than two halves: %v", err)
	}
	for i := range MaxProperties {
		a.Set(fmt.Sprintf("x_%d", i), 1)
	}
	if _, err := MergeBounded(a, a); err != nil {
		t.Errorf("equal copies: %v", err)
	}
	if _, err := MergeBounded(a, b); err != ErrTooMany {
		t.Errorf("another property: %v", err)
	}
}
