package main

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"corral/ingest/jetstream"
	"corral/pipeline"
	"corral/rules"
)

// registry holds every metric of a worker. Values are read when asked for;
// nothing is counted twice.
func (w *worker) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), (*workerMetrics)(w))
	return r
}

// workerMetrics is a worker as a Prometheus collector.
type workerMetrics worker

// Describe sends nothing: which rules and partitions there are changes.
func (m *workerMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *workerMetrics) Collect(ch chan<- prometheus.Metric) {
	c := collector{ch}
	c.gauge("corral_build_info", "Version of the Go toolchain corral was built with.", 1, "go", runtime.Version())
	m.pipeline(c)
	m.rules(c)
	m.sources(c)
	m.sinks(c)
	m.safety(c)
}

// collector writes metrics in one line each. Labels are name, value, name, value.
type collector struct{ ch chan<- prometheus.Metric }

func (c collector) counter(name, help string, v uint64, labels ...string) {
	c.metric(name, help, prometheus.CounterValue, float64(v), labels)
}

func (c collector) gauge(name, help string, v float64, labels ...string) {
	c.metric(name, help, prometheus.GaugeValue, v, labels)
}

func (c collector) metric(name, help string, t prometheus.ValueType, v float64, labels []string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	c.ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), t, v, values...)
}

func (c collector) histogram(name, help string, h *pipeline.Delays) {
	n, sum, buckets := h.Histogram()
	c.ch <- prometheus.MustNewConstHistogram(prometheus.NewDesc(name, help, nil, nil), n, sum, buckets)
}

func (m *workerMetrics) pipeline(c collector) {
	n := m.stream.Counters
	c.counter("corral_records_read_total", "Messages read.", n.Records.Load())
	c.counter("corral_bytes_read_total", "Bytes of messages read.", n.Bytes.Load())
	c.counter("corral_events_total", "Events decoded.", n.Events.Load())
	c.counter("corral_events_matched_total", "Events that met at least one rule.", n.Matched.Load())
	c.counter("corral_events_late_total", "Events older than the watermark; they are in the dead letters.", n.Late.Load())
	c.counter("corral_records_unreadable_total", "Records, or parts of one, that could not be decoded; they are in the dead letters.", n.Dead.Load())
	letters := m.dead.byReason()
	for _, reason := range []string{"undecodable", "oversize", "late", "rejected"} {
		c.counter("corral_dead_letters_total", "Dead letters by reason, stored where that is asked for.", letters[reason], "reason", reason)
	}
	c.counter("corral_transitions_total", "Revisions of incidents.", n.Transitions.Load())
	c.gauge("corral_event_time_seconds", "Latest event time seen, Unix time.", float64(n.MaxEventTime.Load())/1e9)
	c.histogram("corral_detection_delay_seconds", "From the event time of a revision to its making.", &n.Delay)
}

func (m *workerMetrics) rules(c collector) {
	m.mu.Lock()
	stale := m.stale
	m.mu.Unlock()
	c.gauge("corral_rules_generation", "Changes of rules since the state began, from 1.", float64(m.stream.Generation()))
	c.gauge("corral_rules_stale_files", "Rule files with mistakes, whose last good content runs.", float64(len(stale)))
	for _, file := range stale {
		c.gauge("corral_rules_stale", "1 for a rule file with mistakes, whose last good content runs.", 1, "file", file)
	}
	st := m.stream.Stats()
	c.gauge("corral_reorder_buffer_events", "Events waiting for the watermark.", float64(st.Buffered))
	c.counter("corral_events_duplicate_total", "Events whose sender's id had counted already.", st.Duplicates)
	c.gauge("corral_state_bytes", "Estimated size of all rules' state.", float64(st.Bytes))
	c.gauge("corral_state_limit_bytes", "What --memory allows, 0: no limit.", float64(m.flags.memory))
	if !st.Watermark.IsZero() {
		c.gauge("corral_watermark_seconds", "Event time up to which everything has taken effect, Unix time.", float64(st.Watermark.UnixMilli())/1e3)
	}
	for _, r := range st.Rules {
		m.rule(c, r)
	}
}

func (m *workerMetrics) rule(c collector, r pipeline.RuleStats) {
	c.counter("corral_rule_matched_total", "Events the rule counted.", r.Matched, "rule", r.ID)
	c.counter("corral_rule_fired_total", "Times the rule's condition became true.", r.Fired, "rule", r.ID)
	c.counter("corral_rule_errors_total", "Evaluations that met nil or a wrong type.", r.Errors, "rule", r.ID)
	c.counter("corral_rule_keys_evicted_total", "Keys forgotten, stalest first, to keep the rule's limits or --memory.", r.Evicted, "rule", r.ID)
	c.counter("corral_rule_keys_refused_total", "Events of keys there was no room for.", r.Refused, "rule", r.ID)
	c.counter("corral_rule_keys_oversize_total", "Events whose group key is longer than 4 KiB.", r.Oversize, "rule", r.ID)
	c.counter("corral_rule_keys_missing_total", "Events that met the rule but have no group key.", r.NoKey, "rule", r.ID)
	c.gauge("corral_rule_keys", "Group keys with state.", float64(r.Keys), "rule", r.ID)
	c.gauge("corral_rule_state_bytes", "Estimated size of the rule's state.", float64(r.Bytes), "rule", r.ID)
	c.counter("corral_incidents_total", "Incidents by what became of them.", r.Opened, "rule", r.ID, "state", "opened")
	c.counter("corral_incidents_total", "Incidents by what became of them.", r.Resolved, "rule", r.ID, "state", "resolved")
	c.counter("corral_incidents_total", "Incidents by what became of them.", r.PendingDropped, "rule", r.ID, "state", "pending_dropped")
	for sev, n := range r.BySeverity {
		if s := rules.Severity(sev); s.String() != "" {
			c.gauge("corral_incidents_open", "Incidents open now.", float64(n), "rule", r.ID, "severity", s.String())
		}
	}
}

