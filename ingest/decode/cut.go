package decode

import "bytes"

// SafeCut returns the length of the longest prefix of data at which a file reader
// may cut so that no event is split: the lines after it may go on, the event
// before it cannot. data begins at the beginning of an event. 0: there is no such
// place.
func SafeCut(data []byte) int {
	if csvQuoted(data) {
		return csvCut(data)
	}
	end := bytes.LastIndexByte(data, '\n') + 1
	for n := 0; end > 0; n++ {
		start := bytes.LastIndexByte(data[:end-1], '\n') + 1
		line := trimCR(data[start : end-1])
		if n > 0 && cutBefore(line) && !openParts(data[:start]) {
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

// openParts reports whether the last lines are parts of a longer one, as a
// container runtime cuts them.
func openParts(data []byte) bool {
	open := map[string]bool{}
	for n := 0; n < 8 && len(data) > 0; n++ {
		start := bytes.LastIndexByte(data[:len(data)-1], '\n') + 1
		p, ok := criLine(view(trimCR(data[start : len(data)-1])))
		if !ok {
			return false
		}
		if _, seen := open[p.stream]; !seen {
			open[p.stream] = !p.whole
		}
		data = data[:start]
	}
	return open["stdout"] || open["stderr"]
}

// csvQuoted reports whether data are rows with quoted cells: then newlines may be
// part of a cell.
func csvQuoted(data []byte) bool {
	if csvHeaderOf(data) != nil {
		return true
	}
	line, _, _ := bytes.Cut(data, []byte{'\n'})
	_, n := isoTime(view(line[:min(len(line), 64)]))
	return n > 0 && n < len(line) && line[n] == ',' && bytes.Contains(line, []byte(`,"`))
}

// csvCut returns where the last whole row ends.
func csvCut(data []byte) int {
	end := 0
	for at := 0; at < len(data); {
		n, _ := csvRow(data[at:])
		at += n
		if data[at-1] == '\n' {
			end = at
		}
	}
	return end
}
