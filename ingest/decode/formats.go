package decode

import (
	"fmt"
	"strings"
)

// format is what a record was, without its envelopes.
type format uint8

const (
	auto format = iota
	fmtJSON
	fmtNATSEvent
	fmtNATSServer
	fmtLogfmt
	fmtKlog
	fmtGoLog
	fmtGRPCLog
	fmtZapConsole
	fmtPython
	fmtPattern
	fmtAccess
	fmtIngress
	fmtEnvoy
	fmtSyslog
	fmtOTLP
	fmtOTLPJSON
	fmtText
	nFormats
)

var formatNames = [nFormats]string{
	"auto", "json", "nats-event", "nats-server", "logfmt", "klog", "go-log", "grpclog", "zap-console", "python", "pattern",
	"access", "ingress", "envoy", "syslog", "otlp", "otlp-json", "text",
}

// Formats lists the values of Options.Format. Envelopes (docker, CRI, CSV with a
// header, captured messages, CloudEvents, shippers' records) are opened whatever
// the format of what is in them.
func Formats() []string { return append([]string(nil), formatNames[:]...) }

// formatNamed finds a format by its name; "" is auto.
func formatNamed(name string) (format, error) {
	if name == "" {
		return auto, nil
	}
	for i, n := range formatNames {
		if n == name {
			return format(i), nil
		}
	}
	return auto, fmt.Errorf("unknown format %q: one of %s", name, strings.Join(formatNames[:], ", "))
}

// Counters count what became of records, per decoder.
type Counters struct {
	BadTime     int // events whose own time could not be used
	NoTime      int // of them and others: no clock but the arrival
	NoZone      int // events whose zone or year was assumed
	Cut         int // lines cut at 1 MiB
	Undecodable int // parts of records that went to the dead letters

	formats [nFormats]int
}

// Events returns how many events were decoded.
func (c *Counters) Events() int {
	n := 0
	for _, k := range c.formats {
		n += k
	}
	return n
}

// Text returns how many events are of no known format.
func (c *Counters) Text() int { return c.formats[fmtText] }

// Formats returns the events by format; formats not met are left out.
func (c *Counters) Formats() map[string]int {
	m := map[string]int{}
	for i, n := range c.formats {
		if n > 0 {
			m[formatNames[i]] = n
		}
	}
	return m
}

// Add adds the counts of another decoder.
func (c *Counters) Add(o *Counters) {
	c.BadTime += o.BadTime
	c.NoTime += o.NoTime
	c.NoZone += o.NoZone
	c.Cut += o.Cut
	c.Undecodable += o.Undecodable
	for i, n := range o.formats {
		c.formats[i] += n
	}
}
