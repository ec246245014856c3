package decode

import (
	"fmt"
	"strconv"
	"strings"
)

// render fills a message template as Serilog and its kin write them, "Order {Id} took
// {Elapsed:0.0} ms", with the members of the record it came in, an object. A hole for
// which there is no value stays.
func render(template, record string) string {
	if strings.IndexByte(template, '{') < 0 {
		return template
	}
	o, _ := tree(record, nil).(map[string]any)
	r := renderer{record: o}
	r.renderings, _ = o["@r"].([]any)
	if inner, ok := o["Properties"].(map[string]any); ok {
		r.record = inner
	}
	return r.text(template)
}

type renderer struct {
	record     map[string]any
	renderings []any // of the holes that have a format, in their order
}

func (r *renderer) text(template string) string {
	var b strings.Builder
	for template != "" {
		i := strings.IndexAny(template, "{}")
		if i < 0 {
			break
		}
		b.WriteString(template[:i])
		template = template[i:]
		end := strings.IndexByte(template, '}')
		switch {
		case len(template) > 1 && template[1] == template[0]: // an escaped brace
			b.WriteByte(template[0])
			template = template[2:]
		case template[0] == '}' || end < 0:
			b.WriteByte(template[0])
			template = template[1:]
		default:
			b.WriteString(r.hole(template[1:end]))
			template = template[end+1:]
		}
	}
	b.WriteString(template)
	return b.String()
}

// hole returns what stands for "Name", "@Name", "Name:format" or "Name,width".
func (r *renderer) hole(s string) string {
	name, _, formatted := strings.Cut(s, ":")
	name, _, _ = strings.Cut(name, ",")
	if formatted && len(r.renderings) > 0 {
		text, ok := r.renderings[0].(string)
		r.renderings = r.renderings[1:]
		if ok {
			return text
		}
	}
	switch v := r.record[strings.TrimLeft(name, "@$")].(type) {
	case nil:
		return "{" + s + "}"
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}
