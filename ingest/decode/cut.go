package decode

import (
	"bytes"
	"strings"
	"sync"

	"corral/ingest"
)

// SafeCut returns the length of the longest prefix of data at which a file reader
// may cut so that no event is split: the lines after it may go on, the event
// before it cannot. data begins at the beginning of an event. 0: there is no such
// place.
func SafeCut(data []byte) int {
	if csvQuoted(data) {
		return csvCut(data)
	}
	if journalHead(data) {
		return journalCut(data)
	}
	end := bytes.LastIndexByte(data, '\n') + 1
	for n := 0; end > 0; n++ {
		start := bytes.LastIndexByte(data[:end-1], '\n') + 1
		line := trimCR(data[start : end-1])
		if wrappedLine(line) {
			return wrappedCut(data[:end])
		}
		switch {
		case n == 0 && wholeObject(line):
			return end // nothing goes on after an object
		case cutBefore(line):
			return start
		}
		end = start
	}
	return 0
}

// cutBefore reports whether a line cannot belong to the event before it.
func cutBefore(line []byte) bool {
	s := view(line)
	return len(s) > 0 && startsEvent(s) && !looksContinued(s)
}

func wholeObject(line []byte) bool {
	end, k := endValue(line, 0, 0)
	return end == len(line) && k == kObject
}

// wrappedLine reports whether a container runtime wrote the line: then lines of
// several streams are mixed, and each may go on.
func wrappedLine(line []byte) bool {
	if _, ok := criLine(view(line)); ok {
		return true
	}
	return bytes.HasPrefix(line, []byte(`{"log":`)) && bytes.Contains(line, []byte(`"stream":`))
}

// spans are where events begin and end, by line.
type spans struct {
	list  []span
	known map[string]bool // streams of which the beginning of an event was seen
	from0 bool            // the first line is known to begin an event
}

type span struct{ first, last uint64 }

// add notes an event; it reports false to a nil receiver, which wants none.
func (s *spans) add(first, last uint64, stream string) bool {
	if s == nil {
		return false
	}
	if !s.known[stream] && !s.from0 {
		first = 0 // it may have begun before
	}
	s.list = append(s.list, span{first, last})
	return true
}

// openAt lets the events that are open at the end of the data, before line end,
// go on beyond it.
func (s *spans) openAt(end uint64, g *groups) {
	if s == nil {
		return
	}
	for _, x := range g.list {
		x.last = end
	}
}

// starts notes that a line certainly begins an event of its stream.
func (s *spans) starts(stream, line string) {
	if s != nil && line != "" && startsEvent(line) && !looksContinued(line) {
		s.known[stream] = true
	}
}

var cutters = sync.Pool{New: func() any { return New(Options{}) }}

// cutWindow is how much of the end of data is looked at first.
const cutWindow = 64 << 10

// wrappedCut finds the last line before which no stream has an event that goes
// on after it. It decodes lines without making events of them, from the end of
// data on, further and further back.
func wrappedCut(data []byte) int {
	d := cutters.Get().(*Decoder)
	defer cutters.Put(d)
	for window := cutWindow; ; window *= 4 {
		from := 0
		if window < len(data) {
			from = bytes.IndexByte(data[len(data)-window:], '\n') + 1 + len(data) - window
		}
		line := d.lastGap(data[from:], from == 0)
		if line > 0 {
			return from + lineOffset(data[from:], line)
		}
		if from == 0 {
			return 0
		}
	}
}

// lastGap returns the last line of data, counted from 0, that no event goes on
// into, 0 if there is none. The events that are open at the end go on.
func (d *Decoder) lastGap(data []byte, from0 bool) int {
	d.spans = &spans{known: map[string]bool{}, from0: from0}
	d.begin(ingest.Record{Data: data, Lines: true}, nil, nil)
	d.lines(data)
	gap := d.spans.lastGap(d.line)
	d.spans = nil
	return gap
}

// lastGap moves back from the end to the beginning of each event that goes on
// past the place, until none does.
func (s *spans) lastGap(end uint64) int {
	gap := end
	for moved := true; moved; {
		moved = false
		for _, x := range s.list {
			if x.first < gap && x.last >= gap {
				gap, moved = x.first, true
			}
		}
	}
	return int(gap)
}

// csvQuoted reports whether data are rows with quoted cells: then newlines may be
// part of a cell.
func csvQuoted(data []byte) bool {
	if csvHeaderOf(data) != nil {
		return true
	}
	line, _, _ := bytes.Cut(data, []byte{'\n'})
	_, n := isoTime(view(line[:min(len(line), 64)]))
	return n > 0 && n < len(line) && strings.IndexByte(",;\t|", line[n]) >= 0 && bytes.Contains(line, []byte{line[n], '"'})
}

// csvCut returns where the last whole row ends. Of a later piece, whose header is not
// in it, it is not certain that it is a CSV's: there it is where the last row begins,
// which is the beginning of an event also if it is none.
func csvCut(data []byte) int {
	named := csvHeaderOf(data) != nil
	end := 0
	for at := 0; at < len(data); {
		n, _ := csvRow(data[at:])
		if _, dated := isoTime(view(data[at : at+min(n, 64)])); !named && at > 0 && dated > 0 {
			end = at
		}
		at += n
		if named && data[at-1] == '\n' {
			end = at
		}
	}
	return end
}
