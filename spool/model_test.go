package spool

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// model is what a spool must hold, kept in plain maps. Its methods follow the documentation of the spool's methods,
// not their code.
type model struct {
	epoch    uint64
	known    bool
	keep     bool
	seq      map[string]uint64
	runs     map[uint64]*modelRun
	tasks    map[TaskKey]*modelTask
	records  map[uint64]map[uint64]Record
	kept     int
	waiting  map[uint64]map[string]Object
	held     map[string]Object
	bundles  map[[2]uint64]*modelBundle
	ids      map[string]ID
	unknown  map[string]ID // entries of ids that were forgotten with their run
	dead     map[uint64]DeadLetter
	marks    map[Dataset]*modelMark
	platform string
	crash    *CrashMark
}

type modelRun struct {
	Run
	behind map[Dataset]time.Time
}

type modelTask struct {
	Task
	behind bool
}

type modelBundle struct {
	Bundle
	objects []BundleObject
}

type modelMark struct {
	Watermark
	early map[uint64]time.Time
}

func newModel() *model {
	m := &model{epoch: 1, seq: map[string]uint64{}, runs: map[uint64]*modelRun{}, dead: map[uint64]DeadLetter{}}
	m.clear()
	return m
}

// clear empties what a reset empties.
func (m *model) clear() {
	m.tasks = map[TaskKey]*modelTask{}
	m.records = map[uint64]map[uint64]Record{}
	m.waiting = map[uint64]map[string]Object{}
	m.held = map[string]Object{}
	m.bundles = map[[2]uint64]*modelBundle{}
	m.ids, m.unknown = map[string]ID{}, map[string]ID{}
	m.marks = map[Dataset]*modelMark{}
	m.kept, m.crash = 0, nil
}

func (m *model) next(what string) uint64 {
	m.seq[what]++
	return m.seq[what]
}

func (m *model) openRuns() []*modelRun {
	var out []*modelRun
	for _, id := range slices.Sorted(maps.Keys(m.runs)) {
		if m.runs[id].DoneAt.IsZero() {
			out = append(out, m.runs[id])
		}
	}
	return out
}

func (m *model) startRun(now time.Time, spec RunSpec) *modelRun {
	r := &modelRun{Run: Run{
		ID: m.next("runs"), Epoch: m.epoch, Reason: spec.Reason, Created: now, Start: cmp.Or(spec.Start, now),
		Datasets: map[Dataset]DatasetRun{}, Counters: map[string]int64{},
	}, behind: map[Dataset]time.Time{}}
	for d, from := range spec.Datasets {
		r.Datasets[d] = DatasetRun{From: from, Status: DatasetOpen}
	}
	m.runs[r.ID] = r
	for _, n := range spec.Tasks {
		m.addTask(r, n)
	}
	if spec.Parked {
		for _, t := range m.tasks {
			if _, ok := spec.Datasets[t.Dataset]; ok && !t.Parked.IsZero() {
				m.takeIn(r, t)
			}
		}
	}
	return r
}

func (m *model) addTask(r *modelRun, n NewTask) {
	n.Since = cmp.Or(n.Since, r.Datasets[n.Dataset].From, r.Start)
	t := m.tasks[n.TaskKey]
	switch {
	case t == nil:
		m.tasks[n.TaskKey] = &modelTask{Task: Task{
			TaskKey: n.TaskKey, Run: r.ID, Seq: m.next("tasks"), Since: n.Since, Anew: n.Anew, TaskState: TaskState{Cursor: n.Cursor},
		}}
	case t.Run != 0:
		if t.Run != r.ID && n.Kind == TaskItem && r.Reason.MovesWatermarks() {
			t.behind = true
			if n.Since.Before(t.Since) {
				t.Since = n.Since
			}
		}
	default:
		if n.Kind == TaskPage && (n.Since.Before(t.Since) || !r.Reason.MovesWatermarks()) {
			t.Since, t.Cursor = n.Since, n.Cursor
		}
		m.takeIn(r, t)
	}
	if n.Anew {
		m.tasks[n.TaskKey].Anew = true
	}
}

func (m *model) takeIn(r *modelRun, t *modelTask) {
	t.Run, t.Parked = r.ID, time.Time{}
	t.Tries, t.Refused, t.Due, t.FirstTry = 0, 0, time.Time{}, time.Time{}
}

