package spool

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// Task keys are lossless.
func TestTaskKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := TaskKey{Dataset(rapid.String().Draw(t, "d")), TaskKind(rapid.String().Draw(t, "k")), rapid.String().Draw(t, "s")}
		if got, ok := cutTaskKey(taskKey(k)); !ok || got != k {
			t.Fatalf("task key %q came back as %q", k, got)
		}
	})
}

func FuzzTaskKey(f *testing.F) {
	f.Add(taskKey(item(Alerts, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, ok := cutTaskKey(b); ok && !bytes.Equal(taskKey(k), b) {
			t.Fatalf("task key %x reads as %v, which is %x", b, k, taskKey(k))
		}
		_, _, _ = cutLogRow(b)
		if k, err := ParseTaskKey(string(b)); err == nil && k.String() != string(b) {
			t.Fatalf("%q reads as %v", b, k)
		}
	})
}

// The key of a task is complete, so dataset/kind/source names it.
func TestParseTaskKey(t *testing.T) {
	k := TaskKey{Alerts, TaskItem, "a/b/c"}
	if got, err := ParseTaskKey(k.String()); err != nil || got != k {
		t.Fatalf("got %v and error %v, want the key back", got, err)
	}
	if _, err := ParseTaskKey("alerts/item"); err == nil {
		t.Fatal("a key without a source")
	}
}
