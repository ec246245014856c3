package jetstream

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"corral/ingest"
	"corral/internal/natstest"

	"github.com/nats-io/nats.go/jetstream"
)

// BenchmarkConsume reads a stream to its end with the client's own Consume and
// with a Source, both acknowledging as they go, in turns so that what else the
// machine does meets both. lines/s of source over those of raw is the price of
// order, exactness and knowing when all is read.
func BenchmarkConsume(b *testing.B) {
	for _, perMessage := range []int{1, 64} {
		messages := 200_000 / perMessage
		js := filled(b, messages, perMessage)
		readers := map[string]func(*testing.B, jetstream.JetStream, string, int){"raw": consumeRaw, "source": consumeSource}
		b.Run(fmt.Sprintf("lines=%d", perMessage), func(b *testing.B) {
			took := map[string]time.Duration{}
			n := 0
			for b.Loop() {
				for name, read := range readers {
					begin := time.Now()
					read(b, js, fmt.Sprintf("%s-%d", name, n), messages)
					took[name] += time.Since(begin)
				}
				n++
			}
			for name, d := range took {
				b.ReportMetric(float64(n)*float64(messages*perMessage)/d.Seconds(), name+"-lines/s")
			}
			b.ReportMetric(float64(took["raw"])/float64(took["source"]), "source/raw")
		})
	}
}

// filled returns a stream of messages with lines of 400 bytes.
func filled(b *testing.B, messages, perMessage int) jetstream.JetStream {
	b.Helper()
	s := natstest.Start(b, natstest.JetStream())
	s.Stream("LOGS", "logs.>")
	js := s.JetStream()
	line := append(bytes.Repeat([]byte("x"), 399), '\n')
	data := bytes.Repeat(line, perMessage)
	for range messages {
		if _, err := js.PublishAsync("logs.a", data, jetstream.WithStallWait(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		b.Fatal("publishing takes longer than a minute")
	}
	return js
}

func consumeRaw(b *testing.B, js jetstream.JetStream, name string, messages int) {
	b.Helper()
	c, err := js.CreateConsumer(b.Context(), "LOGS", jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckAllPolicy, MaxAckPending: DefaultMaxAckPending,
	})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	n, size := 0, 0
	cc, err := c.Consume(func(m jetstream.Msg) {
		n++
		size += len(m.Data())
		if n%batchRecords == 0 || n == messages {
			if err := m.Ack(); err != nil {
				b.Error(err)
			}
		}
		if n == messages {
			close(done)
		}
	}, jetstream.PullMaxMessagesWithBytesLimit(DefaultPull, pullBytes)) // without the limit 64-line messages overflow the client
	if err != nil {
		b.Fatal(err)
	}
	<-done
	cc.Stop()
	if err := js.DeleteConsumer(b.Context(), "LOGS", name); err != nil {
		b.Fatal(err)
	}
}

func consumeSource(b *testing.B, js jetstream.JetStream, name string, messages int) {
	b.Helper()
	src, err := New(js, Config{Streams: []string{"LOGS"}, Durable: name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	all := errors.New("all read")
	n, size := 0, 0
	err = src.Run(b.Context(), func(batch ingest.Batch) error {
		n += len(batch.Records)
		for i := range batch.Records {
			size += len(batch.Records[i].Data)
		}
		if batch.Done != nil {
			if err := batch.Done(); err != nil {
				return err
			}
		}
		if n == messages {
			return all
		}
		return nil
	})
	if !errors.Is(err, all) {
		b.Fatal(err)
	}
	if err := src.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := js.DeleteConsumer(b.Context(), "LOGS", name); err != nil {
		b.Fatal(err)
	}
}
