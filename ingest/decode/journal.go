package decode

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
)

// journalHead reports whether data is of journald's export format, in which every
// entry begins with its cursor.
func journalHead(data []byte) bool {
	return bytes.HasPrefix(data, []byte("__CURSOR=")) || bytes.HasPrefix(data, []byte("__REALTIME_TIMESTAMP="))
}

// journalEntry returns the length of the entry data begins with, the empty line
// after it included, and calls field for each of its fields. ok is false if the
// entry goes on beyond data.
//
// A field is a line NAME=text, or, where the text is none, a line NAME, eight bytes
// of length, so many bytes and a newline.
func journalEntry(data []byte, field func(name, value []byte)) (n int, ok bool) {
	for n < len(data) {
		end := bytes.IndexByte(data[n:], '\n')
		if end < 0 {
			return len(data), false
		}
		line := data[n : n+end]
		n += end + 1
		if len(line) == 0 {
			return n, true
		}
		name, value, isText := bytes.Cut(line, []byte{'='})
		if !isText {
			if len(data)-n < 8 {
				return len(data), false
			}
			size := binary.LittleEndian.Uint64(data[n:])
			n += 8
			if size >= uint64(len(data)-n) {
				return len(data), false
			}
			value = data[n : n+int(size)]
			n += int(size) + 1
		}
		if field != nil {
			field(name, value)
		}
	}
	return n, false
}

// journalCut returns where the last whole entry of data ends.
func journalCut(data []byte) int {
	end := 0
	for end < len(data) {
		n, ok := journalEntry(data[end:], nil)
		if !ok {
			break
		}
		end += n
	}
	return end
}

// journal decodes entries of journald's export format as what journalctl's JSON
// would be of them.
func (d *Decoder) journal(data []byte, env *envelope) {
	for len(data) > 0 {
		fields := map[string]any{}
		n, _ := journalEntry(data, func(name, value []byte) {
			key, text := string(name), string(appendValid(nil, view(value)))
			switch first := fields[key].(type) {
			case nil:
				if len(fields) < maxAttrs {
					fields[key] = text
				}
			case string:
				fields[key] = []any{first, text}
			case []any:
				fields[key] = append(first, text)
			}
		})
		if len(fields) > 0 {
			d.journalEvent(fields, env)
		}
		if d.rec.Lines {
			d.line += uint64(bytes.Count(data[:n], []byte{'\n'}))
			d.sub = 0
			d.m.arena.reset()
		}
		data = data[n:]
	}
}

func (d *Decoder) journalEvent(fields map[string]any, env *envelope) {
	record, err := json.Marshal(fields)
	if err != nil || !d.object(string(record), env) {
		d.kill("undecodable", "an entry of the journal that cannot be read", record)
	}
}
