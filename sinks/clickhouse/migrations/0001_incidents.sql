-- Placeholders are in schema.go. Every statement may run twice, or at once in two
-- processes. A row's key is made of events alone, so whatever is written again is
-- the same row: read with FINAL, as the views do, each is there once. The TTL goes
-- by written_at: by event time, a batch run over old logs would lose its rows.

-- Every revision of every incident.
CREATE TABLE IF NOT EXISTS {db}.incident_transitions{local}{on_cluster}
(
    mode            Enum8('live' = 1, 'batch' = 2),
    run_id          UUID COMMENT 'the batch run whose row this is; zeros: live',
    incident_id     String COMMENT 'one episode: the same after a replay' CODEC(ZSTD(1)),
    rev             UInt32 COMMENT '1, 2, 3 … in each incident',
    fingerprint     FixedString(32) COMMENT 'rule and key, for ever',
    state           Enum8('open' = 1, 'resolved' = 2),
    cause           LowCardinality(String) COMMENT 'why this revision exists',
    severity        Enum8('info' = 1, 'warning' = 2, 'error' = 3, 'critical' = 4) COMMENT 'highest reached',
    severity_now    Enum8('info' = 1, 'warning' = 2, 'error' = 3, 'critical' = 4),
    rule_id         LowCardinality(String),
    rule_title      LowCardinality(String),
    rule_file       LowCardinality(String),
    rule_line       UInt32,
    rule_hash       FixedString(16) COMMENT 'exact version of the rule''s logic; hex in the views',
    rules_gen       UInt64 COMMENT 'generation of the rule set',
    owner           LowCardinality(String),
    runbook_url     LowCardinality(String),
    key             Map(LowCardinality(String), String) COMMENT 'values of group_by',
    labels          Map(LowCardinality(String), String) COMMENT 'for routing',
    title           String CODEC(ZSTD(1)),
    summary         String CODEC(ZSTD(1)),
    started_at      DateTime64(9, 'UTC') COMMENT 'event time of the first matching event' CODEC(Delta(8), ZSTD(1)),
    opened_at       DateTime64(9, 'UTC') COMMENT 'event time at which the condition was met; the partition' CODEC(Delta(8), ZSTD(1)),
    last_event_at   DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    resolved_at     Nullable(DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    changed_at      DateTime64(9, 'UTC') COMMENT 'event time of this revision' CODEC(Delta(8), ZSTD(1)),
    detected_at     DateTime64(9, 'UTC') COMMENT 'wall clock when this revision was made' CODEC(Delta(8), ZSTD(1)),
    duration_ms     UInt64,
    detect_lag_ms   Int64 COMMENT 'detected_at - changed_at',
    event_count     UInt64 COMMENT 'matching events in the episode, exact',
    firings         UInt32,
    relapses        UInt32,
    vars            Map(LowCardinality(String), String) COMMENT 'values the condition read',
    steps           Array(Tuple(name String, at DateTime64(9, 'UTC'), event_id String)),
    distinct_keys   UInt64,
    top_keys        Array(Tuple(key String, count UInt64)),
    previous_id     String CODEC(ZSTD(1)),
    recurrence      UInt32 COMMENT 'nth episode of the fingerprint in 30 days',
    parent_id       String CODEC(ZSTD(1)),
    child_ids       Array(String),
    suspects        Array(Tuple(incident_id String, reason String, rank UInt32)),
    rotated_from    String CODEC(ZSTD(1)),
    flapping        Bool,
    collapsed       Bool,
    suppressed      Bool,
    suppressed_by   Array(String),
    notified        Bool,
    notify_reason   Enum8('none' = 0, 'first' = 1, 'severity' = 2, 'growth' = 3, 'repeat' = 4, 'resolved' = 5, 'flap_start' = 6, 'flap_end' = 7),
    truncated_start Bool COMMENT 'the input began inside the episode',
    truncated_end   Bool COMMENT 'the input ended inside the episode',
    truncated       Bool COMMENT 'evidence was cut to fit',
    evidence        Array(Tuple(at DateTime64(9, 'UTC'), event_id String, role Enum8('trigger' = 1, 'member' = 2, 'clear' = 3), step String, kind String, service String, level String, trace_id String, line String)) CODEC(ZSTD(3)),
    context         Array(Tuple(at DateTime64(9, 'UTC'), event_id String, role Enum8('trigger' = 1, 'member' = 2, 'clear' = 3), step String, kind String, service String, level String, trace_id String, line String)) COMMENT 'what changed shortly before' CODEC(ZSTD(3)),
    trace_ids       Array(String),
    input_first_seq UInt64,
    input_last_seq  UInt64,
    write_id        UInt64 COMMENT 'the frozen batch that wrote the row: to look up an unknown outcome',
    written_at      DateTime64(3, 'UTC') DEFAULT now64(3),
    INDEX ix_write write_id TYPE minmax GRANULARITY 1,
    INDEX ix_rule rule_id TYPE set(256) GRANULARITY 4,
    INDEX ix_changed changed_at TYPE minmax GRANULARITY 1,
    INDEX ix_fingerprint fingerprint TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {replacing(}written_at)
PARTITION BY toYYYYMM(opened_at)
ORDER BY (run_id, incident_id, rev)
TTL toDateTime(written_at) + INTERVAL {ttl} SECOND
SETTINGS ttl_only_drop_parts = 1;

-- cluster:
CREATE TABLE IF NOT EXISTS {db}.incident_transitions{on_cluster} AS {db}.incident_transitions_local
ENGINE = Distributed({cluster}, {db_text}, 'incident_transitions_local', cityHash64(run_id, incident_id));
-- end

-- The last revision of every incident.
CREATE TABLE IF NOT EXISTS {db}.incidents{local}{on_cluster}
(
    mode            Enum8('live' = 1, 'batch' = 2),
    run_id          UUID COMMENT 'the batch run whose row this is; zeros: live',
    incident_id     String COMMENT 'one episode: the same after a replay' CODEC(ZSTD(1)),
    rev             UInt32 COMMENT '1, 2, 3 … in each incident',
    fingerprint     FixedString(32) COMMENT 'rule and key, for ever',
    state           Enum8('open' = 1, 'resolved' = 2),
    cause           LowCardinality(String) COMMENT 'why this revision exists',
    severity        Enum8('info' = 1, 'warning' = 2, 'error' = 3, 'critical' = 4) COMMENT 'highest reached',
    severity_now    Enum8('info' = 1, 'warning' = 2, 'error' = 3, 'critical' = 4),
    rule_id         LowCardinality(String),
    rule_title      LowCardinality(String),
    rule_file       LowCardinality(String),
    rule_line       UInt32,
    rule_hash       FixedString(16) COMMENT 'exact version of the rule''s logic; hex in the views',
    rules_gen       UInt64 COMMENT 'generation of the rule set',
    owner           LowCardinality(String),
    runbook_url     LowCardinality(String),
    key             Map(LowCardinality(String), String) COMMENT 'values of group_by',
    labels          Map(LowCardinality(String), String) COMMENT 'for routing',
    title           String CODEC(ZSTD(1)),
    summary         String CODEC(ZSTD(1)),
    started_at      DateTime64(9, 'UTC') COMMENT 'event time of the first matching event' CODEC(Delta(8), ZSTD(1)),
    opened_at       DateTime64(9, 'UTC') COMMENT 'event time at which the condition was met; the partition' CODEC(Delta(8), ZSTD(1)),
    last_event_at   DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    resolved_at     Nullable(DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    changed_at      DateTime64(9, 'UTC') COMMENT 'event time of this revision' CODEC(Delta(8), ZSTD(1)),
    detected_at     DateTime64(9, 'UTC') COMMENT 'wall clock when this revision was made' CODEC(Delta(8), ZSTD(1)),
    duration_ms     UInt64,
    detect_lag_ms   Int64 COMMENT 'detected_at - changed_at',
    event_count     UInt64 COMMENT 'matching events in the episode, exact',
    firings         UInt32,
    relapses        UInt32,
    vars            Map(LowCardinality(String), String) COMMENT 'values the condition read',
    steps           Array(Tuple(name String, at DateTime64(9, 'UTC'), event_id String)),
    distinct_keys   UInt64,
    top_keys        Array(Tuple(key String, count UInt64)),
    previous_id     String CODEC(ZSTD(1)),
    recurrence      UInt32 COMMENT 'nth episode of the fingerprint in 30 days',
    parent_id       String CODEC(ZSTD(1)),
    child_ids       Array(String),
    suspects        Array(Tuple(incident_id String, reason String, rank UInt32)),
    rotated_from    String CODEC(ZSTD(1)),
    flapping        Bool,
    collapsed       Bool,
    suppressed      Bool,
    suppressed_by   Array(String),
    notified        Bool,
    notify_reason   Enum8('none' = 0, 'first' = 1, 'severity' = 2, 'growth' = 3, 'repeat' = 4, 'resolved' = 5, 'flap_start' = 6, 'flap_end' = 7),
    truncated_start Bool COMMENT 'the input began inside the episode',
    truncated_end   Bool COMMENT 'the input ended inside the episode',
    truncated       Bool COMMENT 'evidence was cut to fit',
    evidence        Array(Tuple(at DateTime64(9, 'UTC'), event_id String, role Enum8('trigger' = 1, 'member' = 2, 'clear' = 3), step String, kind String, service String, level String, trace_id String, line String)) CODEC(ZSTD(3)),
    context         Array(Tuple(at DateTime64(9, 'UTC'), event_id String, role Enum8('trigger' = 1, 'member' = 2, 'clear' = 3), step String, kind String, service String, level String, trace_id String, line String)) COMMENT 'what changed shortly before' CODEC(ZSTD(3)),
    trace_ids       Array(String),
    input_first_seq UInt64,
    input_last_seq  UInt64,
    write_id        UInt64 COMMENT 'the frozen batch that wrote the row: to look up an unknown outcome',
    written_at      DateTime64(3, 'UTC') DEFAULT now64(3),
    INDEX ix_write write_id TYPE minmax GRANULARITY 1,
    INDEX ix_rule rule_id TYPE set(256) GRANULARITY 4,
    INDEX ix_opened opened_at TYPE minmax GRANULARITY 1,
    INDEX ix_fingerprint fingerprint TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {replacing(}rev)
PARTITION BY toYYYYMM(opened_at)
ORDER BY (run_id, incident_id)
TTL toDateTime(written_at) + INTERVAL {ttl} SECOND
SETTINGS ttl_only_drop_parts = 1;

-- cluster:
CREATE TABLE IF NOT EXISTS {db}.incidents{on_cluster} AS {db}.incidents_local
ENGINE = Distributed({cluster}, {db_text}, 'incidents_local', cityHash64(run_id, incident_id));
-- end

-- The events incidents rest on, one row each.
CREATE TABLE IF NOT EXISTS {db}.incident_evidence{local}{on_cluster}
(
    mode            Enum8('live' = 1, 'batch' = 2),
    run_id          UUID,
    incident_id     String CODEC(ZSTD(1)),
    rev             UInt32 COMMENT 'last revision that names the event',
    rule_id         LowCardinality(String),
    opened_at       DateTime64(9, 'UTC') COMMENT 'of the incident: the same partition as it' CODEC(Delta(8), ZSTD(1)),
    at              DateTime64(9, 'UTC') COMMENT 'event time' CODEC(Delta(8), ZSTD(1)),
    event_id        String COMMENT 'the same after a replay' CODEC(ZSTD(1)),
    role            Enum8('trigger' = 1, 'member' = 2, 'clear' = 3, 'context' = 4),
    step            LowCardinality(String),
    kind            LowCardinality(String),
    service         LowCardinality(String),
    level           LowCardinality(String),
    trace_id        String CODEC(ZSTD(1)),
    line            String CODEC(ZSTD(3)),
    write_id        UInt64,
    written_at      DateTime64(3, 'UTC') DEFAULT now64(3),
    INDEX ix_write write_id TYPE minmax GRANULARITY 1,
    INDEX ix_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_event event_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_line lower(line) TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 8
)
ENGINE = {replacing(}rev)
PARTITION BY toYYYYMM(opened_at)
ORDER BY (run_id, incident_id, at, event_id)
TTL toDateTime(written_at) + INTERVAL {ttl} SECOND
SETTINGS ttl_only_drop_parts = 1;

-- cluster:
CREATE TABLE IF NOT EXISTS {db}.incident_evidence{on_cluster} AS {db}.incident_evidence_local
ENGINE = Distributed({cluster}, {db_text}, 'incident_evidence_local', cityHash64(run_id, incident_id));
-- end

-- What people query. Batch runs are in them too: mode = 'live' leaves those out.
CREATE VIEW IF NOT EXISTS {db}.incidents_now{on_cluster} AS SELECT * REPLACE (lower(hex(rule_hash)) AS rule_hash) FROM {db}.incidents FINAL;
CREATE VIEW IF NOT EXISTS {db}.incident_history{on_cluster} AS SELECT * REPLACE (lower(hex(rule_hash)) AS rule_hash) FROM {db}.incident_transitions FINAL;
CREATE VIEW IF NOT EXISTS {db}.incident_events{on_cluster} AS SELECT * FROM {db}.incident_evidence FINAL;
