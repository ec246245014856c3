package main

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/nats-io/nats.go"

	"corral/ingest/jetstream"
	"corral/internal/natssetup"
	"corral/rules"
	"corral/rules/pack"
)

// packFiles are the rule files of the packs named.
func packFiles(names []string) ([]rules.File, error) {
	var files []rules.File
	for _, name := range names {
		more, err := pack.Files(name)
		if err != nil {
			return nil, usageError("--pack: %w", err)
		}
		files = append(files, more...)
	}
	return files, nil
}

// packSources are what the packs read where no stream and no subject is named: as
// the user of the connection, and as a user of the system account if that is
// another. What one of them may not read the other often may.
func packSources(packs []string, nc, system *nats.Conn) ([]jetstream.CoreConfig, []*nats.Conn) {
	if !slices.Contains(packs, "nats") {
		return nil, nil
	}
	own := jetstream.CoreConfig{Subjects: natssetup.AccountSubjects(), Optional: true}
	if nc == system {
		own.Subjects = append(own.Subjects, natssetup.SystemSubjects()...)
		return []jetstream.CoreConfig{own}, []*nats.Conn{nc}
	}
	theirs := jetstream.CoreConfig{Subjects: append(natssetup.SystemSubjects(), "$JS.EVENT.>"), Optional: true, Name: "system:"}
	return []jetstream.CoreConfig{own, theirs}, []*nats.Conn{nc, system}
}

func cmdPacks(_ context.Context, args []string, e env) error {
	fs := newFlags("packs", "[PACK [RULE…]]", `Lists the packs of rules that come with corral, the rules of one, or prints rules as a file to change: a rule of yours with the same id takes the pack's place.

  corral packs nats                                                       the rules of a pack
  corral packs nats js-consumer-stalled-max-ack-pending > rules/stalled.yaml`)
	if done, err := parse(fs, args, e); done {
		return err
	}
	switch fs.NArg() {
	case 0:
		for _, name := range pack.Names() {
			fmt.Fprintln(e.out, name)
		}
		return nil
	case 1:
		return listPack(fs.Arg(0), e)
	}
	text, err := pack.Text(fs.Arg(0), fs.Args()[1:])
	if err != nil {
		return usageError("%w", err)
	}
	_, err = e.out.Write(text)
	return err
}

// listPack prints a line for each rule: what it does when it fires, and of what.
func listPack(name string, e env) error {
	files, err := pack.Files(name)
	if err != nil {
		return usageError("%w", err)
	}
	set, diags := rules.Parse(files)
	if set == nil {
		return infra(fmt.Errorf("pack %s does not load: %v", name, diags))
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tPAGES\tSEVERITY\tKIND\tTITLE")
	for _, r := range set.Rules {
		pages := "yes"
		if r.Signal {
			pages = "no"
		}
		worst := slices.MaxFunc(r.Severity, func(a, b rules.SeverityStep) int { return int(a.Is) - int(b.Is) }).Is
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.ID, pages, worst, r.Kind, r.Title.Text())
	}
	return w.Flush()
}
