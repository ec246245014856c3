package main

import (
	"corral/rules"
	"corral/rules/pack"
)

// packFiles are the rule files of the packs named, without the rules that have a
// namesake in overriding: a user's rule takes the place of the pack's.
func packFiles(names []string, overriding ...rules.File) ([]rules.File, error) {
	ids := pack.IDs(overriding)
	var files []rules.File
	for _, name := range names {
		more, err := pack.Files(name, ids)
		if err != nil {
			return nil, usageError("--pack: %w", err)
		}
		files = append(files, more...)
	}
	return files, nil
}
