package clickhouse

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"corral/internal/chserver/chtest"
	"corral/sinks/sinktest"
)

// TestDocs runs the queries of the documentation.
func TestDocs(t *testing.T) {
	doc, err := os.ReadFile("../../docs/clickhouse.md")
	if err != nil {
		t.Fatal(err)
	}
	server := chtest.Shared(t)
	db := chtest.Name()
	s := open(t, Options{DSN: chtest.DSN(server, db)})
	ts := sinktest.Transitions(14)
	if err := s.Write(t.Context(), ts); err != nil {
		t.Fatal(err)
	}
	c := chtest.Conn(t, server, db)
	queries := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	if len(queries) < 6 {
		t.Errorf("%d queries", len(queries))
	}
	for _, q := range queries {
		query := strings.ReplaceAll(q[1], "9f2c41d07ab3-0CK8M2J4V7A00", ts[0].IncidentID)
		query = strings.ReplaceAll(query, "now() - INTERVAL 7 DAY", "toDateTime(0)")
		n := chtest.One[uint64](t, c, "SELECT count() FROM ("+query+")")
		if isDiff := strings.Contains(query, "NOT IN"); n == 0 && !isDiff {
			t.Errorf("no rows of\n%s", query)
		}
	}
}
