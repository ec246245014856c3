package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"corral/internal/chconn"
)

// layout says what is in a table's columns, whatever made the table.
type layout struct {
	generation string // for people: "OpenTelemetry (five-minute key)"

	time string // column
	kind string // its type
	unit int64  // nanoseconds in one of it if it is a number, else 0

	body, level, number, service, trace, span string   // columns; "" none
	named                                     []named  // further columns that get a name of their own
	flat                                      []string // maps and JSON whose keys become fields
	tie                                       []string // put rows of one instant in order, before a hash of all
	types                                     map[string]string

	prune []prune // what else has to be bounded for the key to be of use
	first string  // an expression of the time that the table is sorted by first, or ""
}

// named is a column that becomes a field.
type named struct{ field, column string }

// prune is an expression of the table's key that follows from the time, and so
// has bounds where the time, in nanoseconds, has.
type prune struct {
	expr     string
	from, to func(ns int64) string
}

type column struct{ name, typ string }

// inspect asks for a table's columns and key, and finds out what is in them. The
// right to SELECT from the table is enough for it.
func inspect(ctx context.Context, c clickhouse.Conn, database, table string, mapping map[string]string) (*layout, error) {
	columns, err := describe(ctx, c, database, table)
	if err != nil {
		return nil, err
	}
	l, err := recognise(columns, mapping)
	if err != nil {
		return nil, fmt.Errorf("table %s.%s: %w", database, table, err)
	}
	// A view, or a table of another server, has no key to look up: every row of
	// the range is read then, and the result is the same.
	var key string
	err = c.QueryRow(ctx, "SELECT sorting_key FROM system.tables WHERE database = ? AND name = ?", database, table).Scan(&key)
	if err == nil {
		l.pruneBy(key)
	}
	return l, nil
}

func describe(ctx context.Context, c clickhouse.Conn, database, table string) ([]column, error) {
	rows, err := c.Query(ctx, "DESCRIBE TABLE "+chconn.Quote(database)+"."+chconn.Quote(table))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []column
	for rows.Next() {
		var col column
		var kind, skip string
		rest := make([]any, len(rows.Columns())-3)
		for i := range rest {
			rest[i] = &skip
		}
		if err := rows.Scan(append([]any{&col.name, &col.typ, &kind}, rest...)...); err != nil {
			return nil, err
		}
		if kind != "ALIAS" && kind != "EPHEMERAL" {
			out = append(out, col)
		}
	}
	return out, rows.Err()
}

// columnKeys are what a mapping may say.
var columnKeys = []string{"time", "body", "level", "severity_number", "service", "trace_id", "span_id", "attrs"}

// recognise finds out what a table is by its columns. The mapping overrides it.
func recognise(columns []column, mapping map[string]string) (*layout, error) {
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return typeOf(columns, n) == "" })
	}
	var l *layout
	switch {
	case has("Timestamp", "Body", "ResourceAttributes", "LogAttributes"):
		l = otel(columns)
	case has("timestamp", "ts_bucket_start", "body", "severity_text"):
		l = signoz(columns)
	default:
		l = anyTable(columns, mapping["time"])
	}
	if err := l.override(columns, mapping); err != nil {
		return nil, err
	}
	if l.time == "" {
		return nil, fmt.Errorf("no column is known to be the time: say which with time=COLUMN; there are %s", names(columns))
	}
	l.kind = typeOf(columns, l.time)
	l.types = map[string]string{}
	for _, c := range columns {
		l.types[c.name] = c.typ
	}
	return l, nil
}

func typeOf(columns []column, name string) string {
	for _, c := range columns {
		if c.name == name {
			return c.typ
		}
	}
	return ""
}

func names(columns []column) string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.name
	}
	return strings.Join(out, ", ")
}

// otel is the table of OpenTelemetry's exporter in all its generations, and
// ClickStack's.
func otel(columns []column) *layout {
	l := &layout{generation: "OpenTelemetry", time: "Timestamp", body: "Body"}
	for _, c := range columns {
		switch c.name {
		case "SeverityText":
			l.level = c.name
		case "SeverityNumber":
			l.number = c.name
		case "ServiceName":
			l.service = c.name
		case "TraceId":
			l.trace = c.name
		case "SpanId":
			l.span = c.name
		case "ScopeName":
			l.named = append(l.named, named{"scope.name", c.name})
		case "EventName":
			l.named = append(l.named, named{"event.name", c.name})
		case "ResourceAttributes", "ScopeAttributes", "LogAttributes":
			l.flat = append(l.flat, c.name)
		}
		if strings.HasPrefix(c.name, "__hdx_") {
			l.generation = "ClickStack"
		}
	}
	l.tie = present(l.trace, l.span)
	if strings.HasPrefix(typeOf(columns, "LogAttributes"), "JSON") {
		l.generation += ", JSON attributes"
	}
	return l
}

// signoz is SigNoz's logs_v2.
func signoz(columns []column) *layout {
	l := &layout{generation: "SigNoz", time: "timestamp", body: "body", level: "severity_text"}
	for _, c := range columns {
		switch c.name {
		case "severity_number":
			l.number = c.name
		case "trace_id":
			l.trace = c.name
		case "span_id":
			l.span = c.name
		case "id":
			l.tie = append(l.tie, c.name)
		case "scope_name":
			l.named = append(l.named, named{"scope.name", c.name})
		case "resources_string", "resource", "scope_string", "attributes_string", "attributes_number", "attributes_bool":
			l.flat = append(l.flat, c.name)
		}
	}
	return l
}

