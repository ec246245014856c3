package decode

import (
	"bytes"
	"strings"

	"corral/event"
)

// csvTable is what a header line says about the columns.
type csvTable struct {
	head    string
	sep     string // between cells
	columns []csvColumn
	mapped  bool // a column that is none of the envelope's fills a named field
}

// csvColumn is a column and what its cells are.
type csvColumn struct {
	name   string
	role   role
	target target
}

type role uint8

const (
	roleAttr role = iota
	roleTime
	roleNanos
	roleLog
	roleHost
	roleInstance
	roleContainer
	roleService
	roleTrace
	roleSpan
	roleLevel
)

// csvRoles finds a column's role by its canonical name.
var csvRoles = map[string]role{
	"timestamp": roleTime, "@timestamp": roleTime, "time": roleTime, "ts": roleTime, "datetime": roleTime, "date": roleTime,
	"timeunixnano": roleNanos, "log": roleLog, "message": roleLog, "body": roleLog, "line": roleLog, "content": roleLog, "msg": roleLog,
	"node": roleHost, "host": roleHost, "hostname": roleHost, "podname": roleInstance, "pod": roleInstance, "instance": roleInstance,
	"container": roleContainer, "containername": roleContainer, "service": roleService, "servicename": roleService, "app": roleService,
	"traceid": roleTrace, "spanid": roleSpan, "level": roleLevel, "severity": roleLevel, "severitytext": roleLevel,
}

// HeaderLine reports whether the first line of a file names columns, so that it
// must go with every further piece of the file (ingest.Record.Header).
func HeaderLine(line []byte) bool { return csvHeaderOf(line) != nil }

// csvSeparators are what may stand between cells.
var csvSeparators = [...]string{",", ";", "\t", "|"}

// csvHeaderOf reads a header line: names of columns, a time and a text among them.
func csvHeaderOf(data []byte) *csvTable {
	line, _, _ := bytes.Cut(data, []byte{'\n'})
	line = bytes.TrimPrefix(trimCR(line), []byte("\ufeff"))
	if len(line) > 4096 || len(line) == 0 || line[0] == '{' || bytes.ContainsAny(line, "={}") {
		return nil
	}
	for _, sep := range csvSeparators {
		if t := csvColumns(view(line), sep); t != nil {
			return t
		}
	}
	return nil
}

// csvColumns reads a header whose names stand between sep, nil if it is none.
func csvColumns(line, sep string) *csvTable {
	if strings.Count(line, sep) < 1 {
		return nil
	}
	t := &csvTable{head: strings.Clone(line), sep: sep}
	var has [roleLevel + 1]bool
	for _, name := range strings.Split(t.head, sep) {
		name = strings.Trim(name, `" `)
		r := csvRoles[canonical(name)]
		if has[r] {
			r = roleAttr // of two columns of a kind the first counts
		}
		has[r] = true
		t.columns = append(t.columns, csvColumn{name: name, role: r})
	}
	if !has[roleLog] || !has[roleTime] && !has[roleNanos] {
		return nil
	}
	return t
}

// csvHeader returns the columns of a Lines record, nil if it is no CSV.
func (d *Decoder) csvHeader(data []byte) *csvTable {
	head := d.rec.Header
	if head == nil && d.rec.Seq <= 1 {
		head, _, _ = bytes.Cut(data, []byte{'\n'})
	}
	if len(head) == 0 {
		return nil
	}
	head = trimCR(head)
	if d.csv != nil && d.csv.head == string(bytes.TrimPrefix(head, []byte("\ufeff"))) {
		return d.csv
	}
	if t := csvHeaderOf(head); t != nil {
		d.csv = t
		d.csvTargets(t)
		return t
	}
	return nil
}

// csvTargets looks up which named fields the columns fill that are none of the
// envelope's.
func (d *Decoder) csvTargets(t *csvTable) {
	for i := range t.columns {
		if c := &t.columns[i]; c.role == roleAttr {
			c.target = d.m.target(c.name)
			t.mapped = t.mapped || c.target.field != noField
		}
	}
}

