package main

import (
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
