package cli_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// fixtureTime is when everything in the fixture happened.
var fixtureTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const fixtureConnector = "11111111-2222-4333-8444-555555555555"

func object(stixType string, n int) string {
	return fmt.Sprintf("%s--00000000-0000-4000-8000-%012d", stixType, n)
}

func body(id string) []byte {
	return fmt.Appendf(nil, `{"type":%q,"id":%q,"name":"object","labels":["a","b"]}`, id[:len(id)-38], id)
}

// makeSpool writes a spool with at least one entry of every kind: run 1 is done,
// run 2 is being delivered, run 3 is being fetched.
func makeSpool(ctx context.Context, dir string) (err error) {
	s, err := spool.Open(ctx, spool.Options{
		Dir: dir, ConnectorID: fixtureConnector, KeepRecords: 1000 * time.Hour,
		Now: func() time.Time { return fixtureTime }, Version: "test", MaxSize: 64 << 20, // the file grows in small steps
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.AdoptState(1, map[spool.Dataset]time.Time{spool.Alerts: fixtureTime.Add(-48 * time.Hour)}); err != nil {
		return err
	}
	_, err = s.Pause(fixtureTime, spool.StageDeliver)
	return errors.Join(err, doneRun(s), deliveringRun(s), fetchingRun(s))
}

func item(d spool.Dataset, id string) spool.TaskKey {
	return spool.TaskKey{Dataset: d, Kind: spool.TaskItem, Source: id}
}

// startRun starts a run of alerts whose items arrived as records, and returns their numbers.
func startRun(s *spool.Spool, day int, ids ...string) (spool.Run, []uint64, error) {
	from := fixtureTime.Add(time.Duration(day-3) * 24 * time.Hour)
	spec := spool.RunSpec{Reason: spool.ReasonSchedule, Start: from.Add(24 * time.Hour), Datasets: map[spool.Dataset]time.Time{spool.Alerts: from}}
	for _, id := range ids {
		spec.Tasks = append(spec.Tasks, spool.NewTask{TaskKey: item(spool.Alerts, id)})
	}
	run, err := s.StartRun(1, fixtureTime, spec)
	if err != nil {
		return run, nil, err
	}
	var out []spool.Outcome
	for _, id := range ids {
		out = append(out, spool.Outcome{
			Task: item(spool.Alerts, id), Run: run.ID, Count: map[string]int64{"fetch.listed": 1, "fetch.items": 1, "fetch.items_alerts": 1},
			Record: &spool.NewRecord{Dataset: spool.Alerts, Source: id, Fetched: fixtureTime,
				Body: fmt.Appendf(nil, `{"objects":[%s]}`, body(object("malware", day*100)))},
		})
	}
	if err := s.SettleTasks(1, fixtureTime, out); err != nil {
		return run, nil, err
	}
	recs, err := s.Records(run.ID, 0, 100, 1<<20)
	var seqs []uint64
	for _, r := range recs {
		seqs = append(seqs, r.Seq)
	}
	return run, seqs, err
}

func entry(run uint64, id string) spool.IDPut {
	return spool.IDPut{STIX: id, ID: spool.ID{
		Hash: [16]byte{1, 2, 3}, Modified: fixtureTime, Properties: 4, Kind: "malware", Run: run, At: fixtureTime,
	}}
}

func doneRun(s *spool.Spool) error {
	run, seqs, err := startRun(s, 1, "11", "12")
	if err != nil {
		return err
	}
	id := object("malware", 1)
	err = s.CommitMap(1, fixtureTime, spool.MapCommit{
		Run: run.ID, Records: seqs, IDs: []spool.IDPut{entry(run.ID, id), entry(run.ID, stix.NamedID("intrusion-set", "The named one"))},
		Items: []spool.Item{
			{Dataset: spool.Alerts, Source: "11", Run: run.ID, Objects: 1, At: fixtureTime},
			{Dataset: spool.Alerts, Source: "12", Run: run.ID, Objects: 1, At: fixtureTime},
		},
		Bundles: []spool.NewBundle{{Objects: []spool.BundleObject{{STIX: id, Dataset: spool.Alerts, Source: "11", JSON: body(id)}}}},
		Count:   map[string]int64{"map.records": 2, "map.published": 1},
	})
	work := spool.Work{Name: "ThreatMatch run 1", ID: "work_1", Status: "processed", Told: 1, Sent: 1}
	return errors.Join(err, s.FinishFetch(1, run.ID, fixtureTime), s.FinishMap(1, run.ID, fixtureTime),
		s.SaveCursor(1, run.ID, 1, 1), s.EndBundle(1, run.ID, 1, spool.Work{}, nil), s.SaveWork(1, run.ID, work), s.FinishRun(1, run.ID, fixtureTime))
}

// deliveringRun has a bundle with one of three messages confirmed, objects that
// are held, and dead letters of each stage.
func deliveringRun(s *spool.Spool) error {
	run, seqs, err := startRun(s, 2, "21", "22")
	if err != nil {
		return err
	}
	var b spool.NewBundle
	var ids []spool.IDPut
	for n := range 3 {
		id := object("malware", 20+n)
		b.Objects = append(b.Objects, spool.BundleObject{STIX: id, Deps: uint32(n), Dataset: spool.Alerts, Source: "21", JSON: body(id)})
		ids = append(ids, entry(run.ID, id))
	}
	held := spool.Object{STIX: object("relationship", 28), Watch: object("tool", 99), Dataset: spool.Alerts, Source: "22", JSON: body(object("relationship", 28))}
	// Published without its reference, and kept to be sent whole.
	again := spool.Object{STIX: b.Objects[0].STIX, Watch: object("tool", 97), Kept: true, Dataset: spool.Alerts, Source: "21", JSON: body(b.Objects[0].STIX)}
	dead := func(stage spool.Stage, class, source, id string, payload []byte) spool.DeadLetter {
		return spool.DeadLetter{
			Stage: stage, Class: class, Error: "it did not work: " + class, Attempts: 3, Run: run.ID, First: fixtureTime, Last: fixtureTime,
			Dataset: spool.Alerts, Source: source, STIX: id, Payload: payload,
		}
	}
	err = s.CommitMap(1, fixtureTime, spool.MapCommit{
		Run: run.ID, Records: seqs, Bundles: []spool.NewBundle{b}, IDs: ids, Hold: []spool.Object{held, again},
		Dead: []spool.DeadLetter{
			dead(spool.StageMap, "invalid", "22", object("malware", 29), body(object("malware", 29))),
			dead(spool.StageFetch, "refused", "23", "", []byte(`{"message":"Not found."}`)),
		},
		Count: map[string]int64{"map.records": 2, "map.published": 3, "map.held": 1, "map.dead": 1, "map.dead_invalid": 1},
	})
	work := spool.Work{Name: "ThreatMatch run 2", ID: "work_2", Status: "open", Told: 3, Sent: 1}
	return errors.Join(err, s.FinishFetch(1, run.ID, fixtureTime), s.FinishMap(1, run.ID, fixtureTime),
		s.SaveCursor(1, run.ID, 2, 1), s.SaveWork(1, run.ID, work))
}

// fetchingRun has an open task, a parked one, a record, and an object that waits.
func fetchingRun(s *spool.Spool) error {
	run, seqs, err := startRun(s, 3, "31", "32")
	if err != nil {
		return err
	}
	wait := spool.Object{STIX: object("relationship", 38), Watch: object("tool", 98), Dataset: spool.Alerts, Source: "31", JSON: body(object("relationship", 38))}
	err = s.CommitMap(1, fixtureTime, spool.MapCommit{Run: run.ID, Records: seqs[:1], Wait: []spool.Object{wait}, Count: map[string]int64{"map.records": 1, "map.waited": 1}})
	if err != nil {
		return err
	}
	next, err := s.StartRun(1, fixtureTime, spool.RunSpec{
		Reason: spool.ReasonRepull, Datasets: map[spool.Dataset]time.Time{spool.Alerts: fixtureTime},
		Tasks: []spool.NewTask{{TaskKey: item(spool.Alerts, "33")}, {TaskKey: item(spool.Alerts, "34")}},
	})
	if err != nil {
		return err
	}
	state := &spool.TaskState{Tries: 2, Refused: 2, Runs: 1, FirstTry: fixtureTime, LastTry: fixtureTime, LastClass: "refused",
		LastError: "item alerts/33: answered 404 not found", LastAnswer: []byte(`{"message":"Not found."}`)}
	return s.SettleTasks(1, fixtureTime, []spool.Outcome{{
		Task: item(spool.Alerts, "33"), Run: next.ID, Keep: state, Park: true, Count: map[string]int64{"fetch.parked": 1, "fetch.parked_alerts": 1},
	}})
}
