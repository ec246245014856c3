package nats

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"corral/correlate"
	"corral/sinks"

	"github.com/nats-io/nats.go"
)

// Budget is the largest body, whatever the server would allow.
const Budget = 64 << 10

const (
	contentType = "application/cloudevents+json"
	dataSchema  = "urn:corral:incident:v1"
)

// message is t on the subject of its incident.
func message(prefix string, t *correlate.Transition, body []byte) *nats.Msg {
	m := nats.NewMsg(Subject(prefix, t))
	m.Data = body
	m.Header.Set(nats.MsgIdHdr, eventID(t))
	m.Header.Set("severity", t.Severity)
	m.Header.Set("state", t.State)
	m.Header.Set("content-type", contentType)
	if tp := traceparent(t); tp != "" {
		m.Header.Set("traceparent", tp)
	}
	return m
}

// Subject is <prefix>.<owner or none>.<rule>.<fingerprint>.
func Subject(prefix string, t *correlate.Transition) string {
	return strings.Join([]string{prefix, token(t.Owner), token(t.RuleID), token(t.Fingerprint)}, ".")
}

// IsSubject reports whether messages can be published on s: no wildcards, no empty
// tokens, nothing that separates words.
func IsSubject(s string) bool {
	return !strings.ContainsAny(s, "*> \t\r\n\x00") && !slices.Contains(strings.Split(s, "."), "")
}

// token makes one token of a subject of s. What no token may hold, or what would
// surprise in a terminal, becomes an underscore.
func token(s string) string {
	const longest = 128
	if s == "" {
		return "none"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("-_=/+@:", r):
			return r
		}
		return '_'
	}, s[:min(len(s), longest)])
}

func eventID(t *correlate.Transition) string { return t.IncidentID + "." + strconv.Itoa(t.Rev) }

// traceparent continues the trace of the event that made the revision. The
// event's span is not part of the record, so the parent is named after the
// incident: eight bytes of its fingerprint.
func traceparent(t *correlate.Transition) string {
	trace := triggerTrace(t)
	if !isHex(trace, 32) || len(t.Fingerprint) < 16 || !isHex(t.Fingerprint[:16], 16) {
		return ""
	}
	return "00-" + strings.ToLower(trace) + "-" + t.Fingerprint[:16] + "-01"
}

func triggerTrace(t *correlate.Transition) string {
	for _, e := range t.Evidence {
		if e.Role == "trigger" && e.TraceID != "" {
			return e.TraceID
		}
	}
	if len(t.TraceIDs) > 0 {
		return t.TraceIDs[0]
	}
	return ""
}

// isHex reports whether s is n hexadecimal digits and not all zero.
func isHex(s string, n int) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == n && strings.Trim(s, "0") != ""
}

// cloudEvent is a structured CloudEvent, specification 1.0.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Type            string          `json:"type"`
	Source          string          `json:"source"`
	Subject         string          `json:"subject"`
	Time            string          `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	DataSchema      string          `json:"dataschema"`
	Data            json.RawMessage `json:"data"`
}

// Body is t as a CloudEvent of at most budget bytes, and whether something was
// left out for that: evidence first, then the top keys, then the rest of what
// explains; see cuts. An error means that even so it does not fit.
func Body(t *correlate.Transition, source string, budget int) (body []byte, truncated bool, err error) {
	body, err = encode(t, source)
	if err != nil || len(body) <= budget {
		return body, false, err
	}
	small := *t
	small.Truncated = true
	for _, cut := range cuts {
		for again := true; again && len(body) > budget; {
			again = cut(&small)
			if body, err = encode(&small, source); err != nil {
				return nil, true, err
			}
		}
	}
	if len(body) > budget {
		return nil, true, fmt.Errorf("incident %s: revision %d does not fit into %d bytes", t.IncidentID, t.Rev, budget)
	}
	return body, true, nil
}

func encode(t *correlate.Transition, source string) ([]byte, error) {
	data, err := sinks.AppendJSON(nil, t)
	if err != nil {
		return nil, fmt.Errorf("encode incident %s: %w", t.IncidentID, err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err = enc.Encode(cloudEvent{
		SpecVersion: "1.0", ID: eventID(t), Type: eventType(t), Source: source,
		Subject: t.RuleID + "/" + t.Fingerprint, Time: t.ChangedAt.UTC().Format(time.RFC3339Nano),
		DataContentType: "application/json", DataSchema: dataSchema, Data: data,
	})
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

func eventType(t *correlate.Transition) string {
	switch {
	case t.State == "resolved":
		return "corral.incident.resolved.v1"
	case t.Rev == 1:
		return "corral.incident.opened.v1"
	}
	return "corral.incident.updated.v1"
}
