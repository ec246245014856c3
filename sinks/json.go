package sinks

import (
	"bytes"
	"encoding/json"
	"time"

	"corral/correlate"
)

// AppendJSON appends t to b as JSON on one line, without the newline: fields in
// the order of the record, times RFC 3339 in UTC to the nanosecond, invalid
// UTF-8 replaced by U+FFFD, and key, labels and evidence never null.
func AppendJSON(b []byte, t *correlate.Transition) ([]byte, error) {
	buf := bytes.NewBuffer(b)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(canonical(t)); err != nil {
		return b, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), nil
}

// canonical returns t, or a copy where something has to be said differently.
func canonical(t *correlate.Transition) *correlate.Transition {
	c := *t
	for _, at := range []*time.Time{&c.StartedAt, &c.OpenedAt, &c.LastEventAt, &c.ChangedAt, &c.DetectedAt} {
		*at = at.UTC()
	}
	if t.ResolvedAt != nil {
		c.ResolvedAt = new(t.ResolvedAt.UTC())
	}
	if c.Key == nil {
		c.Key = map[string]string{}
	}
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	c.Evidence = inUTC(t.Evidence)
	if c.Evidence == nil {
		c.Evidence = []correlate.Evidence{}
	}
	c.Context = inUTC(t.Context)
	for i, s := range t.Steps {
		if s.At.Location() == time.UTC {
			continue
		}
		if &c.Steps[0] == &t.Steps[0] {
			c.Steps = append([]correlate.StepAt(nil), t.Steps...)
		}
		c.Steps[i].At = s.At.UTC()
	}
	return &c
}

func inUTC(es []correlate.Evidence) []correlate.Evidence {
	own := es
	for i, e := range es {
		if e.At.Location() == time.UTC {
			continue
		}
		if &own[0] == &es[0] {
			own = append([]correlate.Evidence(nil), es...)
		}
		own[i].At = e.At.UTC()
	}
	return own
}
