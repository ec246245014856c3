package demo

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// carrier reads and writes a trace context in HTTP-like metadata whose keys are
// lower case: gRPC metadata and NATS headers.
type carrier map[string][]string

func (c carrier) Get(key string) string {
	if v := c[strings.ToLower(key)]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (c carrier) Set(key, value string) { c[strings.ToLower(key)] = []string{value} }

func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}

var w3c propagation.TraceContext // the traceparent header

// inject writes the trace of ctx into outgoing metadata.
func inject(ctx context.Context, out propagation.TextMapCarrier) { w3c.Inject(ctx, out) }

// extract continues the trace of incoming metadata with a new span, or begins a
// trace where there is none.
func extract(ctx context.Context, in propagation.TextMapCarrier) context.Context {
	parent := trace.SpanContextFromContext(w3c.Extract(ctx, in))
	id := parent.TraceID()
	if !id.IsValid() {
		id = trace.TraceID(random(16))
	}
	span := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: trace.SpanID(random(8)), TraceFlags: trace.FlagsSampled,
	})
	return trace.ContextWithSpanContext(ctx, span)
}

func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	b[0] |= 1 // an id of zeros is invalid
	return b
}

// traced returns the logger with the ids of ctx's trace.
func traced(ctx context.Context, log *slog.Logger) *slog.Logger {
	span := trace.SpanContextFromContext(ctx)
	return log.With("trace_id", span.TraceID().String(), "span_id", span.SpanID().String())
}
