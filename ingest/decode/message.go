package decode

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"corral/ingest"
)

// message decodes a NATS message, which may hold any number of events.
func (d *Decoder) message(data []byte) {
	env := envelope{id: header(d.rec.Headers, "ce-id")}
	d.ceHeaders(&env)
	trimmed := bytes.TrimSpace(data)
	if len(trimmed) == 0 {
		return
	}
	switch {
	case d.protobuf(data):
		d.otlpProto(data, &env)
		return
	case trimmed[0] == '[' && d.array(view(trimmed), &env):
		return
	case trimmed[0] == '{' && d.object(view(trimmed), &env):
		return
	}
	if journalHead(data) {
		d.journal(data, &env)
		return
	}
	d.messageLines(trimmed, &env)
}

// messageLines decodes a message of several lines, or of one that is not JSON.
// Lines that begin no event belong to the one before.
func (d *Decoder) messageLines(data []byte, env *envelope) {
	if h := csvHeaderOf(data); h != nil {
		d.csvTargets(h)
		d.csvLines(data, h, env)
		return
	}
	start := -1 // of the text that is being put together
	for at := 0; at < len(data); {
		end := bytes.IndexByte(data[at:], '\n')
		if end < 0 {
			end = len(data) - at
		}
		line := trimCR(data[at : at+end])
		next := at + end + 1
		switch {
		case len(line) > 0 && line[0] == '{' && d.objectAfter(data, start, at, line, env):
			start = -1
		case start < 0:
			start = at
		case len(line) > 0 && startsEvent(view(line)) && !looksContinued(view(line)):
			d.piece(data[start:at], env)
			start = at
		}
		at = next
	}
	if start >= 0 {
		d.piece(data[start:], env)
	}
}

// objectAfter decodes the line as an object, and the text before it first.
func (d *Decoder) objectAfter(data []byte, start, at int, line []byte, env *envelope) bool {
	if start >= 0 {
		if end, _ := endValue(line, 0, 0); end < 0 || skipSpace(line, end) != len(line) {
			return false
		}
		d.piece(data[start:at], env)
	}
	return d.object(view(line), env)
}

func (d *Decoder) piece(data []byte, env *envelope) {
	text := view(bytes.TrimRight(data, "\r\n\t "))
	if strings.TrimSpace(text) == "" {
		return
	}
	if len(text) > maxLine {
		text = clip(text, maxLine)
		d.counts.Cut++
	}
	if c, ok := criLine(text); ok {
		in := *env
		in.depth++
		in.stream = c.stream
		in.time = d.instant(c.time, env.time)
		if strings.TrimSpace(c.text) != "" {
			d.inner(c.text, &in)
		}
		return
	}
	d.inner(text, env)
}

// ceHeaders takes what CloudEvents in binary mode put into headers.
func (d *Decoder) ceHeaders(env *envelope) {
	h := d.rec.Headers
	if h == nil || header(h, "ce-specversion") == "" {
		env.id = ""
		return
	}
	env.service = sourceName(header(h, "ce-source"))
	env.time = d.instant(header(h, "ce-time"), 0)
	env.attrs = map[string]any{"type": header(h, "ce-type"), "source": header(h, "ce-source")}
}

// unzipper keeps decompressors for reuse.
type unzipper struct {
	gz   *gzip.Reader
	zstd *zstd.Decoder
}

var brace = []byte{'{'}

// plain returns the record's data decompressed. What cannot be decompressed, and
// what grows beyond 8 MiB, is dead.
func (d *Decoder) plain(rec ingest.Record) ([]byte, bool) {
	if rec.Lines || rec.Headers == nil && bytes.HasPrefix(rec.Data, brace) && len(rec.Data) <= maxMessage { // most
		return rec.Data, true
	}
	data, err := d.unzip.open(rec.Data, header(rec.Headers, "Content-Encoding"))
	if err != nil {
		d.kill("undecodable", err.Error(), rec.Data)
		return nil, false
	}
	if len(data) > maxMessage {
		d.kill("oversize", fmt.Sprintf("message of more than %d bytes", maxMessage), rec.Data)
		return nil, false
	}
	return data, true
}

// open decompresses by the header's word, else by the magic number.
func (u *unzipper) open(data []byte, encoding string) ([]byte, error) {
	switch {
	case encoding == "gzip" || bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		return u.gunzip(data)
	case encoding == "zstd" || bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return u.unzstd(data)
	case encoding == "s2" || encoding == "snappy" || encoding == "x-snappy-framed":
		return u.uns2(data)
	}
	return data, nil
}

func (u *unzipper) gunzip(data []byte) ([]byte, error) {
	r := bytes.NewReader(data)
	if u.gz == nil {
		u.gz = new(gzip.Reader)
	}
	if err := u.gz.Reset(r); err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	out, err := readLimited(u.gz)
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	return out, nil
}

func (u *unzipper) unzstd(data []byte) ([]byte, error) {
	if u.zstd == nil {
		var err error
		u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*maxMessage), zstd.WithDecoderMaxWindow(2*maxMessage))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
	}
	if err := u.zstd.Reset(bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	out, err := readLimited(u.zstd)
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return out, nil
}

// uns2 reads S2 and Snappy, as a stream or as a block.
func (u *unzipper) uns2(data []byte) ([]byte, error) {
	if n, err := s2.DecodedLen(data); err == nil && n <= maxMessage && !bytes.HasPrefix(data, []byte{0xff, 0x06}) {
		if out, err := s2.Decode(nil, data); err == nil {
			return out, nil
		}
	}
	out, err := readLimited(s2.NewReader(bytes.NewReader(data), s2.ReaderMaxBlockSize(4<<20)))
	if err != nil {
		return nil, fmt.Errorf("s2: %w", err)
	}
	return out, nil
}

// readLimited reads up to one byte more than a message may have.
func readLimited(r io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, maxMessage+1))
}
