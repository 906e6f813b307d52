package fetch

import (
	"slices"
	"testing"

	"threatmatch-connector/spool"
)

// TestListsAndItemsTakeTurns: also where places come free one by one, so that neither
// waits until the other is through.
func TestListsAndItemsTakeTurns(t *testing.T) {
	tasks := func(kind spool.TaskKind, n int) []spool.Task {
		return slices.Repeat([]spool.Task{{TaskKey: spool.TaskKey{Kind: kind}}}, n)
	}
	for _, limit := range []int{1, 2, 3} {
		f := &Stage{}
		front, items := tasks(spool.TaskPage, 9), tasks(spool.TaskItem, 6)
		text := ""
		for len(front)+len(items) > 0 {
			for _, task := range f.inTurn(front, items, limit) {
				if text += string(task.Kind[:1]); task.Kind == spool.TaskPage {
					front = front[1:]
				} else {
					items = items[1:]
				}
			}
		}
		if want := "pipipipipipippp"; text != want {
			t.Errorf("%d at a time: asked in the order %s, want %s", limit, text, want)
		}
	}
}