// csvLines decodes the rows of a CSV.
func (d *Decoder) csvLines(data []byte, t *csvTable, env *envelope) {
	for len(data) > 0 {
		n, lines := csvRow(data)
		row := trimCR(bytes.TrimSuffix(data[:n], []byte{'\n'}))
		if len(row) > 0 && string(bytes.TrimPrefix(row, []byte("\ufeff"))) != t.head {
			d.csvEvent(view(row), t, env)
		}
		data = data[n:]
		d.line += uint64(lines)
		if d.rec.Lines {
			d.sub = 0
			d.m.arena.reset()
		}
	}
}

// csvRow returns the length of the first row of data, its newline included, and
// how many lines it has: quoted cells may go over several.
func csvRow(data []byte) (n, lines int) {
	quoted := false
	for i, c := range data {
		switch c {
		case '"':
			quoted = !quoted
		case '\n':
			lines++
			if !quoted {
				return i + 1, lines
			}
			if i > maxLine {
				return bytes.IndexByte(data, '\n') + 1, 1 // a quote that is not CSV's
			}
		}
	}
	if quoted {
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			return i + 1, 1
		}
	}
	return len(data), lines + 1
}

// csvEvent decodes a row: its log cell, in the envelope of the others.
func (d *Decoder) csvEvent(row string, t *csvTable, env *envelope) {
	in := *env
	in.depth++
	var log string
	if t.mapped {
		d.start()
	}
	for i := range t.columns {
		var c string
		c, row = d.csvCell(row, t.sep)
		d.csvRole(&in, &t.columns[i], c, &log)
	}
	if t.mapped {
		in.given = new(event.Event)
		d.m.fill(in.given)
	}
	d.csvLog(strings.TrimRight(log, "\r\n"), &in)
}

// csvLog decodes the log cell, which may be a line of a container runtime.
func (d *Decoder) csvLog(log string, env *envelope) {
	if c, ok := criLine(log); ok {
		env.stream, env.time = c.stream, d.instant(c.time, env.time)
		log = c.text
	}
	d.inner(log, env)
}

func (d *Decoder) csvRole(in *envelope, col *csvColumn, c string, log *string) {
	if c == "" {
		return
	}
	switch col.role {
	case roleTime:
		if in.time == 0 || !d.believable(in.time) {
			in.time = d.anyInstant(c, in.time)
		}
	case roleNanos:
		if ns, ok := epoch(c); ok && in.time == 0 && d.believable(ns) {
			in.time = ns
		}
	case roleLog:
		*log = c
	case roleHost:
		in.host = c
	case roleInstance:
		in.instance = c
	case roleContainer:
		if !genericContainer(c) && in.service == "" {
			in.service = c
		}
	case roleService:
		in.service = c
	case roleTrace:
		in.trace = d.m.traceID(c)
	case roleSpan:
		in.span = d.m.hexID(c, 16)
	case roleLevel:
		in.level, _ = levelWord(c)
	default:
		if in.attrs == nil {
			in.attrs = map[string]any{}
		}
		v := bareValue(c)
		in.attrs[strings.Clone(col.name)] = attrValue(v)
		if v.off = d.m.nextOff(); col.target.field != noField {
			d.m.put(&col.target, v)
		}
	}
}

// anyInstant reads an envelope's time, which may lack a zone.
func (d *Decoder) anyInstant(s string, otherwise int64) int64 {
	if st, ok := d.m.zones.parse(s); ok && st.quality <= event.TimeNoZone {
		return st.ns
	}
	return otherwise
}

// csvCell takes the first cell off a row.
func (d *Decoder) csvCell(row, sep string) (c, rest string) {
	if !strings.HasPrefix(row, `"`) {
		c, rest, _ = strings.Cut(row, sep)
		return c, rest
	}
	doubled := false
	for i := 1; i < len(row); i++ {
		if row[i] != '"' {
			continue
		}
		if i+1 < len(row) && row[i+1] == '"' {
			doubled = true
			i++
			continue
		}
		c, rest = row[1:i], strings.TrimPrefix(row[i+1:], sep)
		if doubled {
			c = d.m.arena.undouble(c)
		}
		return c, rest
	}
	return row[1:], ""
}

// undouble makes one quote of two.
func (a *arena) undouble(s string) string {
	a.room(len(s))
	start := len(a.b)
	for i := 0; i < len(s); i++ {
		a.b = append(a.b, s[i])
		if s[i] == '"' && i+1 < len(s) && s[i+1] == '"' {
			i++
		}
	}
	return a.since(start)
}
