package main

import (
	"cmp"
	"slices"
	"time"

	"corral/correlate"
)

// A fault shows from a while before its label on, since labels are that far off,
// until its recording ends.
const (
	early = 90 * time.Second
	late  = 3 * time.Minute
)

// incident is one that people were to hear of, as it was told last, with the
// services it names, what it suspects first first.
type incident struct {
	correlate.Transition
	services []string
}

// incidents picks them out of a run's transitions.
func incidents(all []correlate.Transition, signal func(rule string) bool) []incident {
	last := make(map[string]correlate.Transition)
	for _, t := range all {
		last[t.IncidentID] = t
	}
	var list []incident
	for _, t := range last {
		if !signal(t.RuleID) {
			list = append(list, incident{t, named(t, last)})
		}
	}
	slices.SortFunc(list, func(a, b incident) int {
		return cmp.Or(a.OpenedAt.Compare(b.OpenedAt), cmp.Compare(a.IncidentID, b.IncidentID))
	})
	return list
}

// named are the services an incident names: those of its suspects, its key and its
// labels, and of its evidence the most frequent first.
func named(t correlate.Transition, all map[string]correlate.Transition) []string {
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, s := range t.Suspects {
		child := all[s.IncidentID]
		add(cmp.Or(child.Key["service"], child.Labels["service.name"]))
	}
	add(t.Key["service"])
	add(t.Labels["service.name"])
	counts := make(map[string]int)
	for _, e := range t.Evidence {
		counts[e.Service]++
	}
	for _, e := range slices.SortedStableFunc(slices.Values(t.Evidence), func(a, b correlate.Evidence) int {
		return cmp.Compare(counts[b.Service], counts[a.Service])
	}) {
		add(e.Service)
	}
	return names
}

// result is what became of one fault.
type result struct {
	fault
	by    *incident // nil: missed
	rank  int       // of the service among those the incident names, from 1
	delay time.Duration
	also  int // further incidents that name it
}

// score matches incidents with faults. The first incident that opens while a fault
// shows and names its service finds it; what names the service of no fault that
// shows is false.
func score(faults []fault, found []incident) (results []result, wrong []incident) {
	right := make(map[string]bool)
	for i, f := range faults {
		r := result{fault: f}
		end := f.At.Add(late)
		if i+1 < len(faults) {
			end = earliest(end, faults[i+1].At.Add(-early))
		}
		for k := range found {
			in := &found[k]
			rank := slices.Index(in.services, f.Service) + 1
			if rank == 0 || in.OpenedAt.Before(f.At.Add(-early)) || in.OpenedAt.After(end) {
				continue
			}
			right[in.IncidentID] = true
			if r.by != nil {
				r.also++
				continue
			}
			r.by, r.rank, r.delay = in, rank, in.OpenedAt.Sub(f.Onset)
		}
		results = append(results, r)
	}
	for _, in := range found {
		if !right[in.IncidentID] {
			wrong = append(wrong, in)
		}
	}
	return results, wrong
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