func (m *model) settle(now time.Time, o Outcome) {
	t := m.tasks[o.Task]
	if t == nil || t.Run != o.Run {
		return
	}
	r := m.runs[o.Run]
	switch {
	case o.Keep == nil:
		if t.behind && o.Dead == nil && !t.Since.IsZero() {
			if old, ok := r.behind[t.Dataset]; !ok || t.Since.Before(old) {
				r.behind[t.Dataset] = t.Since
			}
		}
		delete(m.tasks, o.Task)
	case o.Park:
		t.TaskState, t.Run, t.Parked, t.behind = *o.Keep, 0, now, true
	default:
		t.TaskState = *o.Keep
	}
	if o.Record != nil {
		rec := *o.Record
		rec.Anew = t.Anew
		m.addRecord(o.Run, rec)
		if o.Task.Kind == TaskItem && o.Keep == nil {
			m.heal(now, o.Record.Dataset, o.Record.Source)
		}
	}
	for _, n := range o.Add {
		m.addTask(r, n)
	}
	for _, d := range []*DeadLetter{o.Dead, o.Note} {
		if d != nil {
			l := *d
			l.Stage = cmp.Or(l.Stage, StageFetch)
			l.Run, l.Dataset, l.Source = cmp.Or(l.Run, o.Run), cmp.Or(l.Dataset, o.Task.Dataset), cmp.Or(l.Source, o.Task.Source)
			m.addDead(now, l)
		}
	}
	if o.Status != nil {
		d := r.Datasets[o.Task.Dataset]
		d.Status, d.Detail = o.Status.Status, o.Status.Detail
		r.Datasets[o.Task.Dataset] = d
	}
	if !o.Start.IsZero() && o.Start.Before(r.Start) {
		r.Start = o.Start
	}
	r.count(o.Count)
}

func (r *modelRun) count(c map[string]int64) {
	for k, n := range c {
		r.Counters[k] += n
	}
}

func (m *model) addRecord(run uint64, n NewRecord) {
	if m.records[run] == nil {
		m.records[run] = map[uint64]Record{}
	}
	seq := m.next("records")
	m.records[run][seq] = Record{Run: run, Seq: seq, NewRecord: n}
}

func (m *model) addDead(now time.Time, d DeadLetter) {
	d.Last = cmp.Or(d.Last, now)
	d.First = cmp.Or(d.First, d.Last)
	for k, l := range m.dead {
		if l.Dataset == d.Dataset && l.Source == d.Source && l.Stage == d.Stage && l.Class == d.Class && l.STIX == d.STIX && string(l.Payload) == string(d.Payload) {
			l.Attempts += max(1, d.Attempts)
			l.Last, l.Run, l.Error, l.Healed = d.Last, d.Run, d.Error, time.Time{}
			m.dead[k] = l
			return
		}
	}
	d.Key = m.next("dead")
	m.dead[d.Key] = d
}

func (m *model) healPublished(now time.Time, bundles []NewBundle) {
	for _, b := range bundles {
		for _, o := range b.Objects {
			for k, l := range m.dead {
				if l.Dataset == o.Dataset && l.Source == o.Source && l.STIX == o.STIX && l.STIX != "" && l.Stage != StageFetch && l.Healed.IsZero() {
					l.Healed = now
					m.dead[k] = l
				}
			}
		}
	}
}

// reopen opens the dead letters that these runs retry.
func (m *model) reopen(runs ...uint64) {
	for k, l := range m.dead {
		if slices.Contains(runs, l.RetryRun) && !l.Healed.IsZero() && l.Healed.Equal(l.Retried) {
			l.Healed = time.Time{}
			m.dead[k] = l
		}
	}
}

func (m *model) heal(now time.Time, d Dataset, source string) {
	for k, l := range m.dead {
		if source != "" && l.Dataset == d && l.Source == source && l.Healed.IsZero() && l.STIX == "" {
			l.Healed = now
			m.dead[k] = l
		}
	}
}

func (m *model) openTasks(run uint64) map[Dataset]map[TaskKind]int {
	out := map[Dataset]map[TaskKind]int{}
	for _, t := range m.tasks {
		if t.Run == run {
			if out[t.Dataset] == nil {
				out[t.Dataset] = map[TaskKind]int{}
			}
			out[t.Dataset][t.Kind]++
		}
	}
	return out
}

