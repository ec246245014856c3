package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report prints a line for each fault, the false incidents, and the totals.
func report(w io.Writer, results []result, wrong []incident) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "FAULT\tKIND\tSERVICE\tFOUND BY\tRANK\tDELAY\tALSO")
	for _, r := range results {
		by, rank, delay := "missed", "–", "–"
		if r.by != nil {
			by = r.by.RuleID
			rank = fmt.Sprintf("%d of %d", r.rank, len(r.by.services))
			delay = r.delay.Round(time.Second).String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n", r.At.Format(time.DateTime), r.Kind, r.Service, by, rank, delay, r.also)
	}
	t.Flush()
	for _, in := range wrong {
		fmt.Fprintf(w, "false: %s %s names %s\n", in.OpenedAt.Format(time.DateTime), in.RuleID, strings.Join(in.services, ", "))
	}
	fmt.Fprintln(w)
	var kinds []string
	for _, r := range results {
		if !slices.Contains(kinds, r.Kind) {
			kinds = append(kinds, r.Kind)
		}
	}
	slices.Sort(kinds)
	for _, k := range kinds {
		fmt.Fprintf(w, "%-16s %s\n", k, total(results, func(_ int, r result) bool { return r.Kind == k }))
	}
	// Rules that were made for one half of a day should find the other as well.
	fmt.Fprintf(w, "%-16s %s\n", "odd faults", total(results, func(i int, _ result) bool { return i%2 == 0 }))
	fmt.Fprintf(w, "%-16s %s\n", "even faults", total(results, func(i int, _ result) bool { return i%2 == 1 }))
	fmt.Fprintf(w, "%-16s %s, %d false incidents\n", "all", total(results, func(int, result) bool { return true }), len(wrong))
}

// total sums up some of the results.
func total(results []result, which func(i int, r result) bool) string {
	var delays []time.Duration
	n, first, third := 0, 0, 0
	for i, r := range results {
		if !which(i, r) {
			continue
		}
		n++
		if r.by == nil {
			continue
		}
		delays = append(delays, r.delay)
		if r.rank == 1 {
			first++
		}
		if r.rank <= 3 {
			third++
		}
	}
	s := fmt.Sprintf("%d of %d found, %d missed; ranked first %d, among the first three %d", len(delays), n, n-len(delays), first, third)
	if len(delays) > 0 {
		slices.Sort(delays)
		s += fmt.Sprintf("; delay median %v, worst %v", delays[len(delays)/2].Round(time.Second), delays[len(delays)-1].Round(time.Second))
	}
	return s
}