// timeNames are what a time column of any other table is called, best first.
var timeNames = []string{
	"timestamp", "@timestamp", "_timestamp", "ts", "time", "event_time", "eventtime", "datetime", "date_time",
	"log_time", "logged_at", "created_at", "created", "observed_timestamp",
}

// anyTable takes every column for a field of that name: what they mean is for
// package decode.
func anyTable(columns []column, timeColumn string) *layout {
	l := &layout{generation: "table", time: timeColumn}
	if l.time == "" {
		l.time = findTime(columns)
	}
	for _, c := range columns {
		if c.name != l.time {
			l.named = append(l.named, named{c.name, c.name})
		}
	}
	return l
}

func findTime(columns []column) string {
	for _, name := range timeNames {
		for _, c := range columns {
			if strings.EqualFold(c.name, name) && isTime(c.typ) {
				return c.name
			}
		}
	}
	var dates []string
	for _, c := range columns {
		if isTime(c.typ) && strings.Contains(c.typ, "DateTime") {
			dates = append(dates, c.name)
		}
	}
	if len(dates) == 1 {
		return dates[0]
	}
	return ""
}

var timeType = regexp.MustCompile(`^(Nullable\(|LowCardinality\()*(DateTime|DateTime64|U?Int(32|64)|Float64|String)\b`)

func isTime(typ string) bool { return timeType.MatchString(typ) }

func present(columns ...string) (out []string) {
	for _, c := range columns {
		if c != "" {
			out = append(out, c)
		}
	}
	return out
}

// override applies the user's mapping.
func (l *layout) override(columns []column, mapping map[string]string) error {
	var errs []error
	for key, value := range mapping {
		if !slices.Contains(columnKeys, key) {
			errs = append(errs, fmt.Errorf("unknown field %q of a column mapping: %s", key, strings.Join(columnKeys, ", ")))
			continue
		}
		for name := range strings.SplitSeq(value, ",") {
			if typeOf(columns, name) == "" {
				errs = append(errs, fmt.Errorf("no column %q for %s; there are %s", name, key, names(columns)))
			}
		}
		l.set(key, value)
	}
	if t := mapping["time"]; t != "" && len(errs) == 0 && !isTime(typeOf(columns, t)) {
		errs = append(errs, fmt.Errorf("column %q cannot be a time: it is %s", t, typeOf(columns, t)))
	}
	return errors.Join(errs...)
}

func (l *layout) set(key, value string) {
	switch key {
	case "time":
		l.time = value
	case "body":
		l.body = value
	case "level":
		l.level = value
	case "severity_number":
		l.number = value
	case "service":
		l.service = value
	case "trace_id":
		l.trace = value
	case "span_id":
		l.span = value
	case "attrs":
		l.flat = strings.Split(value, ",")
	}
	for name := range strings.SplitSeq(value, ",") { // it is no field of its own any more
		l.named = slices.DeleteFunc(l.named, func(n named) bool { return n.column == name })
	}
}

// monotonic are functions of a column by which tables are sorted.
var monotonic = regexp.MustCompile(`^(toStartOf\w+|toDate|toDate32|toDateTime|toUnixTimestamp|toYYYYMM|toYYYYMMDD|toMonday)\((\w+)((?:, (?:[^()]+|toInterval\w+\(\d+\)))*)\)$`)

// pruneBy adds bounds on what the table is sorted by, where it follows from the
// time: with bounds on the time alone every granule is read then.
func (l *layout) pruneBy(key string) {
	if l.types["TimestampTime"] != "" && l.time == "Timestamp" {
		l.generation += " (TimestampTime)"
		seconds := func(ns int64) string { return fmt.Sprintf("toDateTime(%d)", ns/second) }
		l.prune = append(l.prune, prune{"TimestampTime", seconds, seconds})
	}
	if l.types["ts_bucket_start"] != "" && l.time == "timestamp" {
		const bucket = 1800 // it is the start of the half hour, in seconds
		l.prune = append(l.prune, prune{
			"ts_bucket_start",
			func(ns int64) string { return fmt.Sprint(max(0, ns/second-bucket)) },
			func(ns int64) string { return fmt.Sprint(ns / second) },
		})
	}
	for i, part := range splitKey(key) {
		m := monotonic.FindStringSubmatch(part)
		if m == nil || m[2] != l.time || !strings.Contains(l.kind, "DateTime") {
			continue
		}
		// The bound is made of the column's own type: days begin in its zone.
		bound := func(ns int64) string {
			return fmt.Sprintf("%s(CAST(fromUnixTimestamp64Nano(toInt64(%d)), %s)%s)", m[1], ns, chconn.Text(l.kind), m[3])
		}
		l.prune = append(l.prune, prune{part, bound, bound})
		if i == 0 {
			l.first = part
		}
		if part == "toStartOfFiveMinutes(Timestamp)" {
			l.generation += " (five-minute key)"
		}
	}
}

// splitKey splits at the commas that are in no parentheses.
func splitKey(key string) (parts []string) {
	depth, begin := 0, 0
	for i, r := range key {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case r == ',' && depth == 0:
			parts = append(parts, strings.TrimSpace(key[begin:i]))
			begin = i + 1
		}
	}
	return append(parts, strings.TrimSpace(key[begin:]))
}