// safety is about snapshots and the connection.
func (m *workerMetrics) safety(c collector) {
	st := m.stream.Snapshots()
	c.counter("corral_snapshots_total", "Snapshots stored.", st.Stored, "outcome", "stored")
	c.counter("corral_snapshots_total", "Snapshots stored.", st.Failed, "outcome", "failed")
	c.gauge("corral_snapshot_bytes", "Size of the last snapshot.", float64(st.Bytes))
	c.gauge("corral_snapshot_pause_seconds", "For how long the stream stood still for the last one.", st.Pause.Seconds())
	c.gauge("corral_snapshot_pause_longest_seconds", "For how long it stood still for one at most.", st.Longest.Seconds())
	c.gauge("corral_snapshot_store_seconds", "How long storing the last one took, beside the stream.", st.Took.Seconds())
	if !st.At.IsZero() {
		c.gauge("corral_snapshot_last_seconds", "When one was last stored, Unix time.", float64(st.At.UnixMilli())/1e3)
	}
	n := m.flags.conn.Counts()
	c.gauge("corral_nats_connected", "1 while connected to NATS.", map[bool]float64{true: 1}[m.nc.IsConnected()])
	c.counter("corral_nats_disconnects_total", "Connections to NATS that were lost.", n.Disconnects)
	c.counter("corral_nats_reconnects_total", "Connections to NATS that were made again.", n.Reconnects)
	c.counter("corral_nats_failed_attempts_total", "Tries to connect to NATS that failed.", n.FailedAttempts)
	c.counter("corral_nats_slow_consumer_total", "Times that a subscription began to drop messages.", n.SlowConsumers)
	c.counter("corral_nats_errors_total", "Errors of the connection.", n.PermissionErrors, "kind", "permission")
	c.counter("corral_nats_errors_total", "Errors of the connection.", n.OtherErrors, "kind", "other")
}

func (m *workerMetrics) sources(c collector) {
	var all []jetstream.Stats
	if m.streams != nil {
		all = append(all, m.streams.Stats()...)
	}
	for _, core := range m.cores {
		all = append(all, core.Stats()...)
	}
	for _, s := range all {
		c.counter("corral_source_messages_total", "Messages taken from the source.", s.Received, "partition", s.Partition)
		c.counter("corral_source_redelivered_total", "Messages that came again and were dropped.", s.Redelivered, "partition", s.Partition)
		c.counter("corral_source_dropped_total", "Core subscriptions: messages lost because the reader was too slow.", s.Dropped, "partition", s.Partition)
		c.counter("corral_source_missing_total", "Messages removed from the stream before they were read.", s.Missing, "partition", s.Partition)
		c.counter("corral_source_gaps_total", "Deliveries lost on the way and asked for again; core: disconnects.", s.Gaps, "partition", s.Partition)
		c.gauge("corral_source_pending_messages", "Messages not read yet.", float64(s.Pending), "partition", s.Partition)
		c.gauge("corral_source_lag_seconds", "Age of the last message read while more are waiting; 0: everything is read.", lag(s), "partition", s.Partition)
		c.gauge("corral_source_unacknowledged_batches", "Batches read and not yet safe.", float64(s.Unsafe), "partition", s.Partition)
	}
}

func lag(s jetstream.Stats) float64 {
	if s.Pending <= 0 || s.LastTime.IsZero() {
		return 0
	}
	return max(0, time.Since(s.LastTime).Seconds())
}

func (m *workerMetrics) sinks(c collector) {
	if n := m.sink.nats; n != nil {
		st := n.Stats()
		c.counter("corral_nats_published_total", "Messages about incidents accepted.", st.Published)
		c.counter("corral_nats_duplicates_total", "Messages the stream had already.", st.Duplicates)
		c.counter("corral_sink_retries_total", "Deliveries tried again.", st.Retries, "sink", "nats")
	}
	ch := m.sink.clickhouse
	if ch == nil {
		return
	}
	st := ch.Stats()
	for table, n := range st.Rows {
		c.counter("corral_clickhouse_rows_total", "Rows known to be stored.", n, "table", table)
	}
	var retries uint64
	for _, n := range st.Retries {
		retries += n
	}
	c.counter("corral_sink_retries_total", "Deliveries tried again.", retries, "sink", "clickhouse")
	c.counter("corral_clickhouse_looks_total", "Looks whether rows of an unknown outcome are there.", st.Looks)
	c.counter("corral_clickhouse_dead_lettered_total", "Transitions ClickHouse refuses for good.", st.DeadLettered)
	c.gauge("corral_spool_bytes", "Bytes waiting on disk for ClickHouse.", float64(st.SpooledBytes))
	c.gauge("corral_spool_age_seconds", "Age of the oldest of them.", st.SpooledAge.Seconds())
	if !st.LastSuccess.IsZero() {
		c.gauge("corral_clickhouse_last_success_seconds", "When rows were last stored, Unix time.", float64(st.LastSuccess.UnixMilli())/1e3)
	}
}