func (m *model) failDataset(r *modelRun, d Dataset, status DatasetStatus, detail string) {
	for k, t := range m.tasks {
		if t.Run != r.ID || t.Dataset != d {
			continue
		}
		switch t.Kind {
		case TaskList:
			delete(m.tasks, k)
		case TaskPage:
			t.Run = 0
		}
	}
	dr := r.Datasets[d]
	dr.Status, dr.Detail = status, detail
	r.Datasets[d] = dr
}

func (m *model) dropDataset(d Dataset) int {
	n := 0
	for k, t := range m.tasks {
		if t.Run == 0 || t.Dataset != d {
			continue
		}
		n++
		r := m.runs[t.Run]
		r.Counters["fetch.dropped"]++
		switch {
		case t.behind:
			t.Run, t.Parked = 0, r.Created
		case t.Kind == TaskPage:
			t.Run = 0
		default:
			delete(m.tasks, k)
		}
	}
	for _, r := range m.openRuns() {
		dr, ok := r.Datasets[d]
		if ok && r.FetchedAt.IsZero() && slices.Contains([]DatasetStatus{"", DatasetOpen, DatasetListed}, dr.Status) {
			dr.Status = DatasetOff
			r.Datasets[d] = dr
		}
	}
	return n
}

func (m *model) mark(d Dataset) *modelMark {
	if m.marks[d] == nil {
		m.marks[d] = &modelMark{early: map[uint64]time.Time{}}
	}
	return m.marks[d]
}

func (m *model) finishFetch(r *modelRun, now time.Time) bool {
	if !r.FetchedAt.IsZero() {
		return true
	}
	if len(m.openTasks(r.ID)) > 0 {
		return false
	}
	r.FetchedAt = now
	for d, dr := range r.Datasets {
		if slices.Contains([]DatasetStatus{"", DatasetOpen, DatasetListed}, dr.Status) {
			dr.Status = DatasetOK
			r.Datasets[d] = dr
		}
	}
	moves := func(dr DatasetRun) bool {
		return dr.Status == DatasetOK && !dr.From.After(r.Created) && r.Reason.MovesWatermarks()
	}
	for d, dr := range r.Datasets {
		if w := m.marks[d]; w != nil && moves(dr) && w.Fetched.After(r.Start) && !w.Fetched.After(r.Created) {
			r.Start = w.Fetched
		}
	}
	for d, dr := range r.Datasets {
		if moves(dr) {
			w := m.mark(d)
			w.Previous, w.Fetched = w.Fetched, r.Start
		}
	}
	m.known = m.known || r.Reason.MovesWatermarks()
	return true
}

func (m *model) hasBundles(run uint64) bool {
	for k := range m.bundles {
		if k[0] == run {
			return true
		}
	}
	return false
}

func (m *model) finishRun(r *modelRun, now time.Time) bool {
	if !r.DoneAt.IsZero() {
		return true
	}
	if r.FetchedAt.IsZero() || r.MappedAt.IsZero() || m.hasBundles(r.ID) {
		return false
	}
	r.DoneAt = now
	if r.Reason.MovesWatermarks() {
		for d, dr := range r.Datasets {
			if dr.Status == DatasetOK && !dr.From.After(r.Created) {
				m.mark(d).early[r.ID] = r.Start
			}
		}
	}
	for d, w := range m.marks {
		oldest := ^uint64(0)
		for _, o := range m.openRuns() {
			if _, has := o.Datasets[d]; has && o.Reason.MovesWatermarks() {
				oldest = min(oldest, o.ID)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(w.early)) {
			if id < oldest {
				w.Confirmed = w.early[id]
				delete(w.early, id)
			}
		}
	}
	return true
}

func (m *model) watermarks() map[Dataset]Watermark {
	out := map[Dataset]Watermark{}
	for d, w := range m.marks {
		out[d] = w.Watermark
	}
	hold := func(d Dataset, since time.Time) {
		w := out[d]
		if w.Held.IsZero() || since.Before(w.Held) {
			w.Held = since
		}
		out[d] = w
	}
	for _, t := range m.tasks {
		if t.behind {
			hold(t.Dataset, t.Since)
		}
	}
	for _, r := range m.openRuns() {
		for d, since := range r.behind {
			hold(d, since)
		}
	}
	return out
}
