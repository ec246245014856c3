package clickhouse

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"corral/internal/chconn"
)

const second = int64(time.Second)

// The bounds of a DateTime, in nanoseconds: functions of the time that are in
// keys are wrong outside.
const maxDateTime = math.MaxUint32 * second

// extremes are the bounds of what the time column can be compared with.
func (l *layout) extremes() (from, to int64) {
	switch {
	case strings.Contains(l.kind, "DateTime64"):
		return -2_208_988_800 * second, math.MaxInt64 // 1900
	case strings.Contains(l.kind, "DateTime"):
		return 0, maxDateTime
	}
	return 0, math.MaxInt64
}

// nanos is the time of a row as an Int64 of nanoseconds since the epoch.
func (l *layout) nanos() string {
	col := chconn.Quote(l.time)
	switch {
	case l.unit > 0:
		return fmt.Sprintf("toInt64(assumeNotNull(%s) * %d)", col, l.unit)
	case strings.Contains(l.kind, "String"):
		return "toUnixTimestamp64Nano(parseDateTime64BestEffortOrZero(ifNull(toString(" + col + "), ''), 9, 'UTC'))"
	}
	return "toUnixTimestamp64Nano(toDateTime64(assumeNotNull(" + col + "), 9, 'UTC'))"
}

// between is true of rows with from <= time < to, and lets the key prune.
func (l *layout) between(from, to int64) string {
	col := chconn.Quote(l.time)
	a, b := l.literal(from), l.literal(to)
	if a == "" {
		col, a, b = l.nanos(), fmt.Sprint(from), fmt.Sprint(to)
	}
	terms := []string{col + " >= " + a, col + " < " + b}
	if from >= 0 && to <= maxDateTime {
		for _, p := range l.prune {
			terms = append(terms, p.expr+" >= "+p.from(from), p.expr+" <= "+p.to(to))
		}
	}
	return strings.Join(terms, " AND ")
}

var scale = regexp.MustCompile(`DateTime64\((\d)`)

// literal is the first value of the time column that is not before ns, or "" if
// the column itself cannot be compared. It is of the column's own precision: a
// finer one would overflow on dates that are far off.
func (l *layout) literal(ns int64) string {
	if m := scale.FindStringSubmatch(l.kind); m != nil {
		switch m[1] {
		case "3":
			return fmt.Sprintf("fromUnixTimestamp64Milli(toInt64(%d))", ceilDiv(ns, 1_000_000))
		case "6":
			return fmt.Sprintf("fromUnixTimestamp64Micro(toInt64(%d))", ceilDiv(ns, 1000))
		}
		return fmt.Sprintf("fromUnixTimestamp64Nano(toInt64(%d))", ns)
	}
	switch {
	case strings.Contains(l.kind, "DateTime"):
		return fmt.Sprintf("toDateTime(%d)", min(ceilDiv(ns, second), math.MaxUint32))
	case strings.Contains(l.kind, "Int"):
		return fmt.Sprint(ceilDiv(ns, l.unit))
	}
	return ""
}

func ceilDiv(n, d int64) int64 {
	q := n / d
	if n%d > 0 {
		q++
	}
	return q
}

// text makes a String of a column that may be Nullable, or there not at all.
func text(column string) string {
	if column == "" {
		return "''"
	}
	return "ifNull(toString(" + chconn.Quote(column) + "), '')"
}

var integer = regexp.MustCompile(`^(LowCardinality\()?(Nullable\()?U?Int\d+`)

// json makes JSON of a column. Older servers put integers of 64 bits in quotes.
func (l *layout) json(column string) string {
	if integer.MatchString(l.types[column]) {
		return "ifNull(toString(" + chconn.Quote(column) + "), 'null')"
	}
	return "toJSONString(" + chconn.Quote(column) + ")"
}

// selected are the expressions of a row, in the order in which it is scanned.
func (l *layout) selected() []string {
	number := "toInt32(0)"
	if l.number != "" {
		number = "toInt32(ifNull(" + chconn.Quote(l.number) + ", 0))"
	}
	out := []string{l.nanos(), text(l.body), text(l.level), number, text(l.service), text(l.trace), text(l.span)}
	for _, c := range l.flat {
		out = append(out, l.json(c))
	}
	for _, n := range l.named {
		out = append(out, l.json(n.column))
	}
	return out
}

// statement reads rows of a window in an order that is the same each time: only
// rows that are equal in all that is read may change places.
func (l *layout) statement(table, where string, at cursor) string {
	columns := l.selected()
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = fmt.Sprintf("corral_%d", i)
		columns[i] += " AS " + names[i]
	}
	var order []string
	if l.first != "" {
		order = append(order, l.first) // follows from the time, and makes the server read in order
	}
	order = append(order, names[0])
	for _, t := range l.tie {
		order = append(order, chconn.Quote(t))
	}
	order = append(order, "cityHash64("+strings.Join(names[1:], ", ")+")")
	return fmt.Sprintf("SELECT %s FROM %s WHERE %s%s ORDER BY %s LIMIT %d OFFSET %d", strings.Join(columns, ", "),
		table, l.between(at.from, at.end()), and(where), strings.Join(order, ", "), at.rows+1, at.offset)
}

// extent asks for the number of rows and their first and last time.
func (l *layout) extent(table, where string, from, to int64) string {
	return fmt.Sprintf("SELECT count(), min(%s), max(%s) FROM %s WHERE %s%s", l.nanos(), l.nanos(), table, l.between(from, to), and(where))
}

func and(where string) string {
	if where == "" {
		return ""
	}
	return " AND (" + where + ")"
}

// findUnit guesses the unit of a time that is a number, by its size.
func (l *layout) findUnit(ctx context.Context, c clickhouse.Conn, table string) error {
	if strings.Contains(l.kind, "DateTime") || strings.Contains(l.kind, "String") {
		return nil
	}
	var largest float64
	if err := c.QueryRow(ctx, "SELECT toFloat64(ifNull(max("+chconn.Quote(l.time)+"), 0)) FROM "+table).Scan(&largest); err != nil {
		return err
	}
	l.unit = 1
	for _, u := range []struct {
		below float64
		unit  time.Duration
	}{{1e17, time.Microsecond}, {1e14, time.Millisecond}, {1e11, time.Second}} {
		if largest < u.below {
			l.unit = u.unit.Nanoseconds()
		}
	}
	return nil
}
