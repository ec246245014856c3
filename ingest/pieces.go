package ingest

import (
	"bytes"
	"fmt"
	"io"
)

const (
	pieceSize = 256 << 10 // what is handed over at once, if it can be cut there
	maxPiece  = 8 << 20   // what is held in search of a place to cut
)

// pieces cuts a stream of lines into runs of whole records.
type pieces struct {
	r     io.Reader
	cut   func(data []byte) int // length of the longest prefix of whole records, 0 if none
	size  int                   // of a usual piece
	max   int                   // of any piece
	eager bool                  // hand over what one read gave: the stream may be live

	rest    []byte // read, not handed over; begins at a record
	lines   uint64 // handed over
	offset  int64  // bytes of them, and of what was thrown away
	inLine  bool   // the stream is inside a line whose rest is thrown away
	err     error  // what ended the stream
	dropped int64  // bytes of the line being thrown away
	long    []error
}

// next returns the next piece and the number of its first line. The error that
// ended the stream comes after the last piece.
func (p *pieces) next() ([]byte, uint64, error) {
	if p.inLine {
		p.skipLine()
	}
	buf := p.begin()
	for p.err == nil {
		buf = p.fill(buf)
		if p.err != nil {
			break
		}
		if n := p.cut(buf); n > 0 {
			return p.handOver(buf, n)
		}
		if len(buf) >= p.max {
			return p.force(buf)
		}
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, min(2*cap(buf), p.max)), buf...)
		}
	}
	if len(buf) == 0 {
		return nil, 0, p.err
	}
	return p.handOver(buf, len(buf))
}

// begin returns a buffer that starts with rest: the one that rest is in, if there is
// room behind it. A pipe gives little at a time, and a buffer for each read would be
// many times what was read.
func (p *pieces) begin() []byte {
	buf := p.rest
	p.rest = nil
	if cap(buf)-len(buf) >= p.size/4 {
		return buf
	}
	return append(make([]byte, 0, min(p.max, max(p.size, len(buf)+p.size/2))), buf...)
}

// fill reads until buf is full, or once if the stream may be live.
func (p *pieces) fill(buf []byte) []byte {
	for len(buf) < cap(buf) && p.err == nil {
		var n int
		n, p.err = p.r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if p.eager && n > 0 {
			break
		}
	}
	return buf
}

// handOver returns the first n bytes and keeps the others for later. Nothing is
// written any more where these stand.
func (p *pieces) handOver(buf []byte, n int) ([]byte, uint64, error) {
	p.rest = buf[n:]
	first := p.lines + 1
	p.lines += uint64(bytes.Count(buf[:n], newline))
	p.offset += int64(n)
	return buf[:n:n], first, nil
}

// force cuts a piece that has grown too large: after its last line, else inside
// its only one, whose rest is thrown away and reported.
func (p *pieces) force(buf []byte) ([]byte, uint64, error) {
	if n := bytes.LastIndexByte(buf, '\n') + 1; n > 0 {
		return p.handOver(buf, n)
	}
	p.inLine = true
	p.lines++
	p.offset += int64(len(buf))
	return buf, p.lines, nil
}

// skipLine throws away the rest of a line that is too long.
func (p *pieces) skipLine() {
	buf := make([]byte, min(64<<10, p.max))
	p.dropped = 0
	for p.inLine && p.err == nil {
		var n int
		n, p.err = p.r.Read(buf)
		end := bytes.IndexByte(buf[:n], '\n') + 1
		if end == 0 {
			p.dropped += int64(n)
			continue
		}
		p.dropped += int64(end)
		p.rest = bytes.Clone(buf[end:n])
		p.inLine = false
	}
	p.inLine = false
	p.offset += p.dropped
	p.long = append(p.long, fmt.Errorf("line %d is longer than %d bytes: %d bytes of it were left out", p.lines, p.max, p.dropped))
}

var newline = []byte{'\n'}

// lastLine is the cut of a stream in which every line is a record.
func lastLine(data []byte) int { return bytes.LastIndexByte(data, '\n') + 1 }

// ended reports that nothing will come any more, err says why.
func (p *pieces) ended() bool { return p.err != nil && len(p.rest) == 0 && !p.inLine }
