package clickhouse

import (
	"fmt"
	"testing"

	"corral/correlate"
	"corral/internal/chserver/chtest"
	"corral/sinks/sinktest"
)

// BenchmarkWrite writes revisions with two lines of evidence each, so three
// inserts a Write and four rows a revision.
func BenchmarkWrite(b *testing.B) {
	server := chtest.Shared(b)
	for _, n := range []int{1, 100, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, err := Open(Options{DSN: chtest.DSN(server, chtest.Name())})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if err := s.Write(b.Context(), sinktest.Transitions(1)); err != nil {
				b.Fatal(err)
			}
			ts := sinktest.Transitions(n)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Write(b.Context(), ts); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "revisions/s")
		})
	}
}

// BenchmarkFreeze is the part of a Write that is not the driver's or the
// server's.
func BenchmarkFreeze(b *testing.B) {
	ts := sinktest.Transitions(1000)
	b.ReportAllocs()
	for b.Loop() {
		freeze(rowsOf(b, ts))
	}
}

func rowsOf(tb testing.TB, ts []*correlate.Transition) []admitted {
	out := make([]admitted, len(ts))
	for i, t := range ts {
		r, err := newRecord(t)
		if err != nil {
			tb.Fatal(err)
		}
		out[i] = admitted{t, r}
	}
	return out
}
