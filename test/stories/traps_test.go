package stories

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// elsewhere are the traps that are no timeline of rules: they are about files,
// reloads, batches and servers, and tested where those are.
var elsewhere = map[int][][2]string{
	12: {{"correlate/traps_test.go", "TestStorm"}},
	16: {{"reload/reload_test.go", "TestABrokenFileKeepsItsRules"}, {"worker_safety_test.go", "TestStaleRulesAreAnIncident"}},
	19: {{"batch_test.go", "TestHistoryIsTheSameFromEverywhere"}, {"pipeline/pipeline_test.go", "TestStreamEqualsBatch"}},
	22: {{"resume_test.go", "TestBatchIntoClickHouse"}},
}

// TestEveryTrapIsThere: each of the 22 traps that others fell into has a story of
// its number, a script, or a test elsewhere that is still there.
func TestEveryTrapIsThere(t *testing.T) {
	for n := 1; n <= 22; n++ {
		found := 0
		for _, dir := range []string{"testdata/stories/traps", "testdata/script"} {
			names, err := filepath.Glob(filepath.Join("../..", dir, fmt.Sprintf("trap-%02d-*", n)))
			if err != nil {
				t.Fatal(err)
			}
			found += len(names)
		}
		for _, place := range elsewhere[n] {
			source, err := os.ReadFile(filepath.Join("../..", place[0]))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(source), "func "+place[1]+"(") {
				t.Errorf("trap %d: there is no %s in %s any more", n, place[1], place[0])
			}
			found++
		}
		if found == 0 {
			t.Errorf("trap %d is in no story", n)
		}
	}
}
