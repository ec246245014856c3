package main

import (
	"os"
	"strings"
	"testing"
)

// TestHistoryCommands: every console command of docs/history.md is in the script
// that runs it.
func TestHistoryCommands(t *testing.T) {
	page, err := os.ReadFile("docs/history.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/script/history-docs.txtar")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, block := range strings.Split(string(page), "```console\n") {
		if i == 0 {
			continue
		}
		block, _, _ = strings.Cut(block, "```")
		for line := range strings.Lines(block) {
			n++
			if !strings.Contains(string(script), "exec "+line) {
				t.Errorf("no test runs %s", line)
			}
		}
	}
	if n < 7 {
		t.Errorf("only %d commands in docs/history.md", n)
	}
}
