package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestREADME runs the commands of the README that need no server of the reader's
// as they stand there, in a folder that has what they name.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := `{"time":"2026-01-01T00:00:00Z","level":"ERROR","service":"checkout","msg":"failed","http":{"status":502}}` + "\n"
	put("app.log", log)
	var gz bytes.Buffer
	zip := gzip.NewWriter(&gz)
	_, _ = zip.Write([]byte(log))
	_ = zip.Close()
	put("logs/a.log.gz", gz.String())
	put("rules.example.yaml", string(exampleRules))
	_, rule, _ := strings.Cut(string(readme), "```yaml\n")
	rule, _, _ = strings.Cut(rule, "```")
	put("rules/checkout.yaml", rule)
	put("rules/checkout_test.yaml", "tests:\n  - name: one error is not a burst\n    events: [{at: 0s, event: {service: checkout, http: {status: 500}}}]\n    expect: []\n")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ran := map[string]bool{}
	for line := range strings.Lines(string(readme)) {
		command, _, _ := strings.Cut(line, "#")
		args := strings.Fields(strings.ReplaceAll(command, "'", ""))
		if len(args) < 2 || args[0] != "corral" || !strings.Contains(" check test parse batch ", " "+args[1]+" ") {
			continue
		}
		ran[args[1]] = true
		c := exec.CommandContext(t.Context(), path, args[1:]...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", strings.TrimSpace(command), err, out)
		}
	}
	if len(ran) != 4 {
		t.Errorf("the README shows %v of check, test, parse and batch", ran)
	}
}

// TestDemoOnce is what `make demo` runs: every fault really injected, the right
// incidents and no others, all of them in a real ClickHouse.
func TestDemoOnce(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), path, "demo", "--once", "--dir", t.TempDir())
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, fault := range []string{"slow-worker", "worker-gone", "poison", "slow-consumer", "wrong-credentials"} {
		if !strings.Contains(string(out), fault) {
			t.Errorf("no %s in\n%s", fault, out)
		}
	}
}
