package main

import (
	"slices"

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
