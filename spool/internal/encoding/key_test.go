package encoding

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

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
		if (bytes.Compare(Num(a), Num(b)) < 0) != (a < b) || U64(Num(a), 0) != a {
			t.Fatalf("numbers %d and %d", a, b)
		}
		if (bytes.Compare(Pair(a, b), Pair(b, a)) < 0) != (a < b) {
			t.Fatalf("pairs of %d and %d", a, b)
		}
		x, y := anyTime().Draw(t, "x"), anyTime().Draw(t, "y")
		if (bytes.Compare(PutTime(nil, x), PutTime(nil, y)) < 0) != x.Before(y) || !TimeAt(PutTime(nil, x), 0).Equal(x) {
			t.Fatalf("times %v and %v", x, y)
		}
		s, u := anyString().Draw(t, "s"), anyString().Draw(t, "u")
		if bytes.Compare(PutString(nil, s), PutString(nil, u)) != strings.Compare(s, u) {
			t.Fatalf("strings %q and %q", s, u)
		}
		tail := []byte(u)
		back, rest, ok := CutString(append(PutString(nil, s), tail...))
		if !ok || back != s || !bytes.Equal(rest, tail) {
			t.Fatalf("string %q came back as %q with %q", s, back, rest)
		}
	})
}

// Ids are lossless, self-delimiting, and no two are equal.
func TestIDKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyID().Draw(t, "a"), anyID().Draw(t, "b")
		tail := []byte(anyString().Draw(t, "tail"))
		back, rest, ok := CutID(append(IDKey(a), tail...))
		if !ok || back != a || !bytes.Equal(rest, tail) {
			t.Fatalf("id %q came back as %q with %q", a, back, rest)
		}
		if a != b && (bytes.Equal(IDKey(a), IDKey(b)) || bytes.HasPrefix(IDKey(a), IDKey(b))) {
			t.Fatalf("keys of %q and %q run into each other", a, b)
		}
	})
}

func TestIDKeyIsCompact(t *testing.T) {
	if n := len(IDKey("indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f")); n != 18 {
		t.Fatalf("%d bytes", n)
	}
}

// Times beyond what a key can hold are clamped, and keep their order.
func TestTimesAtTheEnds(t *testing.T) {
	first, last := time.UnixMilli(math.MinInt64/2), time.UnixMilli(math.MaxInt64/2)
	all := []time.Time{{}, first, t0, t0.Add(time.Nanosecond), last}
	for i := 1; i < len(all); i++ {
		if bytes.Compare(PutTime(nil, all[i-1]), PutTime(nil, all[i])) >= 0 {
			t.Errorf("%v does not come before %v", all[i-1], all[i])
		}
	}
	if !TimeAt(PutTime(nil, time.Time{}), 0).IsZero() {
		t.Error("the zero time does not come back")
	}
}
