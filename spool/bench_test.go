package spool

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkSettleList makes tasks of a list of a hundred thousand entries in one transaction.
func BenchmarkSettleList(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s, err := Open(b.Context(), Options{Dir: fastDir(b), ConnectorID: "c", noReserve: true})
				if err != nil {
					b.Fatal(err)
				}
				run, err := s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}, Tasks: []NewTask{{TaskKey: list(Alerts)}}})
				if err != nil {
					b.Fatal(err)
				}
				o := Outcome{Task: list(Alerts), Run: run.ID}
				for i := range n {
					o.Add = append(o.Add, NewTask{TaskKey: item(Alerts, (i*7919)%n)})
				}
				b.StartTimer()
				if err := s.SettleTasks(1, t0, []Outcome{o}); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
