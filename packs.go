package main

import "corral/rules"

func packFiles(names []string) ([]rules.File, error) {
	if len(names) > 0 {
		return nil, usageError("--pack %q: there is no such pack", names[0])
	}
	return nil, nil
}
