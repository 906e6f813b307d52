package spool

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// anyTime draws times from far before to far after our own.
func anyTime() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		ms := rapid.OneOf(
			rapid.Int64Range(-1<<60, 1<<60), rapid.Int64Range(0, 4e12), rapid.SampledFrom([]int64{0, -1, 1}),
		).Draw(t, "ms")
		return time.UnixMilli(ms).UTC()
	})
}

// anyString draws strings with the bytes that keys treat specially.
func anyString() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.SampledFrom([]byte{0, 1, 2, 'a', 0xfe, 0xff})), func(b []byte) string { return string(b) }),
		rapid.Just(""),
	)
}

// anyID draws STIX ids, well-formed and not.
func anyID() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		uuid := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`).Draw(t, "uuid")
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			return rapid.SampledFrom(typeCodes).Draw(t, "type") + "--" + uuid
		case 1:
			return rapid.StringMatching(`[a-z-]{1,20}`).Draw(t, "type") + "--" + uuid
		case 2:
			return "indicator--" + strings.ToUpper(uuid)
		case 3:
			return "indicator--" + uuid[:35]
		}
		return anyString().Draw(t, "text")
	})
}

// The order of bytes is the order of work, and what was put in comes out.
func TestKeysKeepOrderAndValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Uint64().Draw(t, "a"), rapid.Uint64().Draw(t, "b")
		if (bytes.Compare(num(a), num(b)) < 0) != (a < b) || u64(num(a), 0) != a {
			t.Fatalf("numbers %d and %d", a, b)
		}
		if (bytes.Compare(pair(a, b), pair(b, a)) < 0) != (a < b) {
			t.Fatalf("pairs of %d and %d", a, b)
		}
		x, y := anyTime().Draw(t, "x"), anyTime().Draw(t, "y")
		if (bytes.Compare(putTime(nil, x), putTime(nil, y)) < 0) != x.Before(y) || !timeAt(putTime(nil, x), 0).Equal(x) {
			t.Fatalf("times %v and %v", x, y)
		}
		s, u := anyString().Draw(t, "s"), anyString().Draw(t, "u")
		if bytes.Compare(putString(nil, s), putString(nil, u)) != strings.Compare(s, u) {
			t.Fatalf("strings %q and %q", s, u)
		}
		tail := []byte(u)
		back, rest, ok := cutString(append(putString(nil, s), tail...))
		if !ok || back != s || !bytes.Equal(rest, tail) {
			t.Fatalf("string %q came back as %q with %q", s, back, rest)
		}
		due := dueKey(a, x, b)
		if u64(due, 1) != a || !timeAt(due, 9).Equal(x) || u64(due, 17) != b {
			t.Fatalf("due key of %d %v %d", a, x, b)
		}
	})
}

// Ids and task keys are lossless, end themselves, and no two are alike.
func TestIDKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyID().Draw(t, "a"), anyID().Draw(t, "b")
		tail := []byte(anyString().Draw(t, "tail"))
		back, rest, ok := cutID(append(idKey(a), tail...))
		if !ok || back != a || !bytes.Equal(rest, tail) {
			t.Fatalf("id %q came back as %q with %q", a, back, rest)
		}
		if a != b && (bytes.Equal(idKey(a), idKey(b)) || bytes.HasPrefix(idKey(a), idKey(b))) {
			t.Fatalf("keys of %q and %q run into each other", a, b)
		}
		k := TaskKey{Dataset(anyString().Draw(t, "d")), TaskKind(anyString().Draw(t, "k")), anyString().Draw(t, "s")}
		if got, ok := cutTaskKey(taskKey(k)); !ok || got != k {
			t.Fatalf("task key %q came back as %q", k, got)
		}
	})
}

func TestIDKeyIsCompact(t *testing.T) {
	if n := len(idKey("indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f")); n != 18 {
		t.Fatalf("%d bytes", n)
	}
}

// Times beyond what a key can hold are moved to its ends, and keep their order.
func TestTimesAtTheEnds(t *testing.T) {
	first, last := time.UnixMilli(math.MinInt64/2), time.UnixMilli(math.MaxInt64/2)
	all := []time.Time{{}, first, t0, t0.Add(time.Nanosecond), last}
	for i := 1; i < len(all); i++ {
		if bytes.Compare(putTime(nil, all[i-1]), putTime(nil, all[i])) >= 0 {
			t.Errorf("%v does not come before %v", all[i-1], all[i])
		}
	}
	if !timeAt(putTime(nil, time.Time{}), 0).IsZero() {
		t.Error("the zero time does not come back")
	}
}

// The key of a task says it all, so that dataset/kind/source names it.
func TestParseTaskKey(t *testing.T) {
	k := TaskKey{Alerts, TaskItem, "a/b/c"}
	if got, err := ParseTaskKey(k.String()); err != nil || got != k {
		t.Fatalf("%v %v", got, err)
	}
	if _, err := ParseTaskKey("alerts/item"); err == nil {
		t.Fatal("a key without a source")
	}
}
